"""What would serve a condition: an index of the right kind, or another way to write it."""
