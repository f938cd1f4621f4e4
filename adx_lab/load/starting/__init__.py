"""Start Locust as a process of its own: headless, with its web page, or as a worker of another machine."""
