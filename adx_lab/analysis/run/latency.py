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

from adx_lab.analysis.run.budgets import RARE
from adx_lab.analysis.run.time_split import text_codes
from adx_lab.analysis.stats.quantiles import (
    LEVEL,
    TOO_FEW,
    Estimate,
    at_least,
    batch_mean,
    in_batches,
    mean_of_sums,
    quantile_estimates,
)
from adx_lab.records.run import Caveat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd
    from numpy.typing import NDArray

PERCENTILES = (0.5, 0.95, 0.99, 0.999)
_P95 = PERCENTILES.index(0.95)
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


def measure(
    samples: pd.DataFrame,
    queries: pd.DataFrame | None = None,
    *,
    level: float = LEVEL,
    lasted_s: float | None = None,
) -> dict[str, Estimate]:
    """Return what a run's samples say of the budgets' metrics.

    Parameters
    ----------
    samples
        One row a request; `endpoint` and `group` are used.
    queries
        One row an execution: `sample` (a row number of `samples`), `query`, `ms`.
    level
        Two-sided confidence.
    lasted_s
        As in `summarise`.

    Returns
    -------
    dict
        `group.NAME.pNN_ms`, `endpoint.NAME.pNN_ms`, `query.NAME.pNN_ms` (NN of 50, 95, 99, 99.9),
        `throughput_per_s` (answered without error) and `error_rate` (a fraction). Queries too rare for a p95
        that is bounded from above are also measured together, as the query `(rare)`.
    """
    if samples.empty:
        return {}
    batches, lost = batches_of(samples, lasted_s=lasted_s), failed(samples)
    size = batches.seconds.size
    sent, failures = in_batches(batches.index, size=size), in_batches(batches.index[lost], size=size)
    parts = (summarise(samples, by=by, level=level, lasted_s=lasted_s) for by in ("group", "endpoint"))
    rows = [row for part in parts for row in part]
    measured = measure_whole(batches, sent, failures, rows, level=level)
    if queries is not None and len(queries):
        times, index = queries["ms"].to_numpy(np.float64), batches.index[queries["sample"].to_numpy()]
        own = ((name, times[part], index[part]) for name, part in split_by(queries, "query"))
        measured |= measure_queries(own, batches, level=level)
    return measured


def measure_whole(
    batches: Batches,
    sent: NDArray[np.float64],
    failures: NDArray[np.float64],
    rows: Iterable[LatencySummary],
    *,
    level: float = LEVEL,
) -> dict[str, Estimate]:
    """Return what a budget can name of requests, from the counts of each batch and each part's times."""
    measured = {
        "throughput_per_s": rate_estimate(batches, sent - failures, level=level),
        "error_rate": _error_rate(sent, failures, batches, level),
    }
    for row in rows:
        measured |= _named(f"{row.by}.{row.subject}", (row.p50_ms, row.p95_ms, row.p99_ms, row.p999_ms))
    return measured


def measure_queries(
    parts: Iterable[tuple[str, NDArray[np.floating], NDArray[np.integer]]],
    batches: Batches,
    *,
    level: float = LEVEL,
) -> dict[str, Estimate]:
    """Return what a budget can name of queries, from the times of each and their batches."""
    measured: dict[str, Estimate] = {}
    rare = {}
    for name, times, index in parts:
        found = quantile_estimates(times, index, PERCENTILES, level=level, caveats=(batches.caveat,))
        measured |= _named(f"query.{name}", found)
        if found[_P95].high is None:
            rare[name] = (times, index)
    if len(rare) > 1:
        text = f"too rare to be told one by one, and judged together: {', '.join(sorted(rare))}"
        caveats = (batches.caveat, Caveat("rare-queries", text))
        times, index = (np.concatenate(both) for both in zip(*rare.values(), strict=True))
        found = quantile_estimates(times, index, PERCENTILES, level=level, caveats=caveats)
        measured |= _named(f"query.{RARE}", found)
    return measured


def _named(prefix: str, estimates: tuple[Estimate, ...]) -> dict[str, Estimate]:
    return {f"{prefix}.p{100 * p:g}_ms": estimate for p, estimate in zip(PERCENTILES, estimates, strict=True)}


def _error_rate(
    sent: NDArray[np.float64], lost: NDArray[np.float64], batches: Batches, level: float
) -> Estimate:
    """Estimate the share of failed requests: Clopper and Pearson's interval at Korn and Graubard's size."""
    n, failures = int(sent.sum()), int(lost.sum())
    share = failures / n
    spread = mean_of_sums(lost, sent, level=level)
    worth = float(n)
    if 0 < failures < n and spread.high is not None:
        z = float(stats.norm.ppf((1 + level) / 2))
        # `spread` already holds Student's t of the batches; never worth more than the requests themselves.
        worth = min(worth, share * (1 - share) / ((spread.high - share) / z) ** 2)
    hits, tail = share * worth, (1 - level) / 2
    low = float(stats.beta.ppf(tail, hits, worth - hits + 1)) if failures else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, worth - hits)) if failures < n else 1.0
    return Estimate(share, low, high, n, (batches.caveat,))
