"""Inside a Locust process: a test begins, people log in, requests are recorded, the test ends."""
