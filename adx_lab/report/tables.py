"""Tables of a run as people read them: a header with units, three significant digits, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from adx_lab.analysis.audit import ValidityCheck
from adx_lab.analysis.budgets import BudgetResult
from adx_lab.analysis.latency import LatencySummary
from adx_lab.analysis.part_costs import PartCost
from adx_lab.analysis.tail import TailAttribution
from adx_lab.records import RunRecord
from adx_lab.report.format import interval, number

_DEAREST = 15
_PARTS = 3

_NOTEBOOK_CSS = ".adx-table th:not(.n),.adx-table td:not(.n){text-align:left}"


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; `frame` has them as pandas does. Columns of numbers stand to the right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[str] = frozenset()
    marked: str | None = None
    """The column whose text is also a class of the style sheet: a status."""

    @property
    def frame(self) -> pd.DataFrame:
        """The same as a data frame of text."""
        return pd.DataFrame(list(self.rows), columns=list(self.header))

    def html(self) -> str:
        """Return the table as HTML that scrolls sideways on a narrow page."""
        head = "".join(f"<th{self._class(name)}>{escape(name)}</th>" for name in self.header)
        body = "".join(f"<tr>{''.join(self._cells(row))}</tr>" for row in self.rows)
        body = body or f'<tr><td class="dim" colspan="{len(self.header)}">nothing</td></tr>'
        return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'

    def _repr_html_(self) -> str:
        # JupyterLab sets every cell to the right, and takes what stands between two "$1" for mathematics.
        return f'<style>{_NOTEBOOK_CSS}</style><div class="adx-table mathjax_ignore">{self.html()}</div>'

    def _class(self, name: str) -> str:
        return ' class="n"' if name in self.numeric else ""

    def _cells(self, row: Sequence[str]) -> Iterable[str]:
        for name, text in zip(self.header, row, strict=True):
            style = f' class="{escape(text)}"' if name == self.marked else self._class(name)
            yield f"<td{style}>{escape(text)}</td>"


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
