"""Texts of statements, as people are shown them."""

from __future__ import annotations


def short(text: str, *, longest: int = 90) -> str:
    """Return a statement's text in one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
