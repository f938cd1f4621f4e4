"""A duet, shown."""
