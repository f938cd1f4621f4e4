"""When requests should leave.

An open loop sends when the schedule says so, whatever the service does; that is what a crowd of independent
people does, and the only way in which a stall of the service shows at its full size.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator

import msgspec


class Stage(msgspec.Struct, frozen=True):
    """A stretch of time over which the rate goes evenly from one value to another."""

    rate_from: float
    rate_to: float
    seconds: float

    @property
    def arrivals(self) -> float:
        """The mean number of arrivals in the stage."""
        return (self.rate_from + self.rate_to) / 2 * self.seconds


def climb(rate_per_s: float, *, factor: float, steps: int, seconds: float) -> tuple[Stage, ...]:
    """Return steps of equal length, each so many times as fast as the one before."""
    rates = [round(rate_per_s * factor**step) for step in range(steps)]
    return tuple(Stage(rate, rate, seconds) for rate in rates)


def warm_up(rate_per_s: float, seconds: float) -> tuple[Stage, Stage]:
    """Return a warm-up: half of it to come to the rate, and half at it.

    A service that gets its whole load in its first second, with cold caches and a handful of connections,
    falls behind, and works off what it owes for long after it is warm: that would be measured.
    """
    return Stage(rate_per_s / 10, rate_per_s, seconds / 2), Stage(rate_per_s, rate_per_s, seconds / 2)


def poisson(rate_per_s: float, start_s: float, end_s: float, seed: int) -> Iterator[float]:
    """Yield the moments of a Poisson process.

    Parameters
    ----------
    rate_per_s
        Mean arrivals a second; must be positive.
    start_s, end_s
        The interval, in seconds on the run's clock.
    seed
        The same seed gives the same schedule.
    """
    yield from staged([Stage(rate_per_s, rate_per_s, end_s - start_s)], start_s, seed)


def staged(stages: Iterable[Stage], start_s: float, seed: int) -> Iterator[float]:
    """Yield the moments of a Poisson process whose rate changes with time.

    By a change of time (Çınlar, Introduction to Stochastic Processes, 1975): arrivals of a process of rate 1,
    put through the inverse of the expected number of arrivals so far.

    Parameters
    ----------
    stages
        One after another.
    start_s
        When the first begins, on the run's clock.
    seed
        The same seed gives the same schedule.
    """
    clock = random.Random(seed)  # noqa: S311  # a schedule, not a secret
    due = clock.expovariate(1.0)
    for stage in stages:
        while due < stage.arrivals:
            yield start_s + _when(stage, due)
            due += clock.expovariate(1.0)
        due -= stage.arrivals
        start_s += stage.seconds


def _when(stage: Stage, due: float) -> float:
    """Return after how many seconds of a stage so many arrivals are expected."""
    slope = (stage.rate_to - stage.rate_from) / stage.seconds
    if abs(slope) < 1e-9:
        return due / stage.rate_from
    return (math.sqrt(stage.rate_from**2 + 2 * slope * due) - stage.rate_from) / slope
