"""Notebooks: their parameters, their execution, their pages."""
