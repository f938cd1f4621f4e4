"""The matrix of plans on a terminal: a row a query, a column a kind of tenant; what it means below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from adx_lab.analysis.plans.captures.headroom import headrooms
from adx_lab.analysis.plans.captures.notable import notables
from adx_lab.report.parts.numbers import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adx_lab.analysis.plans.captures.causes import Cause
    from adx_lab.analysis.plans.captures.compare import PlanChange
    from adx_lab.analysis.plans.captures.matrix import Matrix, PlanCell

_HEADROOM_TIMES_MAX = 10.0
_KINDS = ("whale", "median", "small", "absent")


def matrix_text(matrix: Matrix, *, headline: bool = True) -> Group:
    """Return the matrix as something `rich` prints; without the headline only what deserves a look.

    A cell shows pages and milliseconds of the custom plan, then of the generic one where its shape is
    another.
    """
    tenants = list(dict.fromkeys([*_KINDS, *(tenant for _, tenant, _ in matrix.cells)]))
    shown = [kind for kind in tenants if any(tenant == kind for _, tenant, _ in matrix.cells)]
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("query", no_wrap=True)
    for kind in shown:
        table.add_column(kind, justify="right", no_wrap=True)
    for query in dict.fromkeys(query for query, _, _ in matrix.cells):
        table.add_row(query, *(_cell(matrix, query, kind) for kind in shown))
    return Group(*((table,) if headline else ()), *_notables(matrix), *_headrooms(matrix))


def changes_text(changes: Sequence[PlanChange], causes: Sequence[Cause | None] = ()) -> Group:
    """Return what changed between two captures, each with its cause where one was found."""
    if not changes:
        return Group(Text("no plan changed its shape, its pages or its temporary files", style="green"))
    lines = []
    for place, change in enumerate(changes):
        line = Text(
            f"{change.label or change.query} ({change.mode}): ", style="bold red" if change.worse else "bold"
        )
        line.append(change.words, style="")
        if change.tie:
            line.append("; a tie between two plans of nearly the same cost", style="yellow")
        cause = causes[place] if place < len(causes) else None
        if cause is not None:
            line.append(f"\n  cause: {cause.words}", style="magenta")
        lines.append(line)
    return Group(*lines)


def _cell(matrix: Matrix, query: str, tenant: str) -> Text:
    custom, generic = (matrix.cells.get((query, tenant, mode)) for mode in ("custom", "generic"))
    first = custom or generic
    if first is None:
        return Text("")
    words = Text(_figures(first))
    if custom is not None and generic is not None and custom.analysis.shape != generic.analysis.shape:
        words.append(f" ⇄ {_figures(generic)}", style="yellow")
    return words


def _figures(cell: PlanCell) -> str:
    analysis = cell.analysis
    if not analysis.analysed:
        return f"cost {number(analysis.root.cost)}"
    return f"{analysis.pages or 0:,} p {number(analysis.execution_ms)} ms"


def _notables(matrix: Matrix) -> list[Text]:
    """Return what deserves a look; one of a kind for each query where several say it."""
    seen: dict[tuple[str, str], Text] = {}
    for item in notables(matrix):
        style = {"flip": "yellow", "tie": "dim"}.get(item.kind, "magenta")
        begin = item.kind if item.kind in {"flip", "tie"} else f"finding: {item.kind}"
        whom = "" if item.kind == "flip" else f" ({', '.join(item.tenants)})"
        line = Text(f"{begin}: {item.query}{whom}: ", style=style)
        line.append(item.words + (f"; {item.mend}" if item.mend else ""), style="")
        if item.kind == "flip":
            seen[(item.query, item.words)] = line
        else:
            seen.setdefault((item.query, item.kind), line)
    return list(seen.values())


def _headrooms(matrix: Matrix) -> list[Text]:
    return [
        Text(f"headroom: {room.query} ({room.mode}) {room.words}", style="cyan")
        for room in headrooms(matrix)
        if room.times is not None and room.times <= _HEADROOM_TIMES_MAX
    ]
