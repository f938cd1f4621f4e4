"""The order of a serial movement: which way to ask comes when, and which variant is first.

Each way is asked of both variants in turn, the second when the first has answered. Who comes first alternates
(and begins the other way round in the next block), since the second of a pair finds the processor warm: its
answers are 8 to 22% faster. Both draw from the same random numbers, so that both are asked for the same.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, Protocol

__all__ = ["COLD", "SERIAL", "Mark", "Measured", "Movement", "Way", "error_of"]

SERIAL, COLD = "serial", "cold"
"""What a request belongs to: the movement itself, or the first of its kind after the start."""

_COLD_PAIRS = 2
_PAIRS_WANTED, _PATIENCE_S = 24, 0.15
"""So many pairs of a way that takes long, unless they take longer than that altogether."""

_ERROR, _ERROR_PAIRS, _ERROR_S = 0.04, 8, 0.4
"""Of a block's ratio: a way whose pairs differ too much to tell it so well is asked for longer. How much they
differ says nothing of which variant is slower, so that nothing is favoured by it."""

_SEEDS_APART = 7_927
_ROBUST = 1.4826


@dataclass(frozen=True, slots=True)
class Mark:
    """What a request is recorded under."""

    variant: str
    pair: int
    movement: str


class Way(Protocol):
    """One way to ask one endpoint.

    Attributes
    ----------
    name : str
        What tells it from others, before anybody has asked.
    endpoint : str
        What it is called in every table, once it has been asked.
    pairs_max : int or None
        How often it can be asked in a block, where that is limited.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def endpoint(self) -> str: ...  # noqa: D102

    @property
    def pairs_max(self) -> int | None: ...  # noqa: D102

    def prepare(self, variant: str, count: int, choose: random.Random) -> None:
        """Make what so many asks need; not measured, and not recorded."""

    def perform(self, mark: Mark, choose: random.Random) -> None:
        """Ask once, and record the answer."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was read around one way's measured pairs."""

    endpoint: str
    pairs: int
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Movement:
    """A serial movement over some ways.

    Attributes
    ----------
    variants
        The two, or one alone where there is nothing to compare.
    seconds
        Of each way; the pairs that are under way then end it.
    pairs_min
        Of each way, however long they take.
    block, seed
        Which block it is of: ways come in another order in each.
    read
        Reads the counters of all variants; called between ways only.
    quiet
        Called once the cold ones have been asked; returns when nothing else runs any more.
    pairs_times
        How many times as often as usual is asked what can be asked only so often in a block.
    wanted
        Whether a way is measured, asked once it was asked cold.
    limit_s
        Of everything: what has not begun by then is left to another block.
    """

    variants: tuple[str, ...]
    seconds: float
    block: int
    seed: int
    read: Callable[[], Any]
    pairs_min: int = 6
    quiet: Callable[[], None] = lambda: None
    pairs_times: int = 1
    wanted: Callable[[Way], bool] = lambda _: True
    limit_s: float = math.inf

    def play(self, ways: Sequence[Way]) -> list[Measured]:
        """Ask every way, cold ones first, and return what the counters said around each."""
        ordered, ends = list(ways), time.monotonic() + self.limit_s
        random.Random(self.seed * _SEEDS_APART + self.block).shuffle(ordered)  # noqa: S311
        with _no_collections():
            for way in ordered:
                self._prepare(way)
                for pair in range(_COLD_PAIRS):
                    if time.monotonic() < ends:
                        self._pair(way, pair, COLD)
            self.quiet()
            measured: list[Measured] = []
            for way in filter(self.wanted, ordered):
                if time.monotonic() >= ends:
                    break
                # What was read after the last one stands before this one: nothing happened in between.
                before = measured[-1].after if measured else self.read()
                measured.append(self._measure(way, before))
            return measured

    def _prepare(self, way: Way) -> None:
        if way.pairs_max is not None:
            for variant in self.variants:
                count = self.pairs_times * way.pairs_max + _COLD_PAIRS
                way.prepare(variant, count, self._choice(way, -1))

    def _measure(self, way: Way, before: Any) -> Measured:
        pairs, began = 0, time.perf_counter()
        ratios: list[float] = []
        while way.pairs_max is None or pairs < self.pairs_times * way.pairs_max:
            spent_s = time.perf_counter() - began
            few = pairs < self.pairs_min or (pairs < _PAIRS_WANTED and spent_s < _PATIENCE_S)
            enough = not few and spent_s >= self.seconds
            if enough and (spent_s >= _ERROR_S or error_of(ratios) <= _ERROR):
                break
            ratios.append(self._pair(way, pairs, SERIAL))
            pairs += 1
        return Measured(way.endpoint, pairs, before, self.read())

    def _pair(self, way: Way, pair: int, movement: str) -> float:
        """Ask each variant once, and return the logarithm of how much longer the second took."""
        turned = (pair + self.block) % 2
        moments = [time.perf_counter()]
        for variant in self.variants[::-1] if turned else self.variants:
            way.perform(Mark(variant, pair, movement), self._choice(way, pair if movement != COLD else ~pair))
            moments.append(time.perf_counter())
        took = [after - before for before, after in pairwise(moments)]
        return math.log(took[-1] / took[0])

    def _choice(self, way: Way, number: int) -> random.Random:
        """Return the same numbers for each variant."""
        return random.Random(f"{self.seed} {self.block} {way.name} {number}")  # noqa: S311


def error_of(ratios: Sequence[float]) -> float:
    """Return the standard error of the mean of these, stalls left out of account."""
    if len(ratios) < _ERROR_PAIRS:
        return math.inf
    middle = median(ratios)
    return _ROBUST * median(abs(one - middle) for one in ratios) / math.sqrt(len(ratios))


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the collector from stopping a request of one variant for the garbage of both."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
