"""Verbs of the stack and of this machine."""
