"""One log ratio a block from the pairs themselves, whatever movement they are of.

Both halves of a pair ask for the same thing on behalf of the same person within milliseconds, so that
whether a cache answers, how large the tenant is and what the machine does just then are common to both and
cancel within the pair. A block's ratio is a trimmed mean over its pairs, since a stall that hits one half
must not count by its length; and the mean of both orders, since who comes second finds the processor warm.

What the middle of the pairs does not show (a tenth of the requests four times slower) shows in how many pairs
lie far on the one side and on the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from adx_lab.analysis.duet.block_ratios import ALL, BASE, HEAD, BlockSeries
from adx_lab.analysis.run.latency import failed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "METRIC",
    "MOVEMENT_METRICS",
    "Pairs",
    "middle_pairs",
    "pair_series",
    "pairs_of",
    "ratio_series",
    "share_that_matters",
    "stray_series",
    "whole_pairs",
]

METRIC = "pair_ms"
MOVEMENT_METRICS = {"open": METRIC, "serial": "serial_ms", "cold": "cold_ms", "burst": "burst_ms"}
BLOCKS_MIN = 5
TRIMMED = 0.2
"""Of a block's pairs, left out at either end."""

ORDER_MIN = 3
STALLED_SHARE = 0.05
"""Of an endpoint's pairs, left out of its means at each end."""

STRAY_RATIO, STRAY_RATIO_MAX = math.log(1.5), math.log(3.0)
STRAY_SPREADS, STRAY_MS = 4.0, 0.2
"""A pair is a stray where one half took half as long again, and that is far out among its like."""

SHARE_LEAST, SHARE_MOST = 0.015, 0.03
"""Of an endpoint's requests; where few pairs can't bound the less, the more must do."""

_SHARE_ERRORS = 3.5
_KEYS = ["block", "pair", "endpoint"]
_ROBUST = 1.4826


@dataclass(frozen=True)
class Pairs:
    """The pairs of one movement, whole ones only, in no particular order.

    Attributes
    ----------
    endpoints : list of str
    blocks : int
    endpoint, block : array
        Codes, one a pair.
    ratio : array
        log(head / base).
    base_ms, head_ms : array
    head_first : array of bool
        Whether head was asked first.
    """

    endpoints: list[str]
    blocks: int
    endpoint: NDArray[np.int64]
    block: NDArray[np.int64]
    ratio: NDArray[np.float64]
    base_ms: NDArray[np.float64]
    head_ms: NDArray[np.float64]
    head_first: NDArray[np.bool_]

    def cells(self) -> list[list[NDArray[np.int64]]]:
        """Return the places of each endpoint's pairs, block by block."""
        key = self.endpoint * self.blocks + self.block
        order = np.argsort(key, kind="stable")
        edges = np.searchsorted(key[order], np.arange(len(self.endpoints) * self.blocks + 1))
        return [
            [order[edges[e * self.blocks + b] : edges[e * self.blocks + b + 1]] for b in range(self.blocks)]
            for e in range(len(self.endpoints))
        ]


def whole_pairs(samples: pd.DataFrame) -> pd.DataFrame:
    """Return every pair of which both halves were recorded, failed ones too, in order.

    Parameters
    ----------
    samples
        One row a request, with `block`, `pair`, `variant`, `endpoint`, and `status` or `error`; what else
        there is of `service_ms`, `server_ms`, `bytes`, `t_sent_s` and `movement` comes along.

    Returns
    -------
    DataFrame
        One row a pair: `movement`, `endpoint`, `block`, `pair`, and `lost` and the columns twice, with
        `_base` and `_head` behind their names.
    """
    codes, endpoints = pd.factorize(samples["endpoint"], sort=True)
    movements = samples["movement"] if "movement" in samples else pd.Series(["open"] * len(samples))
    movement, names = pd.factorize(movements, sort=True)
    blocks, block = np.unique(samples["block"].to_numpy(), return_inverse=True)
    pair = samples["pair"].to_numpy(dtype=np.int64)
    pair = pair - pair.min(initial=0)
    place = (movement.astype(np.int64) * max(1, len(endpoints)) + codes) * max(1, blocks.size) + block
    key = place * (int(pair.max(initial=0)) + 1) + pair
    head = (samples["variant"] == HEAD).to_numpy()
    base = (samples["variant"] == BASE).to_numpy()
    sides = [np.flatnonzero(base), np.flatnonzero(head)]
    _, rows_base, rows_head = np.intersect1d(key[sides[0]], key[sides[1]], return_indices=True)
    rows = {BASE: sides[0][rows_base], HEAD: sides[1][rows_head]}
    first = rows[BASE]
    told = {
        "movement": np.asarray(names, dtype=object)[movement[first]],
        "endpoint": np.asarray(endpoints, dtype=object)[codes[first]],
        "block": samples["block"].to_numpy()[first],
        "pair": samples["pair"].to_numpy()[first],
    }
    lost = failed(samples)
    for side, own in rows.items():
        told[f"lost_{side}"] = lost[own]
        for name in ("service_ms", "server_ms", "bytes", "status", "t_sent_s"):
            if name in samples:
                told[f"{name}_{side}"] = samples[name].to_numpy()[own]
    return pd.DataFrame(told)


def pairs_of(table: pd.DataFrame, *, column: str = "service_ms", blocks: Sequence[int] = ()) -> Pairs:
    """Return the pairs that can be compared; one of which a half failed does not count.

    Parameters
    ----------
    table
        From `whole_pairs`, of one movement.
    column
        What is compared.
    blocks
        All blocks there are; those of the table where left out.
    """
    base, head = (table[f"{column}_{side}"].to_numpy(dtype=np.float64) for side in (BASE, HEAD))
    with np.errstate(invalid="ignore"):
        usable = (base > 0) & (head > 0) & np.isfinite(base) & np.isfinite(head)
    usable &= ~(table["lost_base"] | table["lost_head"]).to_numpy()
    numbers = np.unique(np.asarray(blocks) if len(blocks) else table["block"].to_numpy())
    kept = table[usable]
    endpoint, endpoints = pd.factorize(kept["endpoint"], sort=True)
    turned = np.zeros(len(kept), dtype=np.bool_)
    if "t_sent_s_base" in kept:
        turned = (kept["t_sent_s_head"] < kept["t_sent_s_base"]).to_numpy()
    return Pairs(
        [str(name) for name in endpoints],
        int(numbers.size),
        endpoint.astype(np.int64),
        np.searchsorted(numbers, kept["block"].to_numpy()).astype(np.int64),
        np.log(head[usable] / base[usable]),
        base[usable],
        head[usable],
        turned,
    )


def pair_series(samples: pd.DataFrame, *, column: str = "service_ms") -> tuple[BlockSeries, ...]:
    """Reduce a duet's samples to one log ratio a block for each endpoint; see `ratio_series`."""
    blocks = samples["block"].unique().tolist()
    return ratio_series(pairs_of(whole_pairs(samples), column=column, blocks=blocks))


def ratio_series(
    pairs: Pairs,
    *,
    metric: str = METRIC,
    matters: float = 0.05,
    matters_ms: float = 0.0,
    gate: bool = True,
) -> tuple[BlockSeries, ...]:
    """Reduce a movement's pairs to one log ratio a block for each endpoint.

    Parameters
    ----------
    pairs
        Of one movement.
    metric
        What the series are called.
    matters, matters_ms
        The smallest effect of an endpoint that matters: both a share of its time and so many milliseconds.
    gate
        Whether a verdict waits for the endpoints.

    Returns
    -------
    tuple of BlockSeries
        Ordered by subject, `all` first: the endpoints' ratios averaged by their pairs. Endpoints that fewer
        than five blocks asked for are left out.
    """
    series: list[BlockSeries] = []
    weights: list[int] = []
    for name, cells in zip(pairs.endpoints, pairs.cells(), strict=True):
        told = [_block(pairs, cell) for cell in cells]
        row = np.array([value for value, _ in told])
        if np.isfinite(row).sum() < min(BLOCKS_MIN, pairs.blocks):
            continue
        places = np.concatenate(cells)
        base_ms, head_ms = (float(np.median(ms[places])) for ms in (pairs.base_ms, pairs.head_ms))
        noise = np.array([error for _, error in told])
        series.append(
            BlockSeries(
                name,
                metric,
                tuple(row.tolist()),
                gate=gate,
                matters=max(matters, matters_ms / base_ms),
                noise=float(np.median(noise[np.isfinite(noise)])) if np.isfinite(noise).any() else math.nan,
                base=base_ms,
                head=head_ms,
            )
        )
        weights.append(places.size)
    if len(series) > 1:
        means = _average(series, np.array(weights, dtype=np.float64))
        series.append(BlockSeries(ALL, metric, means, unit=""))
    return tuple(sorted(series, key=lambda one: (one.subject != ALL, one.subject)))


def stray_series(pairs: Pairs, *, metric: str, gate: bool = True) -> tuple[BlockSeries, ...]:
    """Reduce a movement's pairs to the share in which head is far slower, less that in which base is.

    Parameters
    ----------
    pairs
        Of one movement.
    metric
        What the series are called.
    gate
        Whether a verdict waits for them.
    """
    series = []
    for name, cells in zip(pairs.endpoints, pairs.cells(), strict=True):
        places = np.concatenate(cells)
        own = pairs.ratio[places]
        middle = float(np.median(own))
        spread = _ROBUST * float(np.median(np.abs(own - middle)))
        far = min(max(STRAY_RATIO, STRAY_SPREADS * spread), STRAY_RATIO_MAX)
        counts = np.array([cell.size for cell in cells], dtype=np.float64)
        if (counts > 0).sum() < min(BLOCKS_MIN, pairs.blocks):
            continue
        # From zero, not from the middle: what slows all of them is the middle's to tell, and strays too.
        stray = np.where(np.abs(pairs.head_ms - pairs.base_ms) > STRAY_MS, pairs.ratio, 0.0)
        slow, quick = (
            np.array([float((side * stray[cell] > far).sum()) for cell in cells]) for side in (1, -1)
        )
        total = counts.sum()
        # Poisson's error, and one more: that none was seen is no proof that there is none.
        error = math.sqrt(slow.sum() + quick.sum() + 1) / total
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.where(counts > 0, (slow - quick) / counts, math.nan)
        series.append(
            BlockSeries(
                name,
                metric,
                tuple(shares.tolist()),
                difference=True,
                gate=gate,
                matters=share_that_matters(error),
                noise=error * math.sqrt(float((counts > 0).sum())),
                base=float(quick.sum() / total),
                head=float(slow.sum() / total),
                unit="share",
                counts=tuple(zip(quick.astype(int).tolist(), slow.astype(int).tolist(), strict=True)),
            )
        )
    return tuple(series)


def share_that_matters(error: float) -> float:
    """Return the share of an endpoint's requests from which on it matters: what so many pairs can bound."""
    return min(max(_SHARE_ERRORS * error, SHARE_LEAST), SHARE_MOST)


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
    keys = [*_KEYS, "movement"] if "movement" in samples else _KEYS
    own = samples[[*keys, "service_ms"]].assign(row=np.arange(len(samples)))
    head = (samples["variant"] == HEAD).to_numpy()
    base_half, head_half = (own[usable & side].drop_duplicates(keys) for side in (~head, head))
    pairs = base_half.merge(head_half, on=keys, suffixes=("_base", "_head"))
    pairs["change"] = pairs["service_ms_head"] - pairs["service_ms_base"]
    changes = pairs.groupby("endpoint", observed=True)["change"]
    low, high = (changes.transform("quantile", q) for q in (STALLED_SHARE, 1 - STALLED_SHARE))
    kept = pairs[((pairs["change"] >= low) & (pairs["change"] <= high)).to_numpy()]
    middle = np.zeros(len(samples), dtype=np.bool_)
    middle[kept[["row_base", "row_head"]].to_numpy().ravel()] = True
    return middle


def _block(pairs: Pairs, cell: NDArray[np.int64]) -> tuple[float, float]:
    """Return a block's value and its standard error."""
    ratio, turned = pairs.ratio[cell], pairs.head_first[cell]
    parts = [ratio[turned], ratio[~turned]]
    if min(part.size for part in parts) < ORDER_MIN:
        parts = [ratio]
    told = [_trimmed(part) for part in parts]
    return (
        sum(value for value, _ in told) / len(told),
        math.sqrt(sum(error**2 for _, error in told)) / len(told),
    )


def _trimmed(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the trimmed mean and its error, from the winsorised variance (Tukey, McLaughlin 1963)."""
    if values.size == 0:
        return math.nan, math.nan
    ranked = np.sort(values)
    cut = int(TRIMMED * ranked.size)
    kept = ranked[cut : ranked.size - cut]
    if ranked.size < 2:
        return float(kept.mean()), math.nan
    spread = float(np.clip(ranked, kept[0], kept[-1]).std(ddof=1))
    return float(kept.mean()), spread / ((1 - 2 * TRIMMED) * math.sqrt(ranked.size))


def _average(series: list[BlockSeries], weights: NDArray[np.float64]) -> tuple[float, ...]:
    """Average over the endpoints, in each block over those that count in it.

    A block that asked for a few of them says nothing of all.
    """
    table = np.array([one.log_ratio for one in series])
    mass = np.isfinite(table) * weights[:, None]
    total = mass.sum(axis=0)
    mean = (np.nan_to_num(table) * mass).sum(axis=0) / np.where(total > weights.sum() / 2, total, np.nan)
    return tuple(mean.tolist())
