"""The centre of a few differences and its exact interval, by signed ranks: a stalled block does not move it.

Sources
-------
J. L. Hodges, E. L. Lehmann: Estimates of location based on rank tests. Annals of Mathematical Statistics 34
(1963).
M. Hollander, D. A. Wolfe, E. Chicken: Nonparametric Statistical Methods (2014), section 3.3: the interval.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Centre", "centre"]

Centre = tuple[float, float, float]
"""Lower end, estimate, upper end."""


def centre(values: NDArray[np.float64], *, tail: float, inflation: float = 1.0) -> Centre:
    """Return the Hodges-Lehmann estimate of the centre, between the ends of its interval.

    The estimate is the median of the means of all pairs of values; the interval is all centres that the
    signed-rank test does not reject. It is exact for any symmetric noise, and its ends are infinite where so
    few values can't bound anything.

    Parameters
    ----------
    values
        Finite; at least one.
    tail
        The error allowed on each side.
    inflation
        By how much the interval is widened about the estimate, for values that depend on one another.
    """
    first, second = np.triu_indices(values.size)
    means = np.sort((values[first] + values[second]) / 2)
    middle = float(np.median(means))
    cut = _cut(values.size, tail)
    if cut == 0:
        return -math.inf, middle, math.inf
    low, high = float(means[cut - 1]), float(means[means.size - cut])
    return middle - (middle - low) * inflation, middle, middle + (high - middle) * inflation


@cache
def _cut(size: int, tail: float) -> int:
    """Return how many of the ranked means lie outside of the interval, at each end."""
    ways = np.zeros(size * (size + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, size + 1):
        ways[rank:] = ways[rank:] + ways[:-rank]  # copies: a rank counts once
    return int(np.searchsorted(np.cumsum(ways) / 2.0**size, tail, side="right"))
