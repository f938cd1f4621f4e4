"""One thing that the analysis says, with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["CREPT_IN", "Finding"]

CREPT_IN = "history"
"""The kind of what crept in over the nights."""


@dataclass(frozen=True)
class Finding:
    """One cause, whatever the number of endpoints that suffer from it.

    Attributes
    ----------
    kind : str
        A short fixed name, such as `index`, `cache.l1` or `budget`.
    subject : str
        What it is about: a query, a cache layer, the pool, an endpoint.
    cause : str
        One sentence for a person.
    evidence : mapping
        The numbers behind it, by name, units in the names.
    share : float or None
        The part of the slower endpoints' added time that it explains, 0 to 1; None where time isn't the
        matter.
    endpoints : tuple of str
        Those that suffer from it, first the worst.
    mend : str or None
        What to do: SQL that can be run, or a sentence; None where nobody knows.
    where : str or None
        The place to look at first: a file and line, a query, a table, a setting, commits, an endpoint.
    """

    kind: str
    subject: str
    cause: str
    evidence: Mapping[str, Any]
    share: float | None = None
    endpoints: tuple[str, ...] = ()
    mend: str | None = None
    where: str | None = None
