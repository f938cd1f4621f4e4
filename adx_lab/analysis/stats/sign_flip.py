"""The tests behind a duet: exact sign flips over blocks, of a statistic that bears a stalled block.

A block's log ratio is as likely to be +d as -d when two variants are the same: that, and that blocks are
independent, is all the test assumes. It needs no normal distribution and no equal variances. Whatever is
computed from sizes alone (where a stalled block is clipped, what noise to expect) no flip can change, so that
the test stays exact.

Sources
-------
R. A. Fisher: The Design of Experiments (1935), section 21: the exact test by flipping signs.
P. H. Westfall, S. S. Young: Resampling-Based Multiple Testing (1993), algorithm 2.8: step-down maxT.
B. Efron, R. J. Tibshirani: An Introduction to the Bootstrap (1993), section 12.5: the bootstrap-t interval.
G. K. Smyth: Linear models and empirical Bayes methods. SAGMB 3 (2004): variances that borrow from others.
B. Phipson, G. K. Smyth: Permutation p-values should never be zero. SAGMB 9 (2010): the count for random
flips.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["EXACT_BLOCKS_MAX", "StepDown", "bootstrap_t", "clipped", "error_inflation", "step_down"]

EXACT_BLOCKS_MAX = 13
RANDOM_FLIPS = 16_383
RESAMPLES = 4_000
CHUNK = 4_096
CORRELATION_MAX = 0.8
CLIP = 3.0
"""Times its column's median size: where a block's difference ends to count more. Of normal noise that is two
standard deviations; a block that stalled by ten says no more than one that stalled by two."""

PRIOR_BLOCKS = 8.0
"""How many blocks the noise that the others lead one to expect is worth, beside a column's own."""

PRIOR_COLUMNS_MIN = 5
# A correlation estimated too low makes false alarms, one too high costs power: a quarter of the standard
# error that one column has goes on top.
CORRELATION_DOUBT = 0.25
# Sums of the same numbers in another order differ in their last bits; equal statistics must count as equal.
TIE = 1e-9


@dataclass(frozen=True)
class StepDown:
    """Adjusted p-values of many comparisons made at once.

    Attributes
    ----------
    slower, faster : array
        One-sided p-values, adjusted over all comparisons (family-wise error, strong control).
    critical : float
        The statistic that a single comparison would have had to reach at the level asked for; infinite where
        no outcome of so few blocks could.
    exact : bool
        Whether every flip was counted, or a random draw of them.
    inflation : float
        By how much dependence between neighbouring blocks widens the error of a mean; at least 1.
    errors, degrees : array
        The standard error of each column's mean, dependence included, and its degrees of freedom.
    """

    slower: NDArray[np.float64]
    faster: NDArray[np.float64]
    critical: float
    exact: bool
    inflation: float
    errors: NDArray[np.float64]
    degrees: NDArray[np.float64]


@dataclass(frozen=True)
class _Columns:
    """What no flip changes: the sizes, their number, and the variance that is to be expected."""

    squares: NDArray[np.float64]
    counts: NDArray[np.int64]
    prior: NDArray[np.float64]
    weight: NDArray[np.float64]

    def variance(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        own = np.maximum(self.squares - sums**2 / np.maximum(self.counts, 1), 1e-12 * self.squares)
        degrees = np.maximum(self.counts - 1, 1) + self.weight
        variance: NDArray[np.float64] = (own + self.weight * self.prior) / degrees
        return variance

    def t(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            t = sums / np.sqrt(self.variance(sums) * np.maximum(self.counts, 1))
        return np.where((self.squares > 0) & (self.counts >= 2), t, 0.0)


def clipped(differences: NDArray[np.float64], *, times: float = CLIP) -> NDArray[np.float64]:
    """Return differences of which none exceeds so many times the median size of its column.

    Parameters
    ----------
    differences
        Blocks x comparisons; NaN where a block does not count for a column.
    times
        How many.
    """
    sizes = np.where(np.isfinite(differences), np.abs(differences), np.inf)
    counts = np.isfinite(differences).sum(axis=0)
    ranked = np.sort(sizes, axis=0)
    columns = np.arange(differences.shape[1])
    upper, lower = np.minimum(counts // 2, len(sizes) - 1), np.maximum((counts - 1) // 2, 0)
    middle = (ranked[lower, columns] + ranked[upper, columns]) / 2
    bound = times * np.where(counts > 0, middle, 0.0)
    return np.clip(differences, -bound, bound)


def _spread(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each column's sum of squares about its middle; a stalled block is no more than a part of it."""
    counts = np.isfinite(differences).sum(axis=0)
    ranked = np.sort(differences, axis=0)  # what does not count comes last
    middles = np.nan_to_num(ranked[np.maximum(counts - 1, 0) // 2, np.arange(counts.size)])
    near = clipped(differences - middles, times=2 * CLIP)
    middles = np.nan_to_num(near).sum(axis=0) / np.maximum(counts, 1)
    spread: NDArray[np.float64] = np.where(np.isfinite(near), (near - middles) ** 2, 0.0).sum(axis=0)
    return spread


def _columns(values: NDArray[np.float64], counts: NDArray[np.int64], noise: NDArray[np.float64]) -> _Columns:
    """Expect of each column the noise within its blocks, by as much larger as the usual column's is."""
    squares = (values**2).sum(axis=0)
    known = np.isfinite(noise) & (noise > 0) & (squares > 0) & (counts >= 2)
    prior, weight = np.zeros(counts.size), np.zeros(counts.size)
    if known.sum() >= PRIOR_COLUMNS_MIN:
        excess = float(np.median(squares[known] / counts[known] / noise[known] ** 2))
        prior[known], weight[known] = excess * noise[known] ** 2, PRIOR_BLOCKS
    return _Columns(squares, counts, prior, weight)


def step_down(
    differences: NDArray[np.float64],
    *,
    alpha: float,
    seed: int,
    inflation: float | None = None,
    noise: NDArray[np.float64] | None = None,
) -> StepDown:
    """Test every column against zero in both directions, with p-values adjusted for their number.

    The signs of whole blocks are flipped, all columns together: what endpoints have in common in a block
    stays together, and the largest statistic over the columns is what each must beat (step-down, so that a
    strong effect does not hide a weaker one). It is Holm's procedure with the dependence known instead of
    feared: the smallest p that n blocks can reach is 1/2^n however many comparisons there are, where Holm's
    would be that times their number. All 2^n flips count up to 13 blocks; above, 16,383 random ones and the
    identity. The statistic is Student's t of clipped differences, over a variance that is a column's own
    together with the one to be expected; so few blocks can't tell their own well.

    Parameters
    ----------
    differences
        Blocks x comparisons, logs of ratios; NaN where a block does not count for a column.
    alpha
        One-sided level of `critical`.
    seed
        For the random flips.
    inflation
        By how much dependence between neighbouring blocks widens the error of a mean; None estimates it from
        the columns.
    noise
        The standard error of a block's difference within the block, for each column; NaN where it is not
        known.

    Returns
    -------
    StepDown
    """
    blocks, width = differences.shape
    spread = _spread(differences)
    differences = clipped(differences)
    values = np.nan_to_num(differences)
    counts = np.isfinite(differences).sum(axis=0)
    columns = _columns(values, counts, np.full(width, np.nan) if noise is None else noise)
    inflation = error_inflation(differences) if inflation is None else inflation
    observed = columns.t(values.sum(axis=0)) / inflation
    down, up = np.argsort(-observed, kind="stable"), np.argsort(observed, kind="stable")
    beaten = np.zeros((2, width))
    noise_only = np.where(np.isfinite(differences), values - values.sum(axis=0) / np.maximum(counts, 1), 0.0)
    alone = replace(columns, squares=(noise_only**2).sum(axis=0))
    largest = []
    flips = 0
    for signs in _signs(blocks, seed):
        t = columns.t(signs @ values)
        # The critical value is that of the noise alone: an effect must not raise its own bar.
        largest.append(alone.t(signs @ noise_only).max(axis=1, initial=0.0))
        flips += signs.shape[0]
        for row, (order, side) in enumerate(((down, 1.0), (up, -1.0))):
            rivals = np.maximum.accumulate((side * t[:, order])[:, ::-1], axis=1)[:, ::-1]
            target = side * observed[order]
            beaten[row] += (rivals >= target - TIE * np.maximum(1.0, np.abs(target))).sum(axis=0)
    p = np.maximum.accumulate(beaten / flips, axis=1)
    slower, faster = np.empty(width), np.empty(width)
    slower[down], faster[up] = p[0], p[1]
    return StepDown(
        slower=slower,
        faster=faster,
        critical=_critical(np.concatenate(largest), alpha),
        exact=blocks <= EXACT_BLOCKS_MAX,
        inflation=inflation,
        errors=inflation
        * np.sqrt(replace(columns, squares=spread).variance(np.zeros(width)) / np.maximum(counts, 1)),
        degrees=np.maximum(counts - 1, 1) + columns.weight,
    )


def error_inflation(differences: NDArray[np.float64]) -> float:
    """Return by how much dependence between neighbouring blocks widens the error of a mean.

    The lag-1 correlation of the residuals, pooled over all columns (one column of a dozen blocks could not
    tell), freed of its bias, with something on top for not knowing it well, and turned into the factor on
    the standard error that a first-order autoregression has. Negative correlation is not believed. The
    observed statistics are divided by this, while the flips keep theirs: where blocks are independent that
    costs a little power and never a false alarm.

    Parameters
    ----------
    differences
        Blocks x comparisons; NaN where a block does not count.

    Notes
    -----
    F. H. C. Marriott, J. A. Pope: Bias in the estimation of autocorrelations. Biometrika 41 (1954).
    """
    counts = np.isfinite(differences).sum(axis=0)
    blocks = differences.shape[0]
    if blocks < 5:
        return 1.0
    values = np.nan_to_num(differences)
    residuals = np.where(np.isfinite(differences), values - values.sum(axis=0) / np.maximum(counts, 1), 0.0)
    scale = np.sqrt((residuals**2).sum(axis=0))
    residuals = residuals[:, scale > 0] / scale[scale > 0]
    if residuals.size == 0:
        return 1.0
    lagged = float((residuals[:-1] * residuals[1:]).sum(axis=0).mean())
    doubt = CORRELATION_DOUBT / math.sqrt(blocks)
    rho = min(max(0.0, (lagged * blocks + 1) / (blocks - 3) + doubt), CORRELATION_MAX)
    return math.sqrt((1 + rho) / (1 - rho))


def _signs(blocks: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield the flips in pieces: all of them, or the identity and a random draw."""
    if blocks <= EXACT_BLOCKS_MAX:
        numbers = np.arange(2**blocks)
        for start in range(0, numbers.size, CHUNK):
            bits = numbers[start : start + CHUNK, None] >> np.arange(blocks)
            yield (1 - 2 * (bits & 1)).astype(np.float64)
        return
    rng = np.random.default_rng(seed)
    yield np.ones((1, blocks))
    for start in range(0, RANDOM_FLIPS, CHUNK):
        size = min(CHUNK, RANDOM_FLIPS - start)
        yield 1.0 - 2.0 * rng.integers(0, 2, (size, blocks)).astype(np.float64)


def _critical(largest: NDArray[np.float64], alpha: float) -> float:
    """Return the statistic that at most a share of `alpha` of the flips reach."""
    allowed = math.floor(alpha * largest.size)
    if allowed < 1:
        return math.inf
    return float(np.partition(largest, largest.size - allowed)[largest.size - allowed])


def bootstrap_t(
    values: NDArray[np.float64],
    *,
    tail: float,
    seed: int,
    inflation: float = 1.0,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Return the bootstrap-t interval of the mean.

    It learns from the blocks how skew Student's t is here, and is second-order correct on each side.

    Parameters
    ----------
    values
        At least three, finite: one a block.
    tail
        The error allowed on each side.
    seed
        Of the resampling: the same values give the same interval, bit for bit.
    inflation
        The factor on the error that dependence between blocks asks for.
    resamples
        How many.

    Returns
    -------
    tuple of float
        Lower and upper end.
    """
    n = values.size
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return mean, mean
    drawn = values[np.random.default_rng(seed).integers(0, n, (resamples, n))]
    errors = drawn.std(axis=1, ddof=1) / math.sqrt(n)
    some = errors > 1e-9 * error  # a draw of one block n times has no t
    t = (drawn.mean(axis=1)[some] - mean) / errors[some]
    low, high = np.quantile(t, (tail, 1 - tail))
    return mean - float(high) * error * inflation, mean - float(low) * error * inflation
