"""All nights, shown."""
