"""Every metric of a run that a budget can name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from adx_lab.analysis.run.latency import (
    PERCENTILES,
    Batches,
    LatencySummary,
    batches_of,
    failed,
    rate_estimate,
    split_by,
    summarise,
    unanswered,
)
from adx_lab.analysis.stats.quantiles import (
    LEVEL,
    Estimate,
    Percentile,
    in_batches,
    mean_of_sums,
    quantile_estimates,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd
    from numpy.typing import NDArray


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
        `throughput_per_s` (answered without error) and `error_rate` (a fraction). Percentiles of endpoints
        and queries know their requests, those of an endpoint its group, whose limit is asked of each.
    """
    if samples.empty:
        return {}
    batches, lost = batches_of(samples, lasted_s=lasted_s), failed(samples)
    size = batches.seconds.size
    sent, failures = in_batches(batches.index, size=size), in_batches(batches.index[lost], size=size)
    parts = (summarise(samples, by=by, level=level, lasted_s=lasted_s) for by in ("group", "endpoint"))
    rows = [row for part in parts for row in part]
    pairs = samples[["endpoint", "group"]].drop_duplicates("endpoint").dropna()
    groups = {str(endpoint): str(group) for endpoint, group in pairs.itertuples(index=False)}
    measured = measure_whole(batches, sent, failures, rows, groups=groups, level=level)
    measured |= _with_times(measured, samples, batches, lost)
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
    groups: Mapping[str, str],
    level: float = LEVEL,
) -> dict[str, Estimate]:
    """Return what a budget can name of requests, from the counts of each batch and each part's times."""
    measured = {
        "throughput_per_s": rate_estimate(batches, sent - failures, level=level),
        "error_rate": _error_rate(sent, failures, batches, level),
    }
    for row in rows:
        group = groups.get(row.subject) if row.by == "endpoint" else None
        found = (row.p50_ms, row.p95_ms, row.p99_ms, row.p999_ms)
        measured |= _named(f"{row.by}.{row.subject}", _asked(found, group=group))
    return measured


def measure_queries(
    parts: Iterable[tuple[str, NDArray[np.floating], NDArray[np.integer]]],
    batches: Batches,
    *,
    level: float = LEVEL,
) -> dict[str, Estimate]:
    """Return what a budget can name of queries, each by itself, from the times of each and their batches."""
    measured: dict[str, Estimate] = {}
    for name, times, index in parts:
        found = quantile_estimates(times, index, PERCENTILES, level=level, caveats=(batches.caveat,))
        measured |= _named(f"query.{name}", _asked(found, times, index))
    return measured


def _with_times(
    measured: Mapping[str, Estimate], samples: pd.DataFrame, batches: Batches, lost: NDArray[np.bool_]
) -> dict[str, Estimate]:
    """Return the percentiles of endpoints with their requests."""
    values, waiting = samples["latency_ms"].to_numpy(dtype=np.float64, copy=False), unanswered(samples)
    usable = (~lost | waiting) & np.isfinite(values)
    found: dict[str, Estimate] = {}
    for endpoint, part in split_by(samples, "endpoint"):
        rows = np.arange(len(values))[part]
        rows = rows[usable[rows]]
        names = [f"endpoint.{endpoint}.p{100 * p:g}_ms" for p in PERCENTILES]
        known = [measured[name] for name in names]
        group = getattr(known[0], "group", None)
        asked = _asked(known, values[rows], batches.index[rows], group=group, unsure=int(waiting[rows].sum()))
        found |= dict(zip(names, asked, strict=True))
    return found


def _asked(
    estimates: Iterable[Estimate],
    times: NDArray[np.floating] | None = None,
    batch: NDArray[np.integer] | None = None,
    *,
    group: str | None = None,
    unsure: int = 0,
) -> tuple[Estimate, ...]:
    """Let percentiles know their group, and their requests where these are at hand."""
    own = np.zeros(0) if times is None else times
    index = np.zeros(0, dtype=np.int16) if batch is None else batch
    return tuple(
        Percentile(one.value, one.low, one.high, one.n, one.caveats, p, group, own, index, unsure)
        for p, one in zip(PERCENTILES, estimates, strict=True)
    )


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
