"""One log ratio a block from the pairs themselves: the median of what each pair says.

Both halves of a pair ask for the same thing on behalf of the same person within milliseconds, so that
whether a cache answers, how large the tenant is and what the machine does just then are common to both and
cancel within the pair. The ratio of two medians can't know that: where half of the requests are answered by a
cache and half by the database, each median wanders between the two. It is the median over pairs, since a
stall that hits one half must not count by its length. On a machine whose processors were mostly taken by
others, blocks of 150 pairs differed by 0.10 where the ratios of their medians differed by 0.17.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from adx_lab.analysis.duet.block_ratios import ALL, BASE, BLOCKS_SHARE_MIN, HEAD, BlockSeries
from adx_lab.analysis.run.latency import failed

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["METRIC", "middle_pairs", "pair_series"]

METRIC = "pair_ms"
PAIRS_MIN = 10
STALLED_SHARE = 0.05
"""Of an endpoint's pairs, left out of its means at each end."""

_KEYS = ["block", "pair", "endpoint"]


def pair_series(samples: pd.DataFrame, *, column: str = "service_ms") -> tuple[BlockSeries, ...]:
    """Reduce a duet's samples to one log ratio a block for each endpoint, pair by pair.

    Parameters
    ----------
    samples
        One row a request, with `block`, `pair`, `variant`, `endpoint`, `column`, and `status` or `error`. A
        pair of which a half failed does not count.
    column
        What is compared.

    Returns
    -------
    tuple of BlockSeries
        Ordered by subject, `all` first: the endpoints' ratios averaged by their pairs. Endpoints that most
        blocks have too few pairs of are left out.
    """
    values = samples[column].to_numpy(dtype=np.float64)
    usable = samples[~failed(samples) & np.isfinite(values) & (values > 0)]
    halves = [
        usable[(usable["variant"] == side).to_numpy()][[*_KEYS, column]].drop_duplicates(_KEYS)
        for side in (BASE, HEAD)
    ]
    pairs = halves[0].merge(halves[1], on=_KEYS, suffixes=("_base", "_head"))
    pairs["ratio"] = np.log(pairs[f"{column}_head"].to_numpy() / pairs[f"{column}_base"].to_numpy())
    blocks = sorted(samples["block"].unique())
    series: list[BlockSeries] = []
    weights: list[int] = []
    for endpoint, own in pairs.groupby("endpoint", observed=True):
        by_block = own.groupby("block", observed=True)["ratio"].agg(["median", "size"]).reindex(blocks)
        row = np.where(by_block["size"] >= PAIRS_MIN, by_block["median"], math.nan)
        if np.isfinite(row).mean() >= BLOCKS_SHARE_MIN:
            series.append(BlockSeries(str(endpoint), METRIC, tuple(row.tolist())))
            weights.append(len(own))
    if len(series) > 1:
        series.append(BlockSeries(ALL, METRIC, _average(series, np.array(weights, dtype=np.float64))))
    return tuple(sorted(series, key=lambda one: (one.subject != ALL, one.subject)))


def middle_pairs(samples: pd.DataFrame, usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the requests of the pairs that a stall of the machine did not tear apart.

    A mean of differences is moved by a few stalls of 50 ms, although neither half is to blame. The pairs that
    differ most are left out at both ends alike, so that a difference which all have stays what it is (a
    trimmed mean; R. R. Wilcox: Introduction to Robust Estimation and Hypothesis Testing, 2017, 2.2.3).

    Parameters
    ----------
    samples
        As in `pair_series`; without `pair` there is nothing to tell stalls by.
    usable
        Which requests count at all.

    Returns
    -------
    array of bool
        Over the samples.
    """
    if "pair" not in samples:
        return usable
    own = samples[[*_KEYS, "service_ms"]].assign(row=np.arange(len(samples)))
    head = (samples["variant"] == HEAD).to_numpy()
    base_half, head_half = (own[usable & side].drop_duplicates(_KEYS) for side in (~head, head))
    pairs = base_half.merge(head_half, on=_KEYS, suffixes=("_base", "_head"))
    pairs["change"] = pairs["service_ms_head"] - pairs["service_ms_base"]
    changes = pairs.groupby("endpoint", observed=True)["change"]
    low, high = (changes.transform("quantile", q) for q in (STALLED_SHARE, 1 - STALLED_SHARE))
    kept = pairs[((pairs["change"] >= low) & (pairs["change"] <= high)).to_numpy()]
    middle = np.zeros(len(samples), dtype=np.bool_)
    middle[kept[["row_base", "row_head"]].to_numpy().ravel()] = True
    return middle


def _average(series: list[BlockSeries], weights: NDArray[np.float64]) -> tuple[float, ...]:
    """Average over the endpoints, in each block over those that count in it."""
    table = np.array([one.log_ratio for one in series])
    mass = np.isfinite(table) * weights[:, None]
    total = mass.sum(axis=0)
    mean = (np.nan_to_num(table) * mass).sum(axis=0) / np.where(total > 0, total, np.nan)
    return tuple(mean.tolist())
