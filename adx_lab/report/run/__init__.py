"""One run, shown."""
