"""Users, their tenant, and its events."""
