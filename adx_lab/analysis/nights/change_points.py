"""Change points over the nights: what crept in, when, and between which commits.

A series holds one figure a night: the paired ratio of the tree over its baseline, measured side by side, so
that the machine's moods cancel. Raw times would follow the machine and cry wolf.

All series of a store are watched together, night by night, and what is bounded is the chance that any of them
alarms. For each place where a level may have changed a generalised least squares fit says by how many errors
it did: nothing is assumed of the level that a series starts from, and noise is a first-order autoregression.
How strongly neighbours resemble each other is what decides whether an alarm is false, and a short series says
little of it: so each series' own correlation is drawn to that of all of them, and then taken for higher than
it seems, by its error. Nights of a change whose ratio stands out from those beside it are pulled back to
them: one night is no change.

Sources
-------
D. Siegmund, E. S. Venkatraman: Using the generalized likelihood ratio statistic for sequential detection of a
change-point. Annals of Statistics 23 (1995).
F. H. C. Marriott, J. A. Pope: Bias in the estimation of autocorrelations. Biometrika 41 (1954).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ChangePoint", "Evidence", "Night", "change_points", "evidence", "sufficient"]

BEFORE_MIN = 12
LENGTHS = (2, 3, 4, 5, 6, 8, 11, 16, 24, 36)
"""How many nights a change may have lasted when it is found: what is younger than two is no change yet, and
between these a night or two more make no difference."""

WINDOW = 60
"""Nights that are looked back on."""

ALPHA_NIGHT = 3e-4
"""Of a false alarm, a night, over all series: see docs/method.md for the rate that it gives."""

NIGHTS_CALM = 40
CORRELATION_MAX = 0.95
POOLED_ERRORS, OWN_ERRORS, ALONE_ERRORS = 0.3, 1.3, 2.0
"""By how many errors a correlation is taken for higher than it seems: that of all series, what one of them
differs by, and that of a series that is alone or nearly so."""

_BIAS = (3.0, 8.8)
_SPREAD_MIN = 0.15
_FAR = 0.975
BORROWED_MAX = 100.0
"""Nights that the others' noise may count for in a series' own."""

LONELY = 1.5
"""Robust deviations from the middle nights of a change: what is further away counts as no further."""

MATTERS = 0.015
"""A change of less is nobody's concern, however plain."""

SERIES_POOLED_MIN = 5
_TINY = 1e-300
NOISE_MIN = 1e-4
"""A logarithm's deviation: counts do not vary at all, and are known no better than this."""


@dataclass(frozen=True)
class Night:
    """One night of one series.

    Attributes
    ----------
    run_id, date, commit : str
        Of the run; nights come in the order of their runs.
    ratio : float
        Tree over baseline, positive; above 1 is slower.
    causes : tuple of str
        What that night's findings named, first the likeliest.
    baseline : str
        The commit that it was compared with.
    """

    run_id: str
    date: str
    commit: str
    ratio: float
    causes: tuple[str, ...] = ()
    baseline: str = ""


@dataclass(frozen=True)
class ChangePoint:
    """One accepted change.

    Attributes
    ----------
    direction : {"slower", "faster"}
    alarm : bool
        True for slower: an improvement is recorded, and nobody is woken.
    ratio, low, high : float
        The new level over the old one, with a 95% interval.
    p : float
        The chance of as much at this place of this series, although nothing changed.
    before, after : Night
        The last night at the old level and the first at the new one: the change lies between their commits.
    found : Night
        The night on which the evidence sufficed.
    cause : str or None
        What the nights after the change named most often, and those before did not.
    """

    direction: Literal["slower", "faster"]
    alarm: bool
    ratio: float
    low: float
    high: float
    p: float
    before: Night
    after: Night
    found: Night
    cause: str | None = None


@dataclass(frozen=True)
class Evidence:
    """The strongest sign of a change in each of some series of equal length.

    Attributes
    ----------
    log_p : array of float
        The natural logarithm of its one-sided p.
    step, error : array of float
        By how much the level changed, of logarithms, and how well that is known.
    lasted : array of int
        For how many nights.
    """

    log_p: NDArray[np.float64]
    step: NDArray[np.float64]
    error: NDArray[np.float64]
    lasted: NDArray[np.int64]


def change_points(series: Sequence[Sequence[Night]]) -> tuple[tuple[ChangePoint, ...], ...]:
    """Replay all series night by night and return every change, in the order in which it was found.

    What is returned for the nights so far never changes when nights are added, so that tonight's news is what
    was found tonight: an alarm is never raised twice.

    Parameters
    ----------
    series
        All that are watched together; each in the order of its nights.

    Returns
    -------
    tuple
        The changes of each series.
    """
    logs = [np.log([night.ratio for night in nights]) for nights in series]
    places = [{night.run_id: i for i, night in enumerate(nights)} for nights in series]
    starts, ends = [0] * len(series), [0] * len(series)
    found: list[list[ChangePoint]] = [[] for _ in series]
    for run_id in sorted({run_id for own in places for run_id in own}):
        present = [i for i, own in enumerate(places) if run_id in own]
        for i in present:
            ends[i] = places[i][run_id] + 1
        for i, step in _look([(i, logs[i][starts[i] : ends[i]][-WINDOW:]) for i in present]):
            split = ends[i] - step.lasted
            found[i].append(_describe(series[i], split, (starts[i], ends[i]), step))
            starts[i] = split
    return tuple(tuple(own) for own in found)


@dataclass(frozen=True)
class _Step:
    """One accepted change of one series."""

    log_p: float
    step: float
    error: float
    lasted: int


def _look(known: Sequence[tuple[int, NDArray[np.float64]]]) -> Iterator[tuple[int, _Step]]:
    """Judge one night of all series that have it: yield those that have changed."""
    long = [(i, values) for i, values in known if values.size >= BEFORE_MIN + LENGTHS[0]]
    if not long:
        return
    left = [_left(values) for _, values in long]
    correlation, tails = correlations(left), heaviness(left)
    for size in sorted({values.size for _, values in long}):
        some = [k for k, (_, values) in enumerate(long) if values.size == size]
        told = evidence(np.array([long[k][1] for k in some]), correlation[some], tails)
        for row in np.flatnonzero(sufficient(told, len(long), nights=size)).tolist():
            change = _Step(
                float(told.log_p[row]), float(told.step[row]), float(told.error[row]), int(told.lasted[row])
            )
            yield long[some[row]][0], change


def correlations(left: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return how strongly the neighbouring nights of each series must be taken to resemble each other.

    Parameters
    ----------
    left
        What is left of each series where its own best step is taken out; freed of the bias that this brings.
    """
    sizes = np.array([values.size for values in left], dtype=np.float64)
    found = np.array([_correlation(values) for values in left])
    own = np.clip((found * sizes + _BIAS[0]) / np.maximum(sizes - _BIAS[1], 4.0), -0.5, 0.97)
    if len(left) < SERIES_POOLED_MIN:
        error = np.sqrt(np.maximum(1 - np.maximum(own, 0.0) ** 2, _SPREAD_MIN) / sizes)
        return np.asarray(np.clip(own + ALONE_ERRORS * error, 0.0, CORRELATION_MAX))
    middle = float(np.median(own))
    error = 1.1 * np.sqrt(max(1 - max(middle, 0.0) ** 2, _SPREAD_MIN) / sizes)
    # What the series differ by beyond their errors is real: each is then taken more by itself.
    real = max(0.0, float(own.var()) - float((error**2).mean()))
    weight = real / (real + error**2)
    drawn = middle + weight * (own - middle)
    taken = drawn + error * (POOLED_ERRORS + OWN_ERRORS * np.sqrt(weight))
    return np.asarray(np.clip(taken, 0.0, CORRELATION_MAX))


def heaviness(left: Sequence[NDArray[np.float64]]) -> float:
    """Return how much further the far nights of all series are out than normal ones would be; at least 1."""
    spreads = [1.4826 * float(np.median(np.abs(values))) for values in left]
    far = np.concatenate(
        [values / spread for values, spread in zip(left, spreads, strict=True) if spread > NOISE_MIN]
        or [np.zeros(1)]
    )
    return max(1.0, float(np.quantile(np.abs(far), _FAR)) / float(special.ndtri((1 + _FAR) / 2)))


def _left(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what is left of a series around the two levels that fit it best."""
    nights = values.size
    before = np.arange(2, nights - 1)
    sums = np.cumsum(values)
    gain = (sums[before - 1] - sums[-1] * before / nights) ** 2 * nights / (before * (nights - before))
    split = int(before[gain.argmax()])
    return np.concatenate([values[:split] - values[:split].mean(), values[split:] - values[split:].mean()])


def _correlation(left: NDArray[np.float64]) -> float:
    square = float(left @ left)
    return float(left[1:] @ left[:-1]) / square if square > left.size * NOISE_MIN**2 else 0.0


def evidence(values: NDArray[np.float64], correlation: NDArray[np.float64], tails: float = 1.0) -> Evidence:
    """Return the strongest sign of a change in each series, over all the nights on which it may have begun.

    Parameters
    ----------
    values
        Series x nights, logs of ratios: all nights until the present one.
    correlation
        Of neighbouring nights, for each series.
    tails
        From `heaviness`: means of few nights inherit it, those of many do not.
    """
    count, nights = values.shape
    best = Evidence(np.zeros(count), np.zeros(count), np.ones(count), np.zeros(count, dtype=np.int64))
    for lasted in LENGTHS:
        if nights - lasted < BEFORE_MIN:
            break
        step, own = _fit(_pulled(values, lasted), lasted, correlation)
        error, degrees = _moderated(own, nights - 2)
        error = error * (1 + (tails - 1) / math.sqrt(lasted))
        log_p = np.log(np.maximum(special.stdtr(degrees - 1, -np.abs(step) / error), _TINY))
        better = log_p < best.log_p
        for kept, own in ((best.log_p, log_p), (best.step, step), (best.error, error)):
            kept[better] = own[better]
        best.lasted[better] = lasted
    return best


def _moderated(errors: NDArray[np.float64], degrees: int) -> tuple[NDArray[np.float64], float]:
    """Return errors that borrow from one another, as far as series are alike, and their degrees of freedom.

    The logarithms of variances that are the same scatter by the trigamma function of their degrees of
    freedom; what they scatter more is real (G. K. Smyth: Linear models and empirical Bayes methods. 2004).
    """
    if errors.size < SERIES_POOLED_MIN:
        return errors, float(degrees)
    logs = np.log(np.maximum(errors**2, _TINY))
    real = float(logs.var(ddof=1)) - float(special.polygamma(1, degrees / 2))
    prior = BORROWED_MAX if real <= 2 / BORROWED_MAX else min(BORROWED_MAX, 2 * (0.5 + 1 / real))
    usual = math.exp(float(np.median(logs)) + 1 / degrees)
    return np.sqrt((prior * usual + degrees * errors**2) / (prior + degrees)), degrees + prior


def _pulled(values: NDArray[np.float64], lasted: int) -> NDArray[np.float64]:
    """Pull lonely nights of a change to those beside them, as far as they are further from what was."""
    before, after = values[:, :-lasted], values[:, -lasted:]
    level = np.median(before, axis=1, keepdims=True)
    spread = LONELY * 1.4826 * np.median(np.abs(before - level), axis=1, keepdims=True)
    ordered = np.sort(after, axis=1)
    place = (lasted - 2) // 2
    lower, upper = ordered[:, place, None], ordered[:, lasted - 1 - place, None]
    rising = after.mean(axis=1, keepdims=True) > level
    pulled = values.copy()
    pulled[:, -lasted:] = np.where(
        rising, np.minimum(after, lower + spread), np.maximum(after, upper - spread)
    )
    return pulled


def _fit(
    values: NDArray[np.float64], lasted: int, correlation: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the step by generalised least squares, and its standard error.

    The series and both regressors, a level and a step, are whitened by the autoregression.
    """
    nights, keep = values.shape[1], (1 - correlation)[:, None]
    first = np.sqrt(1 - correlation**2)[:, None]
    begin = nights - lasted
    white = values - correlation[:, None] * np.roll(values, 1, axis=1)
    white[:, :1] = first * values[:, :1]
    level = np.broadcast_to(keep, values.shape).copy()
    level[:, :1] = first
    step = np.zeros_like(values)
    step[:, begin] = 1.0
    step[:, begin + 1 :] = keep
    ll, ls, ss = ((one * other).sum(axis=1) for one, other in ((level, level), (level, step), (step, step)))
    lw, sw, ww = ((one * white).sum(axis=1) for one in (level, step, white))
    determinant = ll * ss - ls**2
    size, base = (ll * sw - ls * lw) / determinant, (ss * lw - ls * sw) / determinant
    left = np.maximum(ww - base * lw - size * sw, (nights - 2) * NOISE_MIN**2)
    return size, np.sqrt(left / (nights - 2) * ll / determinant)


def sufficient(told: Evidence, series: int, *, nights: int) -> NDArray[np.bool_]:
    """Tell of which series the evidence suffices.

    Parameters
    ----------
    told
        From `evidence`.
    series
        How many are watched together.
    nights
        How many there are of these: of few nights nobody knows how strongly neighbours resemble each other.
    """
    young = min(1.0, nights / NIGHTS_CALM) ** 2
    plain = told.log_p < math.log(ALPHA_NIGHT * young / series)
    return np.asarray(plain & (np.abs(told.step) >= math.log1p(MATTERS)), dtype=bool)


def _describe(nights: Sequence[Night], split: int, ends: tuple[int, int], step: _Step) -> ChangePoint:
    """Put a change into words; `ends` are those of the nights since the change before it."""
    slower, half = step.step > 0, 1.96 * step.error
    return ChangePoint(
        direction="slower" if slower else "faster",
        alarm=slower,
        ratio=math.exp(step.step),
        low=math.exp(step.step - half),
        high=math.exp(step.step + half),
        p=math.exp(step.log_p),
        before=nights[split - 1],
        after=nights[split],
        found=nights[ends[1] - 1],
        cause=_cause(nights[ends[0] : split], nights[split : ends[1]]),
    )


def _cause(before: Sequence[Night], after: Sequence[Night]) -> str | None:
    """Return the cause that the nights after named most often, among those the last nights before did not."""
    old = {cause for night in before[-BEFORE_MIN:] for cause in night.causes}
    new = Counter(cause for night in after for cause in night.causes if cause not in old)
    return min(new, key=lambda cause: (-new[cause], cause)) if new else None
