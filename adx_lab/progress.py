"""How long work tells that it is alive. The rooms speak to this protocol; the command line draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable


class Progress(Protocol):
    """Where steps and advances are told."""

    def step(self, text: str) -> None:
        """Say what begins now."""

    def advance(self, label: str, done: float, total: float, unit: str) -> None:
        """Say how far the current step is."""


@runtime_checkable
class Watched(Progress, Protocol):
    """One that somebody looks at, and that can show what is known so far."""

    def shown(self, what: str, found: Sequence[Any]) -> None:
        """Show what is known of the ``comparisons``, or of the ``budgets``."""


class Silent:
    """Tells nobody."""

    def step(self, text: str) -> None:
        """Say nothing."""

    def advance(self, label: str, done: float, total: float, unit: str) -> None:
        """Say nothing."""
