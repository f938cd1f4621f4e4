"""Captures of plans from a live database: the core's named queries, any statements, and trials of changes."""
