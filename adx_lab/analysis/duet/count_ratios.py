"""Counts as gates: statements, pages, Valkey commands, bytes, processor time and memory, block by block.

They hardly vary, so that they tell of a change long before a time does. What is compared is
log((head + c) / (base + c)), in which `c` is the absolute change that matters over the relative one: then
both must be exceeded, and a count of nothing can be compared with a count of three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from adx_lab.analysis.duet.block_ratios import ALL, BASE, HEAD, BlockSeries
from adx_lab.analysis.run.latency import failed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Counted", "byte_series", "count_series", "query_series", "variant_series"]

_SIDES = (BASE, HEAD)


@dataclass(frozen=True)
class Counted:
    """One count.

    Attributes
    ----------
    metric : str
    column : str
        Of the counts table.
    share, least : float
        The smallest change that matters: both a share, and so much.
    unit : str
    gate : bool
        Whether a verdict waits for it.
    """

    metric: str
    column: str
    share: float
    least: float
    unit: str
    gate: bool = True

    @property
    def shift(self) -> float:
        """What is added to both sides."""
        return self.least / self.share


COUNTS = (
    Counted("statements_per_request", "statements", 0.1, 0.5, "statements"),
    Counted("pages_per_request", "pages", 0.25, 25.0, "pages"),
    Counted("valkey_commands_per_request", "valkey_commands", 0.25, 1.0, "commands"),
    Counted("cpu_ms_per_request", "cpu_ms", 0.1, 0.05, "ms"),
    Counted("database_cpu_ms_per_request", "database_cpu_ms", 0.15, 0.1, "ms"),
)
QUERIES = Counted("queries_per_request", "db_queries", 0.2, 0.5, "queries", gate=False)
COMMANDS = Counted("valkey_commands_per_request", "valkey_commands", 0.25, 1.0, "commands", gate=False)
BYTES = Counted("response_bytes", "bytes", 0.1, 6.0, "bytes")
MEMORY_MB = 16.0
"""Resident memory that head gains more than base, in a block or at one endpoint of it."""


def count_series(counts: pd.DataFrame) -> Iterator[BlockSeries]:
    """Yield the series of what was counted around each endpoint.

    Parameters
    ----------
    counts
        One row a block, variant and endpoint: `requests` and the columns of `COUNTS`, and `rss_mb`.
    """
    blocks = sorted(set(counts["block"]))
    table = counts.set_index(["endpoint", "variant", "block"]).sort_index()
    for endpoint in table.index.unique("endpoint"):
        sides = [_of_side(table, endpoint, side).reindex(blocks) for side in _SIDES]
        requests = [side["requests"].to_numpy(dtype=np.float64) for side in sides]
        for what in COUNTS:
            base, head = (
                side[what.column].to_numpy(dtype=np.float64) / n
                for side, n in zip(sides, requests, strict=True)
            )
            if np.isfinite(base).any() and np.isfinite(head).any():
                yield _series(str(endpoint), what, base, head)
        base, head = (side["rss_mb"].to_numpy(dtype=np.float64) for side in sides)
        yield _memory(str(endpoint), base, head)


def _of_side(table: pd.DataFrame, endpoint: str, side: str) -> pd.DataFrame:
    levels = [table.index.get_level_values(name) for name in ("endpoint", "variant")]
    own = table[np.asarray((levels[0] == endpoint) & (levels[1] == side))]
    return own.droplevel([0, 1])


def byte_series(pairs: pd.DataFrame, blocks: Sequence[int]) -> Iterator[BlockSeries]:
    """Yield the series of the sizes of answers, pair by pair: fewer bytes are another answer too.

    Parameters
    ----------
    pairs
        From `whole_pairs`, of one movement.
    blocks
        All blocks there are.
    """
    kept = pairs[~(pairs["lost_base"] | pairs["lost_head"]).to_numpy()]
    means = kept.groupby(["endpoint", "block"])[["bytes_base", "bytes_head"]].mean()
    for endpoint in means.index.unique("endpoint"):
        by_block = means.loc[endpoint].reindex(sorted(blocks))
        base, head = (by_block[f"bytes_{side}"].to_numpy(dtype=np.float64) for side in _SIDES)
        yield _series(str(endpoint), BYTES, base, head, either=True)


def query_series(samples: pd.DataFrame, queries: pd.DataFrame) -> Iterator[BlockSeries]:
    """Yield the series of how many queries the service says a request took, endpoint by endpoint."""
    asked = np.bincount(queries["sample"].to_numpy(dtype=np.int64), minlength=len(samples))
    if not asked.any():
        return
    usable = ~failed(samples)
    told = samples[["block", "variant"]].assign(endpoint=samples["endpoint"].astype(str), asked=asked)[usable]
    means = told.groupby(["endpoint", "block", "variant"], observed=True)["asked"].mean()
    table = means.unstack("variant").reindex(columns=_SIDES)
    blocks = sorted(samples["block"].unique())
    for endpoint, own in table.groupby(level="endpoint", sort=True):
        rows = own.droplevel("endpoint").reindex(blocks)
        base, head = (rows[side].to_numpy(dtype=np.float64) for side in _SIDES)
        yield _series(str(endpoint), QUERIES, base, head)


def variant_series(companions: Sequence[Mapping[str, Any]]) -> Iterator[BlockSeries]:
    """Yield the series of what is counted of a whole variant: Valkey's commands, and memory."""
    sides = [[block[side] for block in companions] for side in _SIDES]
    requests = [[float(one.get("requests", 0)) for one in side] for side in sides]
    known = [[one.get("valkey_commands") for one in side] for side in sides]
    base, head = (
        np.array(
            [math.nan if c is None or not n else float(c) / n for c, n in zip(counts, numbers, strict=True)]
        )
        for counts, numbers in zip(known, requests, strict=True)
    )
    if np.isfinite(base).any() and np.isfinite(head).any():
        yield _series(ALL, COMMANDS, base, head)
    grown = [
        np.array([one["rss_mb"][1] - one["rss_mb"][0] for one in side], dtype=np.float64) for side in sides
    ]
    yield _memory(ALL, *grown)


def _series(
    subject: str,
    what: Counted,
    base: NDArray[np.float64],
    head: NDArray[np.float64],
    *,
    either: bool = False,
) -> BlockSeries:
    with np.errstate(invalid="ignore"):
        ratios = np.log((np.maximum(head, 0) + what.shift) / (np.maximum(base, 0) + what.shift))
    return BlockSeries(
        subject,
        what.metric,
        tuple(ratios.tolist()),
        gate=what.gate,
        either=either,
        matters=what.share,
        base=_middle(base),
        head=_middle(head),
        unit=what.unit,
        shift=what.shift,
    )


def _memory(subject: str, base: NDArray[np.float64], head: NDArray[np.float64]) -> BlockSeries:
    return BlockSeries(
        subject,
        "memory_growth_mb",
        tuple((head - base).tolist()),
        difference=True,
        matters=MEMORY_MB,
        base=_middle(base),
        head=_middle(head),
        unit="MB",
    )


def _middle(values: NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None
