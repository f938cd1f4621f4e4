"""Conduct a night: everything, one verdict, one report."""
