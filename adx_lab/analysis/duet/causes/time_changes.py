"""Split the change between two variants over the parts of the time, the queries and the cache layers.

The change of a mean has two sources: requests take longer where they are answered (by the same cache layer),
and requests are answered elsewhere (by a slower layer). Kitagawa's decomposition (E. M. Kitagawa: Components
of a difference between two rates. JASA 50, 1955) keeps them apart, so that queries which run only because a
cache no longer answers are not taken for new ones.

What is split is the time from the send, as the pairs compare it: a duet's requests wait for one another by
design, and how long is chance. Means are over the pairs in the middle (`pairs.middle_pairs`): on a busy
machine a few stalls move a mean by more than what a duet finds in the pairs, and in either direction. What
only a few requests suffer is in the tail, from which nothing is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adx_lab.analysis.duet.block_ratios import HEAD
from adx_lab.analysis.duet.pair_ratios import middle_pairs
from adx_lab.analysis.run.latency import failed
from adx_lab.analysis.run.tail import slowest
from adx_lab.analysis.run.time_split import PartKind, PartMeans, part_means, text_codes

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["EndpointChange", "PartChange", "QueryChange", "split_changes"]

LAYERS = ("none", "l1", "l2", "miss")
CELL_MIN = 5


@dataclass(frozen=True)
class PartChange:
    """One part of the time.

    Attributes
    ----------
    name, kind : str
        See `parts`.
    change_ms : float
        Head's mean less base's; the parts add up to the endpoint's change.
    within_ms : float
        What remains of it between requests that the same cache layer answered.
    tail_ms : float
        The same difference among each variant's slowest 5%.
    share, tail_share : float
        Of the endpoint's change; NaN where there is none.
    """

    name: str
    kind: PartKind
    change_ms: float
    within_ms: float
    tail_ms: float
    share: float
    tail_share: float


@dataclass(frozen=True)
class QueryChange:
    """One query on one endpoint: executions a request and milliseconds an execution, in the same layer."""

    query: str
    base_calls: float
    head_calls: float
    base_ms: float
    head_ms: float


@dataclass(frozen=True)
class EndpointChange:
    """One endpoint's change between the variants.

    Attributes
    ----------
    endpoint : str
    requests : int
        Of both variants, in the pairs that count.
    base_ms, head_ms : float
        Mean time from the send over them.
    tail_ms : float
        Change of the mean of the slowest 5%.
    parts : tuple of PartChange
        By falling change.
    queries : tuple of QueryChange
    layer_shares : mapping of layer to (base, head)
        Which cache layer answered, as shares of requests.
    cache_ms : float
        The part of the change that comes from other layers answering: change in share times the layer's cost.
    base_bytes, head_bytes : float
        Mean response size.
    """

    endpoint: str
    requests: int
    base_ms: float
    head_ms: float
    tail_ms: float
    parts: tuple[PartChange, ...]
    queries: tuple[QueryChange, ...]
    layer_shares: dict[str, tuple[float, float]]
    cache_ms: float
    base_bytes: float
    head_bytes: float

    @property
    def change_ms(self) -> float:
        """Head's mean less base's."""
        return self.head_ms - self.base_ms


def split_changes(samples: pd.DataFrame, queries: pd.DataFrame | None = None) -> tuple[EndpointChange, ...]:
    """Split every endpoint's change.

    Parameters
    ----------
    samples
        One row a request of both variants, without warm-up: `variant`, `endpoint`, the times, `cache`,
        `bytes`.
    queries
        One row an execution: `sample`, `query`, `ms`.

    Returns
    -------
    tuple of EndpointChange
        Ordered by endpoint; without those that one variant never answered.
    """
    samples = samples.assign(latency_ms=samples["service_ms"])
    codes, endpoints = text_codes(samples["endpoint"])
    usable = ~failed(samples) & np.isfinite(samples["latency_ms"].to_numpy(dtype=np.float64))
    head = (samples["variant"] == HEAD).to_numpy()
    side = np.where(usable, codes.astype(np.int64) * 2 + head, -1)
    middle = np.where(middle_pairs(samples, usable), side, -1)
    cell = np.where(middle < 0, -1, side * len(LAYERS) + _layers(samples))
    width = 2 * len(endpoints)
    slow, _ = slowest(samples["latency_ms"].to_numpy(dtype=np.float64), side, width)
    tables = (
        part_means(samples, queries, middle, width),
        part_means(samples, queries, cell, width * len(LAYERS)),
        part_means(samples, queries, np.where(slow, side, -1), width),
    )
    size = samples["bytes"].to_numpy(dtype=np.float64) if "bytes" in samples else np.zeros(len(samples))
    answered = middle >= 0
    with np.errstate(invalid="ignore", divide="ignore"):
        sizes = np.bincount(middle[answered], weights=size[answered], minlength=width) / tables[0].count
    changes = [
        _change(name, i, tables, sizes)
        for i, name in enumerate(endpoints)
        if tables[0].count[2 * i] and tables[0].count[2 * i + 1]
    ]
    return tuple(sorted(changes, key=lambda change: change.endpoint))


def _layers(samples: pd.DataFrame) -> NDArray[np.int64]:
    if "cache" not in samples:
        return np.zeros(len(samples), dtype=np.int64)
    codes, names = text_codes(samples["cache"])
    place = np.array([LAYERS.index(name) if name in LAYERS else 0 for name in names] or [0])
    return np.asarray(place[codes], dtype=np.int64)


def _change(
    endpoint: str, i: int, tables: tuple[PartMeans, PartMeans, PartMeans], sizes: NDArray[np.float64]
) -> EndpointChange:
    whole, cells, tail = tables
    base, head = whole.mean_ms[:, 2 * i], whole.mean_ms[:, 2 * i + 1]
    tails = np.nan_to_num(tail.mean_ms[:, 2 * i + 1] - tail.mean_ms[:, 2 * i])
    shares, weights, low, high = _cells_of(cells, i)
    within = np.nan_to_num(cells.mean_ms[:, high] - cells.mean_ms[:, low]) @ weights
    change, tail_ms = head - base, float(tails.sum())
    total = float(change.sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        share, tail_share = change / total, tails / tail_ms
    parts = [
        PartChange(name, kind, *(float(column[k]) for column in (change, within, tails, share, tail_share)))
        for k, (name, kind) in enumerate(zip(whole.names, whole.kinds, strict=True))
    ]
    calls = [np.nan_to_num(cells.per_request[:, side]) @ weights for side in (low, high)]
    spent = [np.nan_to_num(cells.mean_ms[:, side]) @ weights for side in (low, high)]
    queries = [
        QueryChange(
            name,
            *(float(c[k]) for c in calls),
            *(float(s[k] / c[k]) if c[k] else 0.0 for s, c in zip(spent, calls, strict=True)),
        )
        for k, (name, kind) in enumerate(zip(whole.names, whole.kinds, strict=True))
        if kind == "query" and (calls[0][k] or calls[1][k])
    ]
    return EndpointChange(
        endpoint=endpoint,
        requests=int(whole.count[2 * i] + whole.count[2 * i + 1]),
        base_ms=float(base.sum()),
        head_ms=float(head.sum()),
        tail_ms=tail_ms,
        parts=tuple(sorted(parts, key=lambda part: (-part.change_ms, part.name))),
        queries=tuple(queries),
        layer_shares=shares,
        cache_ms=float(total - within.sum()),
        base_bytes=float(sizes[2 * i]),
        head_bytes=float(sizes[2 * i + 1]),
    )


def _cells_of(
    cells: PartMeans, i: int
) -> tuple[dict[str, tuple[float, float]], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return each layer's shares; and weight, base cell and head cell of the layers that both have."""
    size = len(LAYERS)
    low = np.arange(2 * i * size, (2 * i + 1) * size)
    high = low + size
    counts = np.stack([cells.count[low], cells.count[high]]).astype(np.float64)
    shares = counts / counts.sum(axis=1, keepdims=True)
    both = counts.min(axis=0) >= CELL_MIN
    named = {
        name: (float(shares[0, k]), float(shares[1, k]))
        for k, name in enumerate(LAYERS)
        if shares[:, k].any()
    }
    return named, shares.mean(axis=0)[both], low[both], high[both]
