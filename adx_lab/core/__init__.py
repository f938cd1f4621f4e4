"""ADX Core."""
