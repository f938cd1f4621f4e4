"""Two layers of cache, how they stay true, and how they are warmed."""
