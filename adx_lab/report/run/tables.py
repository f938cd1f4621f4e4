"""Tables of one run: what it was, its endpoints, its budgets, its database, and whether it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from adx_lab.analysis.run.audit import ValidityCheck
from adx_lab.analysis.run.budgets import BudgetResult
from adx_lab.analysis.run.distribution import timeline as timeline_of
from adx_lab.analysis.run.latency import LatencySummary
from adx_lab.analysis.run.process_costs import PartCost
from adx_lab.analysis.run.tail import TailAttribution
from adx_lab.analysis.stats.quantiles import Estimate
from adx_lab.records.run import LoadAudit, RunRecord
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import Cell, Column, Table, percentage
from adx_lab.report.parts.table import facts as facts_table
from adx_lab.report.parts.words import budget_metric, budget_words, check_words, part_words

_DEAREST = 15
_PARTS = 3


def facts(record: RunRecord) -> Table:
    """Return what the run was."""
    return facts_table(
        {
            "run": record.run_id,
            "scenario": record.scenario,
            "started": record.started_at,
            "requests": f"{record.load.requests:,}",
            "commit": f"{record.git.commit or 'unknown'}"[:10],
            "machine": f"{record.machine.get('cpu')}, {record.machine.get('cores_usable')} cores",
        }
    )


def budgets(results: Sequence[BudgetResult]) -> Table:
    """Return each budget with its limit, its interval and what became of it."""
    # What a narrow screen shows comes first: the rest can be scrolled to.
    columns = (
        Column("budget"),
        Column("status", kind="status"),
        Column("measured", kind="number", key="value"),
        Column("limit", kind="number", key="limit"),
        Column("unit"),
        Column("95% interval", kind="number", key="{}", interval=True),
        Column("limit used", kind="share", bar=True, words="100%: the limit is reached"),
        Column("metric", kind="code", spare=True),
        Column("direction", seen="machines"),
        Column("n", seen="machines"),
    )
    rows = (
        (
            Cell(item.name, budget_words(item)),
            item.status,
            item.value,
            Cell(item.limit, f"{'≥' if item.direction == 'above' else '≤'} {number(item.limit)}"),
            item.unit,
            (item.low, item.high),
            limit_used(item),
            Cell(item.metric, budget_metric(item.metric)),
            item.direction,
            item.n,
        )
        for item in results
    )
    return Table(columns, tuple(rows))


def limit_used(item: BudgetResult) -> float | None:
    """Return which share of its limit a budget used; beyond 1 it is broken."""
    if item.value is None:
        return None
    used, whole = (item.limit, item.value) if item.direction == "above" else (item.value, item.limit)
    return used / whole if whole else None


def endpoints(summaries: Sequence[LatencySummary]) -> Table:
    """Return each endpoint's latency, with the interval of its p95."""
    by = next((row.by for row in summaries if row.by), "endpoint")
    quantile = {"unit": "ms", "kind": "number"}
    ends = {"unit": "ms", "kind": "number", "interval": True, "seen": "machines"}
    columns = (
        Column(by),
        Column("requests", kind="number"),
        Column("errors", kind="number"),
        Column("rate", "/s", "number", key="rate_per_s", seen="machines"),
        Column("mean", **quantile, seen="machines"),  # type: ignore[arg-type]  # literals
        Column("mean interval", **ends, key="mean_{}_ms"),  # type: ignore[arg-type]
        Column("p50", **quantile),  # type: ignore[arg-type]
        Column("p50 interval", **ends, key="p50_{}_ms"),  # type: ignore[arg-type]
        Column("p95", **quantile),  # type: ignore[arg-type]
        Column("95% interval", "ms", "number", key="p95_{}_ms", interval=True, words="of the p95"),
        Column("p99", **quantile),  # type: ignore[arg-type]
        Column("p99 interval", **ends, key="p99_{}_ms"),  # type: ignore[arg-type]
        Column("p999", **quantile, seen="machines"),  # type: ignore[arg-type]
        Column("p999 interval", **ends, key="p999_{}_ms"),  # type: ignore[arg-type]
        Column("max", **quantile),  # type: ignore[arg-type]
    )
    rows = (
        (
            *(row.subject, row.count, row.errors, row.rate_per_s),
            *_quantile(row.mean_ms),
            *_quantile(row.p50_ms),
            *_quantile(row.p95_ms),
            *_quantile(row.p99_ms),
            *_quantile(row.p999_ms),
            row.max_ms,
        )
        for row in summaries
    )
    return Table(columns, tuple(rows))


def failures(audit: LoadAudit) -> Table:
    """Return which requests failed, by endpoint, status and reason; those beside the measured ones too."""
    columns = (
        Column("endpoint"),
        Column("status", kind="number"),
        Column("reason"),
        Column("requests", kind="number"),
        Column("when"),
    )
    rows = [
        (item["endpoint"], item["status"], item["reason"], item["count"], item.get("kind", "measured"))
        for item in (*audit.failures, *audit.beside_failures)
    ]
    return Table(columns, tuple(rows))


def exceptions(audit: LoadAudit) -> Table:
    """Return what tasks raised, and where."""
    columns = (Column("task"), Column("exception"), Column("raised", kind="number"), Column("where"))
    rows = [(item["endpoint"], item["text"], item["count"], item["where"]) for item in audit.exceptions]
    return Table(columns, tuple(rows))


def streams(audit: LoadAudit) -> Table:
    """Return when answers that are streams ended; the times of their requests end with the first byte."""
    columns = (
        Column("streamed"),
        Column("read to the end", kind="number"),
        *(Column(f"end, {name}", "ms", "number") for name in ("p50", "p95")),
    )
    rows = [
        (item["endpoint"], item["count"], item["end_p50_ms"], item["end_p95_ms"]) for item in audit.streams
    ]
    return Table(columns, tuple(rows))


def timeline(samples: pd.DataFrame) -> Table:
    """Return one row a slice of time."""
    line = timeline_of(samples)
    columns = (
        Column("since the run began", "s", "number", key="t_s"),
        Column("answered", "/s", "number", key="rate_per_s"),
        *(Column(name, "ms", "number") for name in ("p50", "p95", "p99")),
    )
    values = (line.t_s, line.rate_per_s, line.p50_ms, line.p95_ms, line.p99_ms)
    return Table(columns, tuple(zip(*values, strict=True)))


def tails(attributions: Sequence[TailAttribution]) -> Table:
    """Return, for each endpoint, what the slowest requests take longer and which parts take it."""
    columns = (
        Column("endpoint"),
        Column("slowest take", "ms", "number", key="tail_ms"),
        Column("others", "ms", "number", key="rest_ms"),
        Column("where the difference goes"),
    )
    rows = (
        (
            tail.subject,
            tail.tail_ms,
            tail.rest_ms,
            ", ".join(f"{part_words(part.name)} {percentage(part.share)}" for part in tail.parts[:_PARTS]),
        )
        for tail in attributions
    )
    return Table(columns, tuple(rows))


def tail_parts(attributions: Sequence[TailAttribution]) -> Table:
    """Return one row a part of each endpoint's tail."""
    columns = (
        *(Column("endpoint", key="subject"), Column("slowest", kind="number")),
        *(Column("from", "ms", "number", key="threshold_ms"), Column("part"), Column("kind")),
        *(
            Column("slowest take", "ms", "number", key="tail_ms"),
            Column("others", "ms", "number", key="rest_ms"),
        ),
        Column("share", kind="share"),
    )
    rows = (
        (
            *(tail.subject, tail.count, tail.threshold_ms),
            *(Cell(part.name, part_words(part.name)), part.kind, part.tail_ms, part.rest_ms, part.share),
        )
        for tail in attributions
        for part in tail.parts
    )
    return Table(columns, tuple(rows))


def statements(database: pd.DataFrame) -> Table:
    """Return the statements of the service that cost the most during the run.

    What has no name was asked by the lab itself, or by a service that names nothing: it is left out where
    there are named ones.
    """
    named = database[database["query"].notna()] if len(database) else database
    shown = named if len(named) else database
    columns = (
        Column("query", kind="code"),
        *(Column("calls", kind="number"), Column("total", "ms", "number"), Column("mean", "ms", "number")),
        Column("share of the time", kind="share", bar=True),
        Column("pages a call", kind="number"),
    )
    whole = float(shown["total_ms"].sum()) or 1.0
    rows = (
        (
            row["query"] if isinstance(row["query"], str) else str(row["text"])[:90],
            *(row["calls"], row["total_ms"], row["mean_ms"], row["total_ms"] / whole),
            (row["shared_hit"] + row["shared_read"]) / row["calls"],
        )
        for row in shown.head(_DEAREST).to_dict("records")
    )
    return Table(columns, tuple(rows))


def measured(estimates: Mapping[str, Estimate]) -> Table:
    """Return every metric that a budget can limit, with what was measured of it."""
    columns = (
        Column("metric", kind="code"),
        Column("measured", kind="number", key="value"),
        Column("95% interval", kind="number", key="{}", interval=True),
        Column("n", kind="number"),
    )
    rows = ((name, one.value, (one.low, one.high), one.n) for name, one in sorted(estimates.items()))
    return Table(columns, tuple(rows))


def waits(record: RunRecord) -> Table:
    """Return what the database's clients waited for, the most frequent first."""
    counted = record.load.waits
    whole = sum(counted.values())
    columns = (
        Column("kind: event"),
        Column("samples", kind="number"),
        Column("share", kind="share", bar=True),
    )
    return Table(columns, tuple((name, count, count / whole) for name, count in counted.items()))


def validity(checks: Sequence[ValidityCheck]) -> Table:
    """Return the load generator's audit."""
    columns = (
        Column("check", key="check"),
        Column("found", kind="number", key="value"),
        Column("limit", kind="number"),
        Column("status", kind="status", key="ok"),
    )
    rows = (
        (
            Cell(check.check, check_words(check.check)),
            *(_in_unit(check.check, check.value), _in_unit(check.check, check.limit)),
            Cell(check.ok, "pass" if check.ok else "fail"),
        )
        for check in checks
    )
    return Table(columns, tuple(rows))


def capacity(costs: Sequence[PartCost]) -> Table:
    """Return what a request costs each part of the stack, and when its event loops would be full."""
    columns = (
        Column("part"),
        Column("CPU of a request", "ms", "number"),
        Column("share of the machine", kind="share"),
        Column("memory", "MB", "number"),
        Column("full at", "requests/s", "number"),
    )
    rows = (
        (one.part, one.cpu_ms_per_request, one.machine_share, one.memory_mb, one.full_at_per_s)
        for one in costs
    )
    return Table(columns, tuple(rows))


def _quantile(estimate: Estimate) -> tuple[float | None, tuple[float | None, float | None]]:
    return estimate.value, (estimate.low, estimate.high)


def _in_unit(name: str, value: float) -> Cell:
    return Cell(value, percentage(value) if name.endswith(("_share", "_rate")) else number(value))
