"""The lab's tab in Locust's web page."""
