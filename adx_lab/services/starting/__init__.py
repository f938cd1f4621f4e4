"""A service built, given its data, started, logged in at, and stopped whole."""
