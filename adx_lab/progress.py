"""How long work tells that it is alive. The rooms speak to this protocol; the command line draws it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Where steps and advances are told."""

    def step(self, text: str) -> None:
        """Say what begins now."""

    def advance(self, label: str, done: float, total: float, unit: str) -> None:
        """Say how far the current step is."""


class Silent:
    """Tells nobody."""

    def step(self, text: str) -> None:
        """Say nothing."""

    def advance(self, label: str, done: float, total: float, unit: str) -> None:
        """Say nothing."""
