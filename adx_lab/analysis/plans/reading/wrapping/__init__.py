"""What clients, logs and people put around a plan, taken off."""
