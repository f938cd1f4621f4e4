"""What the service tells of itself: logs, metrics, alerts, and where a request's time went."""
