"""Which endpoints to look into: those that cost more than they did, by whatever was measured of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adx_lab.analysis.duet.block_ratios import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adx_lab.analysis.duet.comparison import Comparison

__all__ = ["suspects"]

_METRICS = frozenset(("serial_ms", "serial_server_ms", "pair_ms", "cpu_ms_per_request"))
_P = 0.01
"""Adjusted over all comparisons: equals are hardly ever looked into. What is seen need not matter yet."""

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
