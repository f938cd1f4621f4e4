"""A plan on a terminal: the figures in columns, the tree beside them, findings and the certificate below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from adx_lab.analysis.plans import analyse
from adx_lab.report.plans.view import NodeView, count_text, cut, node_views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adx_lab.analysis.plans import PlanAnalysis, PlanFinding
    from adx_lab.analysis.plans.grouping import PlanGroup

_DEPTH_MAX = 30
_GROUPS_MAX, _WORST_MAX = 40, 3
_CONDITION_CHARACTERS = 160
_STYLES = {"hot": "bold red", "warm": "yellow", "cool": "", "never": "dim"}


def plan_text(analysis: PlanAnalysis, *, conditions: bool = True) -> Group:
    """Return a plan as something `rich` prints: a headline, the tree, its findings, the certificate.

    Parameters
    ----------
    conditions
        Whether each node's conditions and sort keys are shown below it.
    """
    parts: list[Any] = [_headline(analysis)]
    if analysis.query_text:
        parts.append(Text(cut(analysis.query_text, 300), style="dim"))
    parts += [_table(analysis, conditions=conditions), *(_finding(item) for item in analysis.findings)]
    parts += [Text(f"caveat: {caveat}", style="yellow") for caveat in analysis.caveats]
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


def print_groups(groups: Sequence[PlanGroup], console: Console | None = None) -> None:
    """Print the plans of a log by statement and shape, and the worst execution of the costliest few."""
    target = console or Console(highlight=False, soft_wrap=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("times", "total ms", "worst ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("shape", "findings", "statement"):
        table.add_column(name, overflow="fold")
    shown = [(group, analyse(group.worst)) for group in groups[:_GROUPS_MAX]]
    for group, worst in shown:
        kinds = ", ".join(dict.fromkeys(finding.kind for finding in worst.findings))
        figures = (f"{group.times:,}", f"{group.total_ms:,.1f}", f"{group.worst_ms:,.1f}")
        statement = cut(group.statement or worst.root.label, 100)
        table.add_row(*figures, group.shape, kinds, Text(statement))
    plans = sum(group.times for group in groups)
    target.print(Text(f"{plans:,} plans of {len(groups):,} statements and shapes", style="bold"))
    target.print(table)
    if len(groups) > _GROUPS_MAX:
        target.print(f"and {len(groups) - _GROUPS_MAX:,} more; --all prints every plan, --json all as data")
    for _, worst in shown[:_WORST_MAX]:
        target.print()
        target.print(plan_text(worst))


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
    for view in node_views(analysis):
        table.add_row(*_figures(analysis, view), _node(view, conditions=conditions))
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


def _figures(analysis: PlanAnalysis, view: NodeView) -> list[Text]:
    node, style = view.node, _STYLES[view.heat]
    planned = count_text(node.planned_rows)
    if not analysis.analysed:
        return [Text(count_text(node.cost), style=style), Text(planned, style=style)]
    cells = []
    if analysis.timed:
        cells += [_ms(node.self_ms), "" if view.share is None else f"{view.share:.0%}"]
    loops = f" ×{count_text(node.loops)}" if (node.loops or 0) > 1 else ""
    cells += ["never" if node.never_executed else count_text(node.rows) + loops, planned]
    if analysis.buffered:
        cells.append("" if node.never_executed else count_text(node.self_pages))
    return [Text(cell, style=style) for cell in cells]


def _node(view: NodeView, *, conditions: bool) -> Text:
    depth = min(view.node.depth, _DEPTH_MAX)
    deeper = f"…{view.node.depth} " if view.node.depth > _DEPTH_MAX else ""
    indent = "  " * depth
    words = Text(f"{indent}{deeper}", style="dim")
    words.append(cut(view.role, 60) + (" " if view.role else ""), style="cyan")
    words.append(cut(view.label, 200), style=_STYLES[view.heat] or "bold")
    for note in view.notes:
        words.append(f"  {cut(note, 80)}", style="yellow")
    for kind in view.findings:
        words.append(f"  ◆ {kind}", style="bold magenta")
    for key, value in view.conditions if conditions else ():
        words.append(f"\n{indent}  {key}: {cut(value, _CONDITION_CHARACTERS)}", style="dim")
    return words


def _finding(finding: PlanFinding) -> Text:
    words = Text("◆ ", style="bold magenta")
    words.append(f"{finding.kind} at {finding.path}", style="bold")
    words.append(f" {cut(finding.subject, 120)}: {cut(finding.reason, 300)}\n")
    words.append(f"  mend: {cut(finding.mend, 300)}", style="green")
    return words


def _ms(value: float | None) -> str:
    # What rounding pushed below zero is zero: the certificate says how far that can go.
    return "" if value is None else f"{max(0.0, value):,.3f}"
