"""Conduct duets of the service against itself with one switch off."""
