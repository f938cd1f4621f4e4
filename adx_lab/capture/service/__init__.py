"""What the service tells of itself: metrics, cache counters, routes."""
