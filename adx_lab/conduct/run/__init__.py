"""Conduct one run: start, load, capture, save, judge."""
