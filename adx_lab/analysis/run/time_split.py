"""Split the time of requests into its parts: client, network, each query, caches, pool, the service itself.

The parts of a request add up to its latency, so that means of parts add up to the mean and nothing can hide
between them. What the server names in its `Server-Timing` header becomes a part of its own; the rest of the
server's time is the service itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["BASE_PARTS", "PartKind", "PartMeans", "part_means", "text_codes"]

PartKind = Literal["client", "network", "query", "database", "cache", "pool", "service"]

BASE_PARTS: Mapping[str, PartKind] = {
    "queueing": "client",
    "network": "network",
    "service": "service",
    "database": "database",
    "valkey": "cache",
    "pool": "pool",
}


@dataclass(frozen=True)
class PartMeans:
    """Mean milliseconds a request, by part and by group of requests.

    Attributes
    ----------
    names : tuple of str
        `queueing`, `network`, `service`, `database` (what the queries leave of the database's time), then
        each name that the server sent.
    kinds : tuple of str
        The kind of each part.
    mean_ms : array, parts x groups
        Adds up over the parts to the mean latency of the group; NaN for a group without requests.
    per_request : array, parts x groups
        How often the part occurred in a request: for a query, its executions.
    count : array of int
        Requests in each group.
    """

    names: tuple[str, ...]
    kinds: tuple[PartKind, ...]
    mean_ms: NDArray[np.float64]
    per_request: NDArray[np.float64]
    count: NDArray[np.int64]


def part_means(
    samples: pd.DataFrame, queries: pd.DataFrame | None, group: NDArray[np.integer], groups: int
) -> PartMeans:
    """Average each part of the time over groups of requests.

    Parameters
    ----------
    samples
        One row a request: `latency_ms`, `service_ms`, `server_ms`, and where the server tells them
        `db_ms`, `valkey_ms` and `pool_ms`. Without `server_ms` (NaN) all of
        the service time counts as `service`.
    queries
        One row an execution: `sample`, `query`, `ms`.
    group
        The group of each request, from 0; -1 leaves the request out.
    groups
        How many groups there are.

    Returns
    -------
    PartMeans
    """
    count = np.bincount(group[group >= 0], minlength=groups)
    sums, times, names = _named(queries, group, groups)
    latency, service, server = (
        samples[column].to_numpy(dtype=np.float64, copy=False)
        for column in ("latency_ms", "service_ms", "server_ms")
    )
    known = np.isfinite(server)
    of_database, valkey, pool = (
        _told(samples, name, group, groups) for name in ("db_ms", "valkey_ms", "pool_ms")
    )
    of_queries = sums.sum(axis=0)
    of_database = np.maximum(of_queries, of_database)
    of_server = _sum(np.where(known, server, service), group, groups)
    base = np.vstack(
        [
            _sum(latency - service, group, groups),
            _sum(np.where(known, service - server, 0.0), group, groups),
            of_server - of_database - valkey - pool,
            of_database - of_queries,
            valkey,
            pool,
        ]
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_ms = np.vstack([base, sums]) / count
        per_request = np.vstack([np.ones_like(base) * count, times]) / count
    query: PartKind = "query"
    return PartMeans(
        names=(*BASE_PARTS, *names),
        kinds=(*BASE_PARTS.values(), *([query] * len(names))),
        mean_ms=mean_ms,
        per_request=per_request,
        count=count,
    )


def _told(samples: pd.DataFrame, column: str, group: NDArray[np.integer], groups: int) -> NDArray[np.float64]:
    """Sum what the server told of one part; nothing where it told nothing."""
    if column not in samples:
        return np.zeros(groups)
    return _sum(np.nan_to_num(samples[column].to_numpy(dtype=np.float64)), group, groups)


def _sum(values: NDArray[np.float64], group: NDArray[np.integer], groups: int) -> NDArray[np.float64]:
    keep = group >= 0
    return np.asarray(np.bincount(group[keep], weights=values[keep], minlength=groups), dtype=np.float64)


def _named(
    queries: pd.DataFrame | None, group: NDArray[np.integer], groups: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[str, ...]]:
    """Return summed milliseconds and executions, names x groups, and the names in order."""
    if queries is None or queries.empty:
        return np.zeros((0, groups)), np.zeros((0, groups)), ()
    codes, labels = text_codes(queries["query"])
    of = group[queries["sample"].to_numpy()].astype(np.int64)
    keep = of >= 0
    flat = codes[keep].astype(np.int64) * groups + of[keep]
    size, shape = len(labels) * groups, (len(labels), groups)
    ms = queries["ms"].to_numpy(dtype=np.float64)[keep]
    sums = np.bincount(flat, weights=ms, minlength=size).astype(np.float64)
    times = np.bincount(flat, minlength=size).astype(np.float64)
    return sums.reshape(shape), times.reshape(shape), tuple(labels)


def text_codes(column: pd.Series) -> tuple[NDArray[np.int16], list[str]]:
    """Return a small integer a row, and the text that each stands for; null reads `none`.

    Parameters
    ----------
    column
        Text, categorical or not; at most some thousands of distinct values.
    """
    categorical = column if isinstance(column.dtype, pd.CategoricalDtype) else column.astype("category")
    codes = categorical.cat.codes.to_numpy().astype(np.int16)
    labels = [str(label) for label in categorical.cat.categories]
    if (codes < 0).any():
        codes[codes < 0] = len(labels)
        labels.append("none")
    return codes, labels
