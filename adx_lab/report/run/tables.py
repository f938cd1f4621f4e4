"""Tables of a run as people read them: a header with units, three significant digits, nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from adx_lab.analysis.run.audit import ValidityCheck
from adx_lab.analysis.run.budgets import BudgetResult
from adx_lab.analysis.run.latency import LatencySummary
from adx_lab.analysis.run.process_costs import PartCost
from adx_lab.analysis.run.tail import TailAttribution
from adx_lab.records.run import RunRecord
from adx_lab.report.parts.numbers import interval, number
from adx_lab.report.parts.table import Table

_DEAREST = 15
_PARTS = 3


def facts(record: RunRecord) -> Table:
    """Return what the run was."""
    shown = {
        "run": record.run_id,
        "scenario": record.scenario,
        "started": record.started_at,
        "requests": f"{record.audit.get('requests', 0):,}",
        "commit": f"{record.git.get('commit') or 'unknown'}"[:10],
        "machine": f"{record.machine.get('cpu')}, {record.machine.get('cores_usable')} cores",
    }
    return Table(("fact", "value"), tuple(shown.items()))


def budgets(results: Sequence[BudgetResult]) -> Table:
    """Return each budget with its limit, its interval and what became of it."""
    # What a narrow screen shows comes first: the rest can be scrolled to.
    header = ("budget", "status", "measured", "limit", "95% interval", "unit", "metric")
    rows = (
        (
            item.name,
            item.status,
            number(item.value),
            f"{'≥' if item.direction == 'above' else '≤'} {number(item.limit)}",
            interval(item.low, item.high),
            item.unit,
            item.metric,
        )
        for item in results
    )
    return Table(header, tuple(rows), frozenset(header[2:5]), marked="status")


def endpoints(summaries: Sequence[LatencySummary]) -> Table:
    """Return each endpoint's latency, with the interval of its p95."""
    header = ("endpoint", "requests", "errors", "p50 ms", "p95 ms", "95% interval", "p99 ms", "max ms")
    rows = (
        (
            row.subject,
            f"{row.count:,}",
            f"{row.errors:,}",
            number(row.p50_ms.value),
            number(row.p95_ms.value),
            interval(row.p95_ms.low, row.p95_ms.high),
            number(row.p99_ms.value),
            number(row.max_ms),
        )
        for row in summaries
    )
    return Table(header, tuple(rows), frozenset(header[1:]))


def tails(attributions: Sequence[TailAttribution]) -> Table:
    """Return, for each endpoint, what the slowest requests take longer and which parts take it."""
    header = ("endpoint", "slowest take ms", "others ms", "where the difference goes")
    rows = (
        (
            tail.subject,
            number(tail.tail_ms),
            number(tail.rest_ms),
            ", ".join(f"{part.name} {part.share:.0%}" for part in tail.parts[:_PARTS]),
        )
        for tail in attributions
    )
    return Table(header, tuple(rows), frozenset(header[1:3]))


def statements(database: pd.DataFrame) -> Table:
    """Return the statements that cost the most during the run."""
    header = ("query", "calls", "total ms", "mean ms", "pages a call")
    rows = (
        (
            row["query"] if isinstance(row["query"], str) else str(row["text"])[:90],
            f"{row['calls']:,}",
            number(row["total_ms"]),
            number(row["mean_ms"]),
            number((row["shared_hit"] + row["shared_read"]) / row["calls"]),
        )
        for row in database.head(_DEAREST).to_dict("records")
    )
    return Table(header, tuple(rows), frozenset(header[1:]))


def waits(record: RunRecord) -> Table:
    """Return what the database's clients waited for, the most frequent first."""
    counted: dict[str, int] = record.audit.get("waits", {})
    whole = sum(counted.values())
    rows = ((name, f"{count:,}", f"{count / whole:.1%}") for name, count in counted.items())
    return Table(("kind: event", "samples", "share"), tuple(rows), frozenset({"samples", "share"}))


def validity(checks: Sequence[ValidityCheck]) -> Table:
    """Return the load generator's audit."""
    header = ("check", "found", "limit", "status")
    rows = (
        (check.check, number(check.value), number(check.limit), "pass" if check.ok else "fail")
        for check in checks
    )
    return Table(header, tuple(rows), frozenset(header[1:3]), marked="status")


def capacity(costs: Sequence[PartCost]) -> Table:
    """Return what a request costs each part of the stack, and when its event loops would be full."""
    header = ("part", "CPU ms a request", "share of the machine", "memory MB", "full at requests/s")
    rows = (
        (
            one.part,
            number(one.cpu_ms_per_request),
            f"{one.machine_share:.1%}",
            number(one.memory_mb),
            number(one.full_at_per_s),
        )
        for one in costs
    )
    return Table(header, tuple(rows), frozenset(header[1:]))
