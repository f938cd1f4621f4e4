"""What both variants did besides taking time, side by side: the figures that hardly vary.

A query more a request, an index less or a cache that is forgotten too often shows here with certainty, long
before a time can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adx_lab.analysis.duet.block_ratios import ALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from adx_lab.analysis.duet.causes.time_changes import EndpointChange
    from adx_lab.analysis.duet.causes.variant_traits import QueryFacts, VariantFacts

__all__ = ["Companion", "companions_of"]

_OF_A_VARIANT = {
    "cpu_ms_per_request": "cpu_ms",
    "capacity_per_s": "capacity_per_s",
    "valkey_commands_per_request": "valkey_commands",
    "invalidations_per_request": "invalidations",
    "memory_bytes_per_request": "memory_bytes",
    "plans_per_call": "plans_per_call",
    "loop_lag_p90_ms": "loop_lag_p90_ms",
    "loop_lag_p99_ms": "loop_lag_ms",
}


@dataclass(frozen=True)
class Companion:
    """One figure under both variants.

    Attributes
    ----------
    subject : str
        An endpoint, a named query, or `all`.
    figure : str
        What it is, its unit in its name.
    base, head : float or None
        None where it was not captured.
    """

    subject: str
    figure: str
    base: float | None
    head: float | None


def companions_of(
    changes: Iterable[EndpointChange], base: VariantFacts, head: VariantFacts
) -> tuple[Companion, ...]:
    """Put both variants' figures side by side; what neither has is left out.

    Parameters
    ----------
    changes
        Every endpoint of the duet.
    base, head
        What the captures know of each.

    Returns
    -------
    tuple of Companion
        Of all first, then of each endpoint, then of each query.
    """
    rows = [
        Companion(ALL, figure, getattr(base, name), getattr(head, name))
        for figure, name in _OF_A_VARIANT.items()
    ]
    for change in changes:
        rows += _of_endpoint(change)
    for query in sorted(base.queries.keys() | head.queries.keys()):
        rows += _of_query(query, base.queries.get(query), head.queries.get(query))
    return tuple(row for row in rows if (row.base, row.head) != (None, None))


def _of_endpoint(change: EndpointChange) -> Iterator[Companion]:
    calls = [sum(query.base_calls for query in change.queries), sum(q.head_calls for q in change.queries)]
    yield Companion(change.endpoint, "queries_per_request", *calls)
    yield Companion(change.endpoint, "response_bytes", change.base_bytes, change.head_bytes)


def _of_query(name: str, base: QueryFacts | None, head: QueryFacts | None) -> Iterator[Companion]:
    for figure, attribute in (("buffers_per_call", "buffers"), ("rows_per_call", "rows")):
        yield Companion(name, figure, getattr(base, attribute, None), getattr(head, attribute, None))
