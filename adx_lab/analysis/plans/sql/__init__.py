"""Conditions as trees: what EXPLAIN prints of expressions, parsed."""
