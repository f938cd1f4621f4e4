"""A short closed loop: a few connections that are always busy, of each variant in turn.

Serial requests never meet, and the open loop leaves half of the machine free. What only a crowd shows (a
lock, a pool that is too small, a cache that everybody fills at once) shows here, and so does what a variant
can serve at most. The variants don't run beside one another: each has the machine to itself, by turns.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from adx_lab.load.serial.movement import Mark

__all__ = ["BURST", "Burst", "Crowd"]

BURST = "burst"
_TURNS = 2


class Crowd(Protocol):
    """Who can ask a variant over a connection of their own."""

    def member(self, variant: str, number: int) -> Sequence[Callable[[Mark, random.Random], None]]:
        """Return all ways to ask the variant, over this member's connection."""


@dataclass(frozen=True, slots=True)
class Burst:
    """One block's bursts.

    Attributes
    ----------
    variants
        In the order of the first turn; the second goes the other way round.
    connections
        Always busy.
    seconds
        Of each variant, over all turns.
    block, seed
        Which block it is of.
    """

    variants: tuple[str, ...]
    connections: int
    seconds: float
    block: int
    seed: int

    def play(self, crowd: Crowd) -> None:
        """Keep each variant busy in turn."""
        members = {
            variant: [crowd.member(variant, number) for number in range(self.connections)]
            for variant in self.variants
        }
        first = self.variants[::-1] if self.block % 2 else self.variants
        for turn in range(_TURNS):
            for variant in first[::-1] if turn % 2 else first:
                self._turn(variant, members, turn)

    def _turn(
        self,
        variant: str,
        members: Mapping[str, Sequence[Sequence[Callable[[Mark, random.Random], None]]]],
        turn: int,
    ) -> None:
        ends = time.perf_counter() + self.seconds / _TURNS
        threads = [
            threading.Thread(target=self._live, args=(variant, ways, turn, number, ends), daemon=True)
            for number, ways in enumerate(members[variant])
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _live(
        self,
        variant: str,
        ways: Sequence[Callable[[Mark, random.Random], None]],
        turn: int,
        number: int,
        ends: float,
    ) -> None:
        """Ask for one thing after another, the same things of each variant."""
        choose = random.Random(f"{self.seed} {self.block} {turn} {number}")  # noqa: S311
        asked = 0
        while time.perf_counter() < ends:
            pair = (turn * self.connections + number) * 1_000_000 + asked
            way = ways[choose.randrange(len(ways))]
            way(Mark(variant, pair, BURST), random.Random(f"{pair}"))  # noqa: S311
            asked += 1
