"""The shapes behind the percentiles: a percentile axis, a heat map over time, a timeline.

Each result is small however long the run was: it is what a figure draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adx_lab.analysis.run.latency import failed, split_by
from adx_lab.analysis.stats.quantiles import harrell_davis

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["HeatMap", "PercentileAxis", "Timeline", "heat_map", "percentile_axis", "timeline"]

TICKS_PER_HALF = 5
CHUNK = 1_000_000


@dataclass(frozen=True)
class PercentileAxis:
    """One curve of the percentile-axis picture.

    Attributes
    ----------
    subject : str
    count : int
        Requests behind the curve.
    fraction : tuple of float
        Rising from 0 to 1: each step halves the distance to 1 in five ticks, so that p99.9 has as much room
        as p90. Drawn over 1 / (1 - fraction) on a logarithmic axis.
    value_ms : tuple of float
        The smallest value that at least this fraction of requests did not exceed. The last is the maximum.
    """

    subject: str
    count: int
    fraction: tuple[float, ...]
    value_ms: tuple[float, ...]


@dataclass(frozen=True)
class HeatMap:
    """How many requests took how long, when.

    Attributes
    ----------
    t_s : tuple of float
        Edges of the time slots.
    ms : tuple of float
        Edges of the latency bins, evenly spaced in the logarithm.
    counts : tuple of tuple of int
        Latency bins x time slots.
    """

    t_s: tuple[float, ...]
    ms: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Timeline:
    """Throughput and latency over time, one entry a slot; a percentile is None where nothing was answered.

    Attributes
    ----------
    t_s : tuple of float
        The middle of each slot.
    rate_per_s, errors_per_s : tuple of float
        Requests sent and failed a second.
    p50_ms, p95_ms, p99_ms : tuple of float or None
        Without intervals: a timeline shows where to look, it judges nothing.
    """

    t_s: tuple[float, ...]
    rate_per_s: tuple[float, ...]
    errors_per_s: tuple[float, ...]
    p50_ms: tuple[float | None, ...]
    p95_ms: tuple[float | None, ...]
    p99_ms: tuple[float | None, ...]


def percentile_axis(
    samples: pd.DataFrame, *, by: str | None = None, column: str = "latency_ms"
) -> tuple[PercentileAxis, ...]:
    """Return the latency distribution on a percentile axis, one curve a value of `by`.

    The ticks are those of HdrHistogram's percentile output (https://hdrhistogram.org).

    Parameters
    ----------
    samples
        One row a request; failed ones are left out.
    by
        The column to split by; None for one curve.
    column
        `latency_ms` or `service_ms`.

    Returns
    -------
    tuple of PercentileAxis
        Ordered by subject; without subjects that have no answered request.
    """
    values = samples[column].to_numpy(dtype=np.float64, copy=False)
    usable = ~failed(samples) & np.isfinite(values)
    curves = ((subject, np.sort(values[rows][usable[rows]])) for subject, rows in split_by(samples, by))
    return tuple(_curve(subject, ordered) for subject, ordered in curves if ordered.size)


def _curve(subject: str, ordered: NDArray[np.float64]) -> PercentileAxis:
    n = ordered.size
    ticks = np.arange(math.floor(TICKS_PER_HALF * math.log2(n)) + 1)
    fraction = np.append(1 - 0.5 ** (ticks / TICKS_PER_HALF), 1.0)
    rank = np.clip(np.ceil(fraction * n).astype(np.int64) - 1, 0, n - 1)
    return PercentileAxis(subject, n, tuple(fraction.tolist()), tuple(ordered[rank].tolist()))


def heat_map(
    samples: pd.DataFrame, *, slots: int = 120, bins: int = 60, column: str = "latency_ms"
) -> HeatMap:
    """Count requests by time and latency.

    Parameters
    ----------
    samples
        One row a request; failed ones are left out.
    slots, bins
        How many cells in time and in latency.
    column
        `latency_ms` or `service_ms`.

    Returns
    -------
    HeatMap
        All counts are zero when nothing was answered.
    """
    at_s = samples["t_intended_s"].to_numpy(dtype=np.float64, copy=False)
    values = samples[column].to_numpy(dtype=np.float64, copy=False)
    usable = ~failed(samples) & (values > 0) & np.isfinite(values)
    begin, span = _span(at_s)
    low, high = (float(values[usable].min()), float(values[usable].max())) if usable.any() else (1.0, 10.0)
    low_log = math.log(low)
    wide = math.log(high / low) or 1.0
    flat = np.zeros(bins * slots, dtype=np.int64)
    for start in range(0, values.size, CHUNK):  # in pieces: spares copies of the whole run
        part = slice(start, start + CHUNK)
        keep = usable[part]
        slot = np.minimum((at_s[part][keep] - begin) * (slots / span), slots - 1).astype(np.int64)
        row = ((np.log(values[part][keep]) - low_log) * (bins / wide)).astype(np.int64)
        flat += np.bincount(np.clip(row, 0, bins - 1) * slots + slot, minlength=flat.size)
    return HeatMap(
        t_s=tuple(np.linspace(begin, begin + span, slots + 1).tolist()),
        ms=tuple(np.exp(np.linspace(low_log, low_log + wide, bins + 1)).tolist()),
        counts=tuple(tuple(line) for line in flat.reshape(bins, slots).tolist()),
    )


def timeline(samples: pd.DataFrame, *, slots: int = 120, column: str = "latency_ms") -> Timeline:
    """Return throughput, errors and percentiles over time.

    Parameters
    ----------
    samples
        One row a request; thinned ones say in ``attrs["one_in"]`` how many each stands for.
    slots
        How many slots the run is cut into.
    column
        `latency_ms` or `service_ms`.
    """
    at_s = samples["t_intended_s"].to_numpy(dtype=np.float64, copy=False)
    values = samples[column].to_numpy(dtype=np.float64, copy=False)
    lost = failed(samples)
    usable = ~lost & np.isfinite(values)
    begin, span = _span(at_s)
    slot = np.minimum((at_s - begin) * (slots / span), slots - 1).astype(np.int16)
    order = np.argsort(slot, kind="stable")
    edges = np.searchsorted(slot, np.arange(slots + 1), sorter=order)
    cells = [order[edges[i] : edges[i + 1]] for i in range(slots)]
    ordered = [np.sort(values[rows[usable[rows]]]) for rows in cells]
    width = span / slots
    width_told = width / samples.attrs.get("one_in", 1)

    def quantile(p: float) -> tuple[float | None, ...]:
        return tuple(harrell_davis(part, p) if part.size else None for part in ordered)

    return Timeline(
        t_s=tuple((begin + width * (np.arange(slots) + 0.5)).tolist()),
        rate_per_s=tuple((np.diff(edges) / width_told).tolist()),
        errors_per_s=tuple((np.bincount(slot[lost], minlength=slots) / width_told).tolist()),
        p50_ms=quantile(0.5),
        p95_ms=quantile(0.95),
        p99_ms=quantile(0.99),
    )


def _span(at_s: NDArray[np.float64]) -> tuple[float, float]:
    """Return when the run began and how long it was; a run of one instant counts as one second."""
    if at_s.size == 0:
        return 0.0, 1.0
    return float(at_s.min()), float(np.ptp(at_s)) or 1.0
