"""Which endpoints to look into: those that cost more than they did, by whatever was measured of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adx_lab.analysis.duet.block_ratios import ALL, BASE, HEAD

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd

    from adx_lab.analysis.duet.comparison import Comparison

__all__ = ["suspects", "waiting_ones"]

_METRICS = frozenset(("serial_ms", "serial_server_ms", "pair_ms", "cpu_ms_per_request"))
_P = 0.01
"""Adjusted over all comparisons: equals are hardly ever looked into. What is seen need not matter yet."""

_ACCOUNTED = 0.4
"""Of the added time, computed or spent in the database: the rest may be in between, and is no sleep."""

_MOST = 5
"""More endpoints that are slower have what slows them in common."""


def suspects(
    comparisons: Sequence[Comparison], *, always: bool = False, most: int = _MOST
) -> tuple[str, ...]:
    """Return the endpoints that became slower the most, as a share of their time; at most so many.

    Parameters
    ----------
    comparisons
        Of all blocks.
    always
        Whether to name some, too, where nothing became slower.
    most
        How many can be looked into.
    """
    ratios: dict[str, float] = {}
    for one in comparisons:
        if one.metric in _METRICS and one.ratio is not None and one.ratio > 1 and one.p <= _P:
            ratios[one.subject] = max(ratios.get(one.subject, 0.0), one.ratio)
    found = sorted(ratios.keys() - {ALL}, key=lambda name: -ratios[name])
    if not found and (always or ALL in ratios):
        # All are a little slower, and none by itself: the change shows where little else is done.
        times = (one for one in comparisons if one.metric in _METRICS and one.subject != ALL and one.ratio)
        found = [one.subject for one in sorted(times, key=lambda one: -(one.ratio or 0.0))]
    return tuple(dict.fromkeys(found))[:most]


def waiting_ones(
    endpoints: Collection[str],
    comparisons: Sequence[Comparison],
    counts: pd.DataFrame | None,
    statements: pd.DataFrame | None,
) -> frozenset[str]:
    """Return the endpoints whose added time neither the service computes nor its statements take.

    Parameters
    ----------
    endpoints
        Those that became slower.
    comparisons
        Of all blocks.
    counts, statements
        Around each endpoint of the serial movement; nobody knows of any that waits where there are none.
    """
    if counts is None or statements is None:
        return frozenset()
    found = []
    for one in comparisons:
        if one.metric == "serial_ms" and one.subject in endpoints and one.base and one.head:
            accounted_ms = _added(counts, counts, one.subject, "cpu_ms")
            accounted_ms += _added(statements, counts, one.subject, "exec_ms")
            if accounted_ms < _ACCOUNTED * (one.head - one.base):
                found.append(one.subject)
    return frozenset(found)


def _added(table: pd.DataFrame, counts: pd.DataFrame, endpoint: str, column: str) -> float:
    """Return how much more of something head spends a request."""
    spent = {}
    for side in (BASE, HEAD):
        own = [
            one[((one["variant"] == side) & (one["endpoint"] == endpoint)).to_numpy()]
            for one in (table, counts)
        ]
        spent[side] = float(own[0][column].sum()) / max(1.0, float(own[1]["requests"].sum()))
    return spent[HEAD] - spent[BASE]
