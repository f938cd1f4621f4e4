"""The report of a night: its page, its exports, and the index over all nights."""
