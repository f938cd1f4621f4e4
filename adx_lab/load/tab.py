"""The lab's tab in Locust's web page."""


def add_tab(environment: object) -> None:
    """Add it."""
