"""Where the slowest requests spend their time, compared with the others of their endpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adx_lab.analysis.run.latency import failed, split_by
from adx_lab.analysis.run.time_split import PartKind, PartMeans, part_means

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["TAIL", "TailAttribution", "TailPart", "slowest", "tail_attribution"]

TAIL = 0.05


@dataclass(frozen=True)
class TailPart:
    """One part of the time, in the tail and outside it.

    Attributes
    ----------
    name, kind : str
        See `parts`.
    tail_ms, rest_ms : float
        Mean milliseconds a request, among the slowest and among the others.
    share : float
        The part's share of what the slowest requests take longer; all parts add up to 1.
    """

    name: str
    kind: PartKind
    tail_ms: float
    rest_ms: float
    share: float


@dataclass(frozen=True)
class TailAttribution:
    """Why an endpoint's slowest requests are slow: `parts` by falling share."""

    subject: str
    threshold_ms: float
    count: int
    tail_ms: float
    rest_ms: float
    parts: tuple[TailPart, ...]


def slowest(
    values: NDArray[np.float64], group: NDArray[np.integer], groups: int, *, tail: float = TAIL
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Mark the slowest requests of each group.

    Parameters
    ----------
    values
        Milliseconds, one a request.
    group
        The group of each request, from 0; -1 leaves it out.
    groups
        How many groups there are.
    tail
        The fraction that counts as slow.

    Returns
    -------
    tuple
        Whether each request is among them (none where all take the same), and the threshold of each group in
        milliseconds (NaN: no requests).
    """
    thresholds = np.full(groups + 1, np.nan)  # the last one stands for group -1: nothing exceeds NaN
    order = np.argsort(group, kind="stable")
    edges = np.searchsorted(group, np.arange(groups + 1), sorter=order)
    for i in range(groups):
        own = values[order[edges[i] : edges[i + 1]]]
        if own.size:
            rank = math.ceil((1 - tail) * own.size) - 1
            thresholds[i] = np.partition(own, rank)[rank]
    return values > thresholds[group], thresholds[:-1]


def tail_attribution(
    samples: pd.DataFrame,
    queries: pd.DataFrame | None = None,
    *,
    by: str | None = "endpoint",
    tail: float = TAIL,
) -> tuple[TailAttribution, ...]:
    """Split what an endpoint's slowest requests take longer over the parts of their time.

    Parameters
    ----------
    samples, queries
        As in the store.
    by
        The column to split by: slow is what is slow for its own kind.
    tail
        The fraction that counts as slow.

    Returns
    -------
    tuple of TailAttribution
        Ordered by subject; failed requests are left out, and subjects that then have none.
    """
    values = samples["latency_ms"].to_numpy(dtype=np.float64, copy=False)
    usable = ~failed(samples) & np.isfinite(values)
    group = np.full(values.size, -1, dtype=np.int32)
    subjects = []
    for i, (subject, rows) in enumerate(split_by(samples, by)):
        group[rows] = i
        subjects.append(subject)
    group[~usable] = -1
    slow, thresholds = slowest(values, group, len(subjects), tail=tail)
    means = part_means(samples, queries, np.where(group < 0, -1, 2 * group + slow), 2 * len(subjects))
    return tuple(
        _attribution(subject, float(thresholds[i]), means, i)
        for i, subject in enumerate(subjects)
        if means.count[2 * i] and means.count[2 * i + 1]
    )


def _attribution(subject: str, threshold_ms: float, means: PartMeans, i: int) -> TailAttribution:
    rest, slow = means.mean_ms[:, 2 * i], means.mean_ms[:, 2 * i + 1]
    excess = float((slow - rest).sum())
    parts = [
        TailPart(name, kind, float(slow[k]), float(rest[k]), float(slow[k] - rest[k]) / excess)
        for k, (name, kind) in enumerate(zip(means.names, means.kinds, strict=True))
        if slow[k] or rest[k]
    ]
    return TailAttribution(
        subject=subject,
        threshold_ms=threshold_ms,
        count=int(means.count[2 * i + 1]),
        tail_ms=float(slow.sum()),
        rest_ms=float(rest.sum()),
        parts=tuple(sorted(parts, key=lambda part: (-part.share, part.name))),
    )
