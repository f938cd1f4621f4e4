"""A plan on a terminal: the figures in columns, the tree beside them, findings and the certificate below."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adx_lab.analysis.plans import Finding, PlanAnalysis, PlanNode

_HOT, _WARM = 0.4, 0.15
_DEPTH_MAX = 30
_CONDITION_CHARACTERS = 160
_CONDITIONS = (
    "Index Cond",
    "Recheck Cond",
    "Hash Cond",
    "Merge Cond",
    "Join Filter",
    "Filter",
    "One-Time Filter",
    "TID Cond",
    "Sort Key",
    "Presorted Key",
    "Group Key",
    "Cache Key",
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


def plan_text(analysis: PlanAnalysis, *, conditions: bool = True) -> Group:
    """Return a plan as something `rich` prints: a headline, the tree, its findings, the certificate.

    Parameters
    ----------
    conditions
        Whether each node's conditions and sort keys are shown below it.
    """
    parts: list[Any] = [_headline(analysis)]
    if analysis.query_text:
        parts.append(Text(_one_line(analysis.query_text, 300), style="dim"))
    parts += [_table(analysis, conditions=conditions), *(_finding(item) for item in analysis.findings)]
    style = "green" if analysis.certificate.holds else "red" if analysis.timed else "dim"
    parts.append(Text(f"certificate: {analysis.certificate.text}", style=style))
    return Group(*parts)


def print_plans(analyses: Sequence[PlanAnalysis], console: Console | None = None) -> None:
    """Print plans one after another, each in full width, on stdout unless told otherwise."""
    target = console or Console(highlight=False, soft_wrap=False)
    for number, analysis in enumerate(analyses):
        if number:
            target.print()
        target.print(plan_text(analysis))


def _headline(analysis: PlanAnalysis) -> Text:
    said = [f"shape {analysis.shape}"]
    if analysis.execution_ms is not None:
        said.append(f"executed in {analysis.execution_ms:,.3f} ms")
    if analysis.planning_ms is not None:
        said.append(f"planned in {analysis.planning_ms:,.3f} ms")
    if analysis.pages is not None and analysis.analysed:
        ratio = "" if analysis.hit_ratio is None else f", {analysis.hit_ratio:.0%} in memory"
        said.append(f"{analysis.pages:,} pages{ratio}")
    if analysis.unattributed_ms is not None:
        said.append(f"outside the nodes {analysis.unattributed_ms:,.3f} ms")
    if analysis.jit_ms is not None:
        said.append(f"JIT {analysis.jit_ms:,.1f} ms")
    if not analysis.analysed:
        said.append("not executed: estimates only")
    elif not analysis.timed:
        said.append("nodes not timed")
    return Text(" · ".join(said), style="bold")


def _table(analysis: PlanAnalysis, *, conditions: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    for name in _columns(analysis):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("node", overflow="fold", ratio=1)
    for node in analysis.nodes:
        table.add_row(*_figures(analysis, node), _node(analysis, node, conditions=conditions))
    return table


def _columns(analysis: PlanAnalysis) -> list[str]:
    if not analysis.analysed:
        return ["cost", "planned"]
    return [
        *(["self ms", "%"] if analysis.timed else []),
        "rows",
        "planned",
        *(["pages"] if analysis.buffered else []),
    ]


def _figures(analysis: PlanAnalysis, node: PlanNode) -> list[Text]:
    style = _style(analysis, node)
    planned = _count(node.planned_rows)
    if not analysis.analysed:
        return [Text(_count(node.cost), style=style), Text(planned, style=style)]
    cells = []
    if analysis.timed:
        share = _share(analysis, node)
        cells += [_ms(node.self_ms), "" if share is None else f"{share:.0%}"]
    loops = f" ×{_count(node.loops)}" if (node.loops or 0) > 1 else ""
    cells += ["never" if node.never_executed else _count(node.rows) + loops, planned]
    if analysis.buffered:
        cells.append("" if node.never_executed else _count(node.self_pages))
    return [Text(cell, style=style) for cell in cells]


def _node(analysis: PlanAnalysis, node: PlanNode, *, conditions: bool) -> Text:
    depth = min(node.depth, _DEPTH_MAX)
    deeper = f"…{node.depth} " if node.depth > _DEPTH_MAX else ""
    indent = "  " * depth
    words = Text(f"{indent}{deeper}", style="dim")
    if node.relationship and node.relationship.startswith(("InitPlan", "SubPlan", "CTE")):
        words.append(f"{_one_line(node.relationship, 60)}: ", style="cyan")
    words.append(_one_line(node.label, 200), style=_style(analysis, node) or "bold")
    for note in _notes(node):
        words.append(f"  {note}", style="yellow")
    for finding in node.findings:
        words.append(f"  ◆ {finding.kind}", style="bold magenta")
    for line in _condition_lines(node) if conditions else ():
        words.append(f"\n{indent}  {line}", style="dim")
    return words


def _notes(node: PlanNode) -> list[str]:
    notes = []
    if node.estimate_factor is not None and not 0.1 < node.estimate_factor < 10:
        much = node.estimate_factor if node.estimate_factor > 1 else 1 / node.estimate_factor
        notes.append(f"{_count(much)}× {'more' if node.estimate_factor > 1 else 'fewer'} rows than planned")
    if node.rows_removed:
        notes.append(f"{_count(node.rows_removed)} rows removed")
    if node.self_temp_written:
        notes.append(f"{_count(node.self_temp_written)} temporary pages written")
    launched, planned = node.details.get("Workers Launched"), node.details.get("Workers Planned")
    if planned is not None:
        notes.append(f"{planned} workers planned" + ("" if launched is None else f", {launched} launched"))
    return [_one_line(note, 80) for note in notes]


def _condition_lines(node: PlanNode) -> list[str]:
    lines = []
    for key in _CONDITIONS:
        value = node.details.get(key)
        if isinstance(value, list):
            value = ", ".join(str(item) for item in value)
        if isinstance(value, str) and value:
            lines.append(f"{key}: {_one_line(value, _CONDITION_CHARACTERS)}")
    return lines


def _finding(finding: Finding) -> Text:
    words = Text("◆ ", style="bold magenta")
    words.append(f"{finding.kind} at {finding.path}", style="bold")
    words.append(f" {_one_line(finding.subject, 120)}: {_one_line(finding.reason, 300)}\n")
    words.append(f"  mend: {_one_line(finding.mend, 300)}", style="green")
    return words


def _style(analysis: PlanAnalysis, node: PlanNode) -> str:
    if node.never_executed:
        return "dim"
    share = _share(analysis, node)
    if share is None or share < _WARM:
        return ""
    return "bold red" if share >= _HOT else "yellow"


def _share(analysis: PlanAnalysis, node: PlanNode) -> float | None:
    whole = analysis.execution_ms or analysis.root.inclusive_ms
    if not whole or node.self_ms is None:
        return None
    return max(0.0, node.self_ms) / whole


def _ms(value: float | None) -> str:
    # What rounding pushed below zero is zero: the certificate says how far that can go.
    return "" if value is None else f"{max(0.0, value):,.3f}"


def _count(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if float(value).is_integer() or value >= 100 else f"{value:,.2f}"


def _one_line(text: str, characters_max: int) -> str:
    cleaned = " ".join(_UNPRINTABLE.sub(" ", text).split())
    return cleaned if len(cleaned) <= characters_max else cleaned[: characters_max - 1] + "…"
