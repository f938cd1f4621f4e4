"""What the switches are worth, shown."""
