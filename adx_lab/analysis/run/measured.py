"""Every metric of a run that a budget can name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from adx_lab.analysis.run.latency import (
    PERCENTILES,
    Batches,
    batches_of,
    failed,
    rate_estimate,
    split_by,
    summarise,
    unanswered,
)
from adx_lab.analysis.stats.quantiles import LEVEL, Estimate, Percentile, batch_mean, quantile_estimates

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["measure"]


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
        `throughput_per_s` (answered without error) and `error_rate` (a fraction). Percentiles know their
        requests, and those of an endpoint its group, so that a limit of the group can be asked of each.
    """
    if samples.empty:
        return {}
    batches, lost = batches_of(samples, lasted_s=lasted_s), failed(samples)
    measured = {
        "throughput_per_s": rate_estimate(batches, ~lost, level=level),
        "error_rate": _error_rate(lost, batches, level),
    }
    values, waiting = samples["latency_ms"].to_numpy(dtype=np.float64, copy=False), unanswered(samples)
    usable = (~lost | waiting) & np.isfinite(values)
    groups = _groups(samples)
    for by in ("group", "endpoint"):
        rows_of = dict(split_by(samples, by))
        for row in summarise(samples, by=by, level=level, lasted_s=lasted_s):
            rows = np.arange(len(values))[rows_of[row.subject]]
            rows = rows[usable[rows]]
            told = _asked(
                (row.p50_ms, row.p95_ms, row.p99_ms, row.p999_ms),
                values[rows],
                batches.index[rows],
                group=groups.get(row.subject) if by == "endpoint" else None,
                unsure=int(waiting[rows].sum()),
            )
            measured |= _named(f"{by}.{row.subject}", told)
    if queries is not None and len(queries):
        measured |= _measure_queries(queries, batches, level)
    return measured


def _groups(samples: pd.DataFrame) -> dict[str, str]:
    """Return the group of each endpoint."""
    if "group" not in samples:
        return {}
    pairs = samples[["endpoint", "group"]].drop_duplicates("endpoint").dropna()
    return {str(endpoint): str(group) for endpoint, group in pairs.itertuples(index=False)}


def _measure_queries(queries: pd.DataFrame, batches: Batches, level: float) -> dict[str, Estimate]:
    times = queries["ms"].to_numpy(dtype=np.float64)
    index = batches.index[queries["sample"].to_numpy()]
    measured: dict[str, Estimate] = {}
    for name, rows in split_by(queries, "query"):
        own = (times[rows], index[rows])
        found = quantile_estimates(*own, PERCENTILES, level=level, caveats=(batches.caveat,))
        measured |= _named(f"query.{name}", _asked(found, *own))
    return measured


def _asked(
    estimates: tuple[Estimate, ...],
    times: NDArray[np.float64],
    batch: NDArray[np.int16],
    *,
    group: str | None = None,
    unsure: int = 0,
) -> tuple[Estimate, ...]:
    """Let percentiles know their requests."""
    return tuple(
        Percentile(one.value, one.low, one.high, one.n, one.caveats, p, group, times, batch, unsure)
        for p, one in zip(PERCENTILES, estimates, strict=True)
    )


def _named(prefix: str, estimates: tuple[Estimate, ...]) -> dict[str, Estimate]:
    return {f"{prefix}.p{100 * p:g}_ms": estimate for p, estimate in zip(PERCENTILES, estimates, strict=True)}


def _error_rate(lost: NDArray[np.bool_], batches: Batches, level: float) -> Estimate:
    """Estimate the share of failed requests: Clopper and Pearson's interval at Korn and Graubard's size."""
    n, failures = lost.size, int(lost.sum())
    share = failures / n
    spread = batch_mean(lost.astype(np.float64), batches.index, level=level)
    worth = float(n)
    if 0 < failures < n and spread.high is not None:
        z = float(stats.norm.ppf((1 + level) / 2))
        # `spread` already holds Student's t of the batches; never worth more than the requests themselves.
        worth = min(worth, share * (1 - share) / ((spread.high - share) / z) ** 2)
    hits, tail = share * worth, (1 - level) / 2
    low = float(stats.beta.ppf(tail, hits, worth - hits + 1)) if failures else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, worth - hits)) if failures < n else 1.0
    return Estimate(share, low, high, n, (batches.caveat,))
