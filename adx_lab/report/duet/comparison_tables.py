"""A duet as tables: what became slower, by how much, and why."""

from __future__ import annotations

from collections.abc import Sequence

from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.plans.captures.compare import PlanChange
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import Table

_ENDPOINTS = 3


def comparisons(found: Sequence[Comparison]) -> Table:
    """Return each comparison: head over base, its interval, and what it would have seen."""
    header = ("subject", "metric", "status", "head over base", "interval", "p", "would have seen")
    return Table(header, tuple(_row(one) for one in found), frozenset(header[3:]), "status")


def findings(found: Sequence[Finding]) -> Table:
    """Return each cause with the share of the added time that it explains, the largest first."""
    header = ("cause", "what happened", "share", "endpoints")
    rows = (
        (
            one.kind,
            one.cause,
            "–" if one.share is None else f"{one.share:.0%}",
            _some(one.endpoints) or one.subject,
        )
        for one in found
    )
    return Table(header, tuple(rows), frozenset({"share"}))


def plan_changes(changes: Sequence[PlanChange]) -> Table:
    """Return in words what PostgreSQL does differently, with the pages that it costs."""
    header = ("query", "tenant", "mode", "what changed", "pages before", "pages now")
    rows = (
        (
            *(change.query, change.tenant, change.mode, change.words),
            *(number(change.pages_base), number(change.pages_head)),
        )
        for change in changes
    )
    return Table(header, tuple(rows), frozenset(header[4:]))


def _row(one: Comparison) -> tuple[str, ...]:
    if one.ratio is None or one.low is None or one.high is None:
        return (one.subject, one.metric, one.status, "–", "–", "–", "–")
    seen = "–" if one.could_see is None else f"{one.could_see:+.1%}"
    return (
        one.subject,
        one.metric,
        one.status,
        f"{one.ratio - 1:+.1%}",
        f"{one.low - 1:+.1%} to {one.high - 1:+.1%}",
        f"{one.p:.3g}" if one.p >= 0.001 else "< 0.001",  # as p-values are printed
        seen,
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _ENDPOINTS} more" if len(names) > _ENDPOINTS else ""
    return ", ".join(names[:_ENDPOINTS]) + more
