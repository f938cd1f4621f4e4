"""Captured plans of many statements: flips, headroom, what changed between two captures, and why."""
