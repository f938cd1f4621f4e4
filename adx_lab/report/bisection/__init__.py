"""A bisection as people read it."""
