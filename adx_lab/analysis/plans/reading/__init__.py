"""Explained statements found in any text: documents of every format, logs, and what clients make of them."""
