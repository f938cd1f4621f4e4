"""How often a cache answered, and what it cost where it did not."""
