"""A duet as tables: what became slower, by how much, and why."""

from __future__ import annotations

from collections.abc import Sequence

from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.duet.pair_ratios import MOVEMENT_METRICS
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.plans.captures.compare import PlanChange
from adx_lab.report.parts.table import Cell, Column, Table
from adx_lab.report.parts.words import check_words, metric_words, quantity, subject_words

TIMES = frozenset(MOVEMENT_METRICS.values())
"""What is judged of an endpoint's time, by each way to ask it."""

_ENDPOINTS = 3
_UNITS = frozenset({"ms", "MB"})
"""What a metric's words do not say themselves."""
_RANK = {"slower": 0, "faster": 1, "undecided": 2}


def telling(found: Sequence[Comparison]) -> list[Comparison]:
    """Return what differs, then the times: of those first what could not be told."""
    shown = [one for one in found if one.status in {"slower", "faster"} or (one.gate and one.metric in TIMES)]
    return sorted(shown, key=lambda one: (_RANK.get(one.status, 3), one.metric not in TIMES))


def comparisons(found: Sequence[Comparison]) -> Table:
    """Return each comparison: before and after, head over base, its interval, and what it would have seen."""
    columns = (
        Column("subject"),
        Column("metric"),
        Column("status", kind="status"),
        Column("base", kind="number", words="the baseline's"),
        Column("head", kind="number", words="of what is judged"),
        Column("unit", seen="machines"),
        Column("change", kind="ratio", key="ratio", words="head over base"),
        Column("interval", kind="ratio", key="{}", interval=True),
        Column("p", kind="number", spare=True),
        Column(
            "could see",
            kind="change",
            key="could_see",
            words="the smallest slowdown that would be found",
            spare=True,
        ),
        Column("level", kind="number", seen="machines"),
        Column("gate", seen="machines"),
    )
    return Table(columns, tuple(_row(one) for one in found))


def findings(found: Sequence[Finding]) -> Table:
    """Return each cause with the share of the added time that it explains, the largest first."""
    columns = (
        Column("cause", key="kind"),
        Column("about", key="subject"),
        Column("what happened", key="cause"),
        Column("share of the added time", kind="share", key="share"),
        Column("endpoints"),
        Column("mend"),
        Column("evidence", seen="machines"),
    )
    rows = (
        (
            *(one.kind, _about(one), one.cause, one.share),
            Cell(one.endpoints, some(one.endpoints) or "–"),
            getattr(one, "mend", None) or None,
            one.evidence,
        )
        for one in found
    )
    return Table(columns, tuple(rows))


def plan_changes(changes: Sequence[PlanChange]) -> Table:
    """Return in words what PostgreSQL does differently, with the pages that it costs."""
    columns = (
        *(Column("query", kind="code"), Column("for", key="tenant"), Column("mode"), Column("what changed")),
        *(Column("pages before", kind="number"), Column("pages now", kind="number")),
    )
    rows = (
        (change.query, change.tenant, change.mode, change.words, change.pages_base, change.pages_head)
        for change in changes
    )
    return Table(columns, tuple(rows))


def some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - _ENDPOINTS} more" if len(names) > _ENDPOINTS else ""
    return ", ".join(names[:_ENDPOINTS]) + more


def _about(one: Finding) -> Cell:
    """Return what a finding is about; of an invalid duet a check."""
    return Cell(one.subject, check_words(one.subject) if one.kind == "invalid" else one.subject)


def _row(one: Comparison) -> tuple[object, ...]:
    known = one.low is not None and one.high is not None
    interval: object = (one.low, one.high) if known else None
    if known and one.ratio is None:  # of counts, which may be none: the difference itself
        interval = Cell(
            (one.low, one.high), f"{quantity(one.low, one.unit)} to {quantity(one.high, one.unit)}"
        )
    # As p-values are printed.
    p = Cell(one.p, "< 0.001" if one.p < 0.001 else f"{one.p:.3g}") if known else None
    return (
        Cell(one.subject, subject_words(one.subject)),
        Cell(one.metric, metric_words(one.metric) + (f" [{one.unit}]" if one.unit in _UNITS else "")),
        one.status,
        *(_measured(one.base, one.unit), _measured(one.head, one.unit), one.unit if known else ""),
        *(one.ratio, interval, p, one.could_see, one.level, one.gate),
    )


def _measured(value: float | None, unit: str) -> object:
    return Cell(value, quantity(value, unit)) if unit == "share" and value is not None else value
