"""Latency of a run: percentiles with intervals for each endpoint, group, tenant size or cache layer.

Everything works on flat arrays, and on one endpoint's slice at a time, so that ten million requests take
seconds and a few copies of one column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from adx_lab.analysis.run.time_split import text_codes
from adx_lab.analysis.stats.quantiles import (
    LEVEL,
    TOO_FEW,
    Estimate,
    at_least,
    batch_mean,
    in_batches,
    quantile_estimates,
)
from adx_lab.records.run import Caveat

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from numpy.typing import NDArray

PERCENTILES = (0.5, 0.95, 0.99, 0.999)
SLICES = 20  # Schmeiser (1982): ten to thirty batches; more would be shorter than what they must contain
BLOCKS_MIN = 5
ERRORS_LEFT_OUT = 0.01

WITHIN_RUN = Caveat("within-run", "the interval covers this run only: it says nothing about the next one")
BETWEEN_BLOCKS = Caveat("between-blocks", "the interval covers blocks like the ones of this run")
AT_LEAST = Caveat("at-least", "some requests had no answer by the end: this is a lower bound")
DRIFT = Caveat("drift", "neighbouring slices of the run resemble each other: the interval may be too narrow")


@dataclass(frozen=True)
class Batches:
    """Which batch each request belongs to.

    Attributes
    ----------
    index : array of int16
        The batch of each row, from 0.
    seconds : array of float
        How long each batch lasted.
    caveat : Caveat
        What an interval over these batches covers.
    """

    index: NDArray[np.int16]
    seconds: NDArray[np.float64]
    caveat: Caveat


@dataclass(frozen=True)
class LatencySummary:
    """The latency of one part of a run, times in milliseconds.

    Attributes
    ----------
    subject : str
        The endpoint, group or other part; `all` for the run as a whole.
    by : str or None
        The column that split the run.
    count, errors : int
        Requests sent, and how many of them failed. Failed ones are left out of the times: a refusal is fast,
        and a time-out says what the client's limit was. Budgets judge them through the error rate. Those
        without an answer by the end are errors too, but stay in: they took at least as long as they waited.
    rate_per_s : float
        Requests a second over the run, failed ones included.
    mean_ms, p50_ms, p95_ms, p99_ms, p999_ms : Estimate
        With intervals over slices of time or blocks. A percentile that the samples can't carry is None.
    max_ms : float or None
        The slowest request seen. It has no interval: the next run may be slower by any amount.
    caveats : tuple of Caveat
    """

    subject: str
    by: str | None
    count: int
    errors: int
    rate_per_s: float
    mean_ms: Estimate
    p50_ms: Estimate
    p95_ms: Estimate
    p99_ms: Estimate
    p999_ms: Estimate
    max_ms: float | None
    caveats: tuple[Caveat, ...] = ()


def summarise(
    samples: pd.DataFrame,
    *,
    by: str | None = "endpoint",
    column: str = "latency_ms",
    level: float = LEVEL,
    lasted_s: float | None = None,
) -> tuple[LatencySummary, ...]:
    """Summarise a run's latency, for each value of one column.

    Intervals come from batches, since neighbouring requests depend on one another: blocks where the run has
    at least five (then they cover fresh processes too), otherwise twenty slices of time (then they cover this
    run only, and say so). They hold as long as a batch is longer than what makes requests alike.

    Parameters
    ----------
    samples
        One row a request, as in the store's `samples.parquet`; `t_intended_s`, `column`, and `status` or
        `error` are needed.
    by
        The column to split by, such as `endpoint`, `group`, `cache` or `tenant_kind`; None for the whole run.
    column
        `latency_ms`, from the intended start, or `service_ms`, from the send.
    level
        Two-sided confidence of the intervals.
    lasted_s
        How long the measured part lasted, from the run's zero; by default from the first to the last request.

    Returns
    -------
    tuple of LatencySummary
        Ordered by subject; empty when there are no samples.
    """
    if samples.empty:
        return ()
    batches = batches_of(samples, lasted_s=lasted_s)
    values = samples[column].to_numpy(dtype=np.float64, copy=False)
    lost, waiting = failed(samples), unanswered(samples)
    usable = (~lost | waiting) & np.isfinite(values)
    return tuple(
        summarise_part(
            subject,
            by,
            batches,
            times=values[rows][usable[rows]],
            batch=batches.index[rows][usable[rows]],
            waiting=waiting[rows][usable[rows]],
            lost=lost[rows],
            level=level,
        )
        for subject, rows in split_by(samples, by)
    )


def summarise_part(
    subject: str,
    by: str | None,
    batches: Batches,
    *,
    times: NDArray[np.floating],
    batch: NDArray[np.integer],
    waiting: NDArray[np.bool_],
    lost: NDArray[np.bool_],
    level: float = LEVEL,
) -> LatencySummary:
    """Summarise one part of a run: its times with their batches, which are lower bounds, and what failed."""
    caveats = (batches.caveat,)
    known_ms = float(times[waiting].min()) if waiting.any() else math.inf
    p50, p95, p99, p999 = (
        at_least(estimate, known_ms, AT_LEAST)
        for estimate in quantile_estimates(times, batch, PERCENTILES, level=level, caveats=caveats)
    )
    count, errors = lost.size, int(lost.sum())
    seconds = float(batches.seconds.sum())
    notes = list(caveats)
    if waiting.any():
        notes.append(AT_LEAST)
    if errors - waiting.sum() > ERRORS_LEFT_OUT * count:
        left_out = errors - int(waiting.sum())
        notes.append(Caveat("errors-left-out", f"times leave out {left_out} failed requests of {count}"))
    if times.size and _drifts(times, batch):
        notes.append(DRIFT)
    return LatencySummary(
        subject=subject,
        by=by,
        count=count,
        errors=errors,
        rate_per_s=count / seconds if seconds > 0 else 0.0,
        mean_ms=at_least(
            batch_mean(times, batch, level=level, caveats=caveats),
            -math.inf if waiting.any() else math.inf,
            AT_LEAST,
        ),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        p999_ms=p999,
        max_ms=float(times.max()) if times.size else None,
        caveats=tuple(notes),
    )


def _drifts(times: NDArray[np.floating], batch: NDArray[np.integer]) -> bool:
    """Tell whether neighbouring batches resemble each other.

    By the lag-1 correlation of their ranks, one-sided at 0.1%. Ranks, since one stall must not hide a slope.
    Batch means are exactly what the intervals rest on.
    """
    sizes = in_batches(batch)
    means = in_batches(batch, weights=times)[sizes > 0] / sizes[sizes > 0]
    if means.size < 10:
        return False
    ranks = stats.rankdata(means)
    ranks -= ranks.mean()
    spread = float(ranks @ ranks)
    if spread == 0:
        return False
    return float(ranks[:-1] @ ranks[1:]) / spread > float(stats.norm.ppf(0.999)) / math.sqrt(means.size)


def split_by(samples: pd.DataFrame, by: str | None) -> Iterator[tuple[str, NDArray[np.int64] | slice]]:
    """Yield each value of a column, in order, with the numbers of its rows; `none` where it is null.

    One stable sort of small integers serves all values, instead of one comparison of the whole column for
    each.
    """
    if by is None:
        yield "all", slice(None)
        return
    codes, labels = text_codes(samples[by])
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes, np.arange(len(labels) + 1), sorter=order)
    parts = {label: order[edges[i] : edges[i + 1]] for i, label in enumerate(labels)}
    for label in sorted(parts):
        if parts[label].size:
            yield label, parts[label]


def failed(samples: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which requests failed: those that the load generator names an error for.

    A scenario may expect a 404; only the load generator knows. Without its column, 4xx, 5xx and no answer (0)
    count.
    """
    if "error" in samples:
        error = samples["error"]
        return (error.notna() & (error != "")).to_numpy(dtype=bool)
    status = samples["status"].to_numpy()
    return np.asarray((status >= 400) | (status == 0), dtype=bool)


def unanswered(samples: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which requests had no answer by the end: their times are lower bounds."""
    if "kind" not in samples:
        return np.zeros(len(samples), dtype=bool)
    return (samples["kind"] == "unanswered").to_numpy(dtype=bool)


def batches_of(samples: pd.DataFrame, *, lasted_s: float | None = None) -> Batches:
    """Cut a run into batches: its blocks where there are enough, otherwise slices of equal time.

    Parameters
    ----------
    samples
        Not empty; `t_intended_s` is needed, `block` is used.
    lasted_s
        As in `summarise`.
    """
    at_s = samples["t_intended_s"].to_numpy(dtype=np.float64, copy=False)
    if "block" in samples:
        blocks, index = np.unique(samples["block"].to_numpy(), return_inverse=True)
        if blocks.size >= BLOCKS_MIN:
            first, last = np.full(blocks.size, np.inf), np.full(blocks.size, -np.inf)
            np.minimum.at(first, index, at_s)
            np.maximum.at(last, index, at_s)
            return Batches(np.asarray(index, dtype=np.int16), last - first, BETWEEN_BLOCKS)
    begin, span = (0.0, lasted_s) if lasted_s else (float(at_s.min()), float(np.ptp(at_s)))
    if span == 0:
        return Batches(np.zeros(at_s.size, dtype=np.int16), np.zeros(1), WITHIN_RUN)
    scaled = (at_s - begin) * (SLICES / span)
    np.clip(scaled, 0, SLICES - 1, out=scaled)  # the last request stands on the edge
    return Batches(scaled.astype(np.int16), np.full(SLICES, span / SLICES), WITHIN_RUN)


def rate_estimate(batches: Batches, counts: NDArray[np.float64], *, level: float = LEVEL) -> Estimate:
    """Estimate how many requests a second were answered, with Student's t over the batches.

    Parameters
    ----------
    batches
        Of the whole run.
    counts
        How many requests of each batch count.
    level
        Two-sided confidence.
    """
    total_s = float(batches.seconds.sum())
    n = int(counts.sum())
    if total_s <= 0:
        return Estimate(None, None, None, n, (batches.caveat, TOO_FEW))
    rate = n / total_s
    residuals = counts - rate * batches.seconds
    size = batches.seconds.size
    error = math.sqrt(size / (size - 1) * float(residuals @ residuals)) / total_s
    half = float(stats.t.ppf((1 + level) / 2, size - 1)) * error
    return Estimate(rate, max(0.0, rate - half), rate + half, n, (batches.caveat,))
