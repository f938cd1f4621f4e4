"""Conduct duets of which the truth is known: what this machine's verdicts are worth."""
