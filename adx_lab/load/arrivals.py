"""When requests should leave.

An open loop sends when the schedule says so, whatever the service does; that is what a crowd of independent
people does, and the only way in which a stall of the service shows at its full size.
"""

from __future__ import annotations

import random
from collections.abc import Iterator


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
    clock = random.Random(seed)  # noqa: S311  # a schedule, not a secret
    moment = start_s + clock.expovariate(rate_per_s)
    while moment < end_s:
        yield moment
        moment += clock.expovariate(rate_per_s)
