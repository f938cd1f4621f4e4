"""Reduce a duet to what its verdict rests on: one log ratio a block, for each endpoint and metric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adx_lab.analysis.run.latency import failed
from adx_lab.analysis.run.time_split import text_codes
from adx_lab.analysis.stats.quantiles import harrell_davis

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["ALL", "BASE", "HEAD", "BlockSeries", "block_quantiles", "value_series"]

BASE, HEAD = "base", "head"
ALL = "all"
QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
# A block's quantile rests on what lies beyond it: with fewer requests there it is the maximum, renamed.
BEYOND_MIN = 4
BLOCKS_SHARE_MIN = 0.8

Cells = dict[tuple[int, int, int], "NDArray[np.float64]"]
"""The ascending times of each subject, block and variant (0 base, 1 head)."""


@dataclass(frozen=True)
class BlockSeries:
    """One comparison's evidence.

    Attributes
    ----------
    subject, metric : str
        What is compared: an endpoint, or `all`; and its metric.
    log_ratio : tuple of float
        One a block, log(head / base), or head less base where `difference`; NaN where the block can't carry
        the metric.
    gate : bool
        Whether the verdict stays undecided as long as this comparison can't rule out a slowdown.
    higher_is_better : bool
        True for a capacity: then a ratio below 1 is slower.
    difference : bool
        Whether the values are differences, in `unit`, and not logs of ratios.
    either : bool
        Whether less is no better than more: a response of other bytes is another response.
    matters : float or None
        The smallest effect that matters, a fraction (or in `unit`); None leaves it to the design.
    noise : float
        The usual standard error of a block's value within the block; NaN where it isn't known.
    base, head : float or None
        What both variants show, in `unit`.
    unit : str
    shift : float
        What was added to both sides, in `unit`, before their ratio: so that 0 can be compared, and a
        change too small to matter is small.
    counts : tuple of (base, head), or None
        Of what is counted pair by pair: how often it befell either half alone, one a block.
    """

    subject: str
    metric: str
    log_ratio: tuple[float, ...]
    gate: bool = True
    higher_is_better: bool = False
    difference: bool = False
    either: bool = False
    matters: float | None = None
    noise: float = math.nan
    base: float | None = None
    head: float | None = None
    unit: str = "ms"
    shift: float = 0.0
    counts: tuple[tuple[int, int], ...] | None = None


def block_quantiles(
    samples: pd.DataFrame,
    *,
    column: str = "service_ms",
    by: str = "endpoint",
    gates: Sequence[str] = ("p50_ms",),
) -> tuple[BlockSeries, ...]:
    """Reduce a duet's samples to one log ratio a block for each endpoint and quantile.

    Besides the endpoints there is the subject `all`: the endpoints' log ratios averaged by their requests,
    which sees a slowdown that is spread over everything long before any endpoint alone does.

    Parameters
    ----------
    samples
        One row a request, with `block`, `variant` ("base" or "head"), `by`, `column`, and `status` or
        `error`; without warm-up. Failed requests are left out: their share is a validity check.
    column
        What is compared; the time from the send, since a duet's requests wait for one another by design.
    by
        The column whose values are the subjects.
    gates
        The metrics of endpoints that a verdict waits for. Those of `all` always are.

    Returns
    -------
    tuple of BlockSeries
        Ordered by subject and quantile. A quantile that most blocks can't carry is left out.
    """
    cells, subjects, blocks = _cells(samples, column, by)
    weights = np.array(
        [sum(cells[s, b, v].size for b in range(blocks) for v in (0, 1)) for s in range(len(subjects))]
    )
    series: list[BlockSeries] = []
    for metric, p in QUANTILES.items():
        table = np.array([[_log_ratio(cells, s, b, p) for b in range(blocks)] for s in range(len(subjects))])
        kept = [s for s in range(len(subjects)) if _carried(table[s])]
        series += [
            BlockSeries(subjects[s], metric, tuple(table[s].tolist()), gate=metric in gates) for s in kept
        ]
        if len(kept) > 1:
            series.append(BlockSeries(ALL, metric, _average(table[kept], weights[kept])))
    return tuple(sorted(series, key=lambda one: (one.subject != ALL, one.subject)))


def _cells(samples: pd.DataFrame, column: str, by: str) -> tuple[Cells, list[str], int]:
    """Return the times, the subjects in order, and the number of blocks."""
    values = samples[column].to_numpy(dtype=np.float64)
    usable = ~failed(samples) & np.isfinite(values) & (values > 0)
    codes, subjects = text_codes(samples[by])
    order = sorted(range(len(subjects)), key=lambda i: subjects[i])
    blocks, block = np.unique(samples["block"].to_numpy(), return_inverse=True)
    head = (samples["variant"] == HEAD).to_numpy()
    key = (codes.astype(np.int64) * blocks.size + block) * 2 + head
    ranked = np.lexsort((values, key))
    ranked = ranked[usable[ranked]]
    edges = np.searchsorted(key[ranked], np.arange(len(subjects) * blocks.size * 2 + 1))
    times = values[ranked]
    cells = {
        (place, b, v): times[edges[at] : edges[at + 1]]
        for place, s in enumerate(order)
        for b in range(blocks.size)
        for v in (0, 1)
        for at in ((s * blocks.size + b) * 2 + v,)
    }
    return cells, [subjects[i] for i in order], int(blocks.size)


def _log_ratio(cells: Cells, s: int, b: int, p: float) -> float:
    base, head = cells[s, b, 0], cells[s, b, 1]
    if min(base.size, head.size) * (1 - p) < BEYOND_MIN:
        return math.nan
    return math.log(harrell_davis(head, p) / harrell_davis(base, p))


def _carried(row: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(row).mean() >= BLOCKS_SHARE_MIN)


def _average(table: NDArray[np.float64], weights: NDArray[np.int64]) -> tuple[float, ...]:
    """Average over subjects, for each block over those that count in it."""
    mass = np.isfinite(table) * weights[:, None].astype(np.float64)
    total = mass.sum(axis=0)
    mean = (np.nan_to_num(table) * mass).sum(axis=0) / np.where(total > 0, total, np.nan)
    return tuple(mean.tolist())


def value_series(
    subject: str,
    metric: str,
    base: Sequence[float],
    head: Sequence[float],
    *,
    gate: bool = True,
    higher_is_better: bool = False,
) -> BlockSeries:
    """Make a series of one figure a block, such as CPU per request or the capacity.

    Parameters
    ----------
    subject, metric
        What it is.
    base, head
        One value a block, in the same order; what is not positive does not count.
    gate, higher_is_better
        See `BlockSeries`.
    """
    ratios = [
        math.log(after / before) if before > 0 and after > 0 else math.nan
        for before, after in zip(base, head, strict=True)
    ]
    return BlockSeries(subject, metric, tuple(ratios), gate=gate, higher_is_better=higher_is_better)
