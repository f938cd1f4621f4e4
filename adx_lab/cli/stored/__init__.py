"""Verbs that look at what was stored."""
