"""Every error of ADX Lab, under one root.

An error is one line: what is wrong, where, and the mend. Its class decides the exit code, so that a caller
never has to read the words to know what happened. A driver's error is wrapped where it crosses into the lab,
with ``from``, so that ``--debug`` still shows the whole chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from adx_lab.secrecy import scrub

_LISTED_MAX = 20


class AdxLabError(Exception):
    """Anything that ADX Lab itself has to say to a person.

    Parameters
    ----------
    message
        What is wrong, and where.
    mend
        What the person can do about it; left out only where the message says it already.
    log
        The log file that holds the details, where a child process wrote one.
    """

    exit_code = 4

    def __init__(self, message: str, *, mend: str | None = None, log: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend
        self.log = log

    def __str__(self) -> str:
        parts = [self.message.rstrip(".")]
        if self.mend:
            parts.append(self.mend.rstrip("."))
        if self.log:
            parts.append(f"see {self.log}")
        return scrub("; ".join(" ".join(part.split()) for part in parts))

    def _render_traceback_(self) -> list[str]:
        """Show one line in a notebook too; IPython asks for it before it prints a traceback."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(AdxLabError):
    """Wrong use or wrong configuration: a name, a value, a file that somebody has to correct (exit 2)."""

    exit_code = 2


class StackError(AdxLabError):
    """A part of the stack did not start, died, or can't be reached (exit 4)."""


class MeasurementError(AdxLabError):
    """The measurement could not be made or can't be trusted (exit 4)."""


class StoreError(AdxLabError):
    """A stored run is missing, damaged, or made by a newer version (exit 4)."""


class BusyError(AdxLabError):
    """Another process of the lab holds what this one needs (exit 4)."""


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the mend for a name that nobody knows: the one that is meant, or the few that there are.

    Nothing where none is near and they are too many to be read: a wrong guess is worse than none.
    """
    near = get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"there are {', '.join(known) or 'none'}" if len(known) <= _LISTED_MAX else ""


def on_a_terminal(text: str) -> str:
    """Return a text without what moves a terminal's cursor or turns its colours: names come from anywhere."""
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)
