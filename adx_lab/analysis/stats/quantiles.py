"""Quantiles by Harrell and Davis, with intervals that know about batches.

Two things are kept apart on purpose. The *value* of a quantile is the Harrell-Davis estimate: a weighted mean
of all order statistics, with less variance than any single one. Its *interval* is read off the order
statistics themselves, at the ranks that a binomial count allows, after the sample has been shrunk to the
number of independent requests that its batches show it to be worth.

Sources
-------
F. E. Harrell, C. E. Davis: A new distribution-free quantile estimator. Biometrika 69 (1982).
R. S. Woodruff: Confidence intervals for medians and other position measures. JASA 47 (1952).
E. L. Korn, B. I. Graubard: Confidence intervals for proportions with small expected number of positive counts
estimated from survey data. Survey Methodology 24 (1998).
B. Schmeiser: Batch size effects in the analysis of simulation output. Operations Research 30 (1982).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special, stats

from adx_lab.records.run import Caveat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "INDEPENDENT",
    "LEVEL",
    "TOO_DEPENDENT",
    "TOO_FEW",
    "Estimate",
    "Percentile",
    "at_least",
    "batch_mean",
    "design_effect",
    "harrell_davis",
    "in_batches",
    "mean_of_sums",
    "quantile_estimates",
    "ranks_between",
    "samples_needed",
]

LEVEL = 0.95
_AT_ONCE = 4_000_000
TOO_FEW = Caveat("too-few", "too few samples to carry this figure")
TOO_DEPENDENT = Caveat("too-dependent", "requests depend on each other too much to bound it from above")
INDEPENDENT = Caveat("independent", "no batches: requests are taken as independent")


@dataclass(frozen=True)
class Estimate:
    """A number with the interval it is known to, and the reasons to doubt it.

    Attributes
    ----------
    value : float or None
        The estimate; None when the samples can't carry one.
    low, high : float or None
        The ends of the interval; None where the samples give no bound on that side.
    n : int
        How many samples it rests on.
    caveats : tuple of Caveat
        What the interval does not cover. They travel with the number into every table.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    caveats: tuple[Caveat, ...] = ()


@dataclass(frozen=True)
class Percentile(Estimate):
    """A percentile that still knows its requests, so that a limit can be asked about.

    Whether a percentile keeps a limit is the question what share of the requests is above that limit: 59
    requests none of which is above it say that at most a twentieth is, when no interval of the percentile
    itself could be given yet.

    Attributes
    ----------
    p : float
        Which percentile.
    group : str or None
        The group of the endpoint that it is of.
    times, batch : arrays
        One value a request, and its batch; empty where a run is too large to keep them.
    unsure : int
        Requests of which the time is only known from below.
    """

    p: float = 0.5
    group: str | None = None
    times: NDArray[np.floating[Any]] = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)
    batch: NDArray[np.integer[Any]] = field(
        default_factory=lambda: np.zeros(0, dtype=np.int16), repr=False, compare=False
    )
    unsure: int = 0

    def keeps(self, limit: float, *, level: float = LEVEL) -> bool:
        """Tell whether so few are above the limit that the percentile of all there could be keeps it."""
        return share_between(self.times > limit, self.batch, level=level, more=self.unsure)[1] <= 1 - self.p

    def breaks(self, limit: float, *, level: float = LEVEL) -> bool:
        """Tell whether so many are above the limit that the percentile breaks it."""
        tail = (1 + level) / 2  # a limit that is just kept is called broken half as often as it may be passed
        return share_between(self.times > limit, self.batch, level=tail)[0] > 1 - self.p


def share_between(
    hits: NDArray[np.bool_], batch: NDArray[np.integer[Any]], *, level: float = LEVEL, more: int = 0
) -> tuple[float, float]:
    """Return the ends of a share, each one-sided: Clopper and Pearson's at Korn and Graubard's size.

    Parameters
    ----------
    hits
        Which requests count.
    batch
        The batch of each.
    level
        Of each end by itself.
    more
        Requests that may count, too.
    """
    n, seen = hits.size, int(hits.sum())
    if n == 0:
        return 0.0, 1.0
    worth = float(n)
    if 0 < seen < n:
        sizes = np.bincount(batch).astype(np.float64)
        own = np.bincount(batch[hits], minlength=sizes.size).astype(np.float64)
        worth = min(worth, _effective_size(own, sizes, 2 * level - 1))
    share, most = seen / n, min(n, seen + more) / n
    low = float(stats.beta.ppf(1 - level, share * worth, worth - share * worth + 1)) if seen else 0.0
    high = float(stats.beta.ppf(level, most * worth + 1, worth - most * worth)) if most < 1 else 1.0
    return low, high


def at_least(estimate: Estimate, known: float, caveat: Caveat) -> Estimate:
    """Return an estimate of values of which some are only known to be at least what they are here.

    Below the smallest of those nothing changes: whatever they really are, they stay above. An estimate that
    reaches it is a lower bound, and nothing bounds it from above.

    Parameters
    ----------
    estimate
        Made with each of those values at its lower bound.
    known
        The smallest of them.
    caveat
        Says that the estimate is a lower bound.
    """
    highest = estimate.value if estimate.high is None else estimate.high
    if highest is None or highest < known:
        return estimate
    return replace(estimate, high=None, caveats=(*estimate.caveats, caveat))


def harrell_davis(ordered: NDArray[np.float64], p: float) -> float:
    """Estimate the quantile `p` of an ascending array.

    The weights are increments of the Beta((n+1)p, (n+1)(1-p)) distribution function. All but about sqrt(n) of
    them are zero in double precision, so that only a window around rank n*p is computed: the answer is that
    of `scipy.stats.mstats.hdquantiles`, at a cost that does not grow with ten million samples.

    Parameters
    ----------
    ordered
        At least one value, ascending, without NaN.
    p
        Strictly between 0 and 1.

    Returns
    -------
    float
        The estimate, in the unit of `ordered`.

    Raises
    ------
    ValueError
        When there is no value, or `p` is not a proper fraction.
    """
    if ordered.size == 0 or not 0 < p < 1:
        raise ValueError(f"no quantile {p} of {ordered.size} values")
    first, weights = _weights(ordered.size, p)
    return float(weights @ ordered[first : first + weights.size])


def _weights(n: int, p: float) -> tuple[int, NDArray[np.float64]]:
    """Return the first rank with a weight, and the weights from there on.

    Ten standard deviations bound the near-normal middle, the added 60 ranks the exponential tail of a Beta
    whose second parameter is small: beyond them less than 1e-17 of the mass remains.
    """
    half = 10 * math.sqrt(n * p * (1 - p)) + 60
    first = max(0, math.floor(n * p - half))
    last = min(n, math.ceil(n * p + half))
    edges = np.arange(first, last + 1, dtype=np.float64) / n
    weights = np.diff(special.betainc((n + 1) * p, (n + 1) * (1 - p), edges))
    return first, weights / weights.sum()


def samples_needed(p: float, *, level: float = LEVEL) -> int:
    """Return how many independent samples a two-sided interval of the quantile `p` needs.

    With fewer, even the largest (or the smallest) value may well lie on the wrong side of the quantile, so
    that the sample says nothing about it: 3,688 for p99.9 at 95%.
    """
    return math.ceil(math.log((1 - level) / 2) / math.log(max(p, 1 - p)))


def ranks_between(n: float, p: float, *, level: float = LEVEL) -> tuple[float | None, float | None]:
    """Return the fractions of the sample between which the quantile `p` lies.

    Of `n` independent values Binomial(n, p) lie below the quantile, whatever the distribution; this inverts
    that count (the exact interval for a quantile).

    Parameters
    ----------
    n
        How many independent values the sample is worth; fractions are cut off.
    p
        The quantile.
    level
        Two-sided confidence.

    Returns
    -------
    tuple
        Lower and upper rank, as fractions of the sample; None where there is no bound.
    """
    whole = math.floor(n)
    if whole < 1:
        return None, None
    below = float(stats.binom.ppf((1 - level) / 2, whole, p))
    above = float(stats.binom.ppf((1 + level) / 2, whole, p)) + 1
    return (below / whole if below >= 1 else None), (above / whole if above <= whole else None)


def design_effect(hits: NDArray[np.float64], sizes: NDArray[np.float64]) -> float:
    """Return how much wider batches make the variance of a proportion than independence would.

    The ratio estimator of the variance over batches, divided by the binomial one; never below 1, so that a
    lucky draw of the batches can't narrow an interval.

    Parameters
    ----------
    hits, sizes
        Per batch: how many requests had the property, and how many there were.
    """
    used = sizes > 0
    count, total = int(used.sum()), float(sizes.sum())
    share = float(hits.sum()) / total if total else 0.0
    if count < 2 or not 0 < share < 1:
        return 1.0
    residuals = (hits - share * sizes)[used]
    variance = count / (count - 1) * float(residuals @ residuals) / total**2
    return max(1.0, variance * total / (share * (1 - share)))


def quantile_estimates(
    values: NDArray[np.floating[Any]],
    batch: NDArray[np.integer[Any]],
    probabilities: Sequence[float],
    *,
    level: float = LEVEL,
    caveats: tuple[Caveat, ...] = (),
) -> tuple[Estimate, ...]:
    """Estimate several quantiles of one sample, with intervals that allow for dependence within batches.

    Requests near one another in time share a queue, a collection, a checkpoint: as independent ones they
    would be overrated by far. The spread of each batch's share above the quantile tells how many independent
    requests the sample is worth (Woodruff's interval with Korn and Graubard's effective size, which also pays
    for the few batches with Student's t).

    Parameters
    ----------
    values
        One value a request, in any order, without NaN.
    batch
        The batch of each value, small whole numbers from 0: slices of time, or blocks.
    probabilities
        The quantiles wanted.
    level
        Two-sided confidence.
    caveats
        What the caller knows that the intervals do not cover.

    Returns
    -------
    tuple of Estimate
        In the order of `probabilities`. All three figures are None where the sample can't carry the quantile.
    """
    ordered = np.sort(values)
    sizes = in_batches(batch) if batch.size else np.zeros(1)
    estimates = []
    for p in probabilities:
        if ordered.size < samples_needed(p, level=level):
            estimates.append(Estimate(None, None, None, ordered.size, (*caveats, TOO_FEW)))
            continue
        value = harrell_davis(ordered, p)
        above = in_batches(batch[values > value], size=sizes.size)
        worth = _effective_size(above, sizes, level)
        notes = caveats if np.count_nonzero(sizes) > 1 else (*caveats, INDEPENDENT)
        estimates.append(_with_interval(ordered, value, ranks_between(worth, p, level=level), notes))
    return tuple(estimates)


def _with_interval(
    ordered: NDArray[np.floating[Any]],
    value: float,
    ranks: tuple[float | None, float | None],
    caveats: tuple[Caveat, ...],
) -> Estimate:
    """Read the interval's ends off the order statistics at two ranks, given as fractions of the sample.

    The Harrell-Davis value is no order statistic: with few distinct values it can lie just outside of them.
    """
    n, (below, above) = ordered.size, ranks
    low = None if below is None else min(value, float(ordered[max(0, math.floor(below * n) - 1)]))
    high = None if above is None else max(value, float(ordered[min(n, math.ceil(above * n)) - 1]))
    return Estimate(value, low, high, n, caveats if high is not None else (*caveats, TOO_DEPENDENT))


def _effective_size(hits: NDArray[np.float64], sizes: NDArray[np.float64], level: float) -> float:
    """Return how many independent requests the sample is worth; without batches all of them."""
    total, count = float(sizes.sum()), int(np.count_nonzero(sizes))
    if count < 2:
        return total
    upper = (1 + level) / 2
    few_batches = float(stats.norm.ppf(upper) / stats.t.ppf(upper, count - 1))
    return total / design_effect(hits, sizes) * few_batches**2


def in_batches(
    batch: NDArray[np.integer[Any]], *, weights: NDArray[np.floating[Any]] | None = None, size: int = 0
) -> NDArray[np.float64]:
    """Return how many values each batch has, or what they add up to.

    In pieces: NumPy would make eight bytes of each of a hundred million small numbers first.
    """
    total = np.zeros(max(size, int(batch.max()) + 1 if batch.size else 0))
    for start in range(0, batch.size, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        own = None if weights is None else weights[part]
        total += np.bincount(batch[part], weights=own, minlength=total.size)
    return total


def batch_mean(
    values: NDArray[np.floating[Any]],
    batch: NDArray[np.integer[Any]],
    *,
    level: float = LEVEL,
    caveats: tuple[Caveat, ...] = (),
) -> Estimate:
    """Estimate the mean, with Student's t over the batches (the method of batch means, as a ratio estimator).

    Parameters
    ----------
    values
        One value a request, without NaN.
    batch
        The batch of each value.
    level
        Two-sided confidence.
    caveats
        What the caller knows that the interval does not cover.
    """
    return mean_of_sums(in_batches(batch, weights=values), in_batches(batch), level=level, caveats=caveats)


def mean_of_sums(
    sums: NDArray[np.float64],
    sizes: NDArray[np.float64],
    *,
    level: float = LEVEL,
    caveats: tuple[Caveat, ...] = (),
) -> Estimate:
    """Estimate the mean as `batch_mean` does, from each batch's sum and size."""
    n = int(sizes.sum())
    if n == 0:
        return Estimate(None, None, None, 0, (*caveats, TOO_FEW))
    mean = float(sums.sum()) / n
    count = int((sizes > 0).sum())
    if count < 2:
        return Estimate(mean, None, None, n, (*caveats, TOO_FEW))
    residuals = sums - mean * sizes
    error = math.sqrt(count / (count - 1) * float(residuals @ residuals)) / n
    half = float(stats.t.ppf((1 + level) / 2, count - 1)) * error
    return Estimate(mean, mean - half, mean + half, n, caveats)
