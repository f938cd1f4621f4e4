"""At how many rows a query will leave its budget, for each kind of tenant.

Forecast from the plan's own structure: each node's own time grows with the rows that it handles, and those
either follow the tenant's rows or don't. A node below a LIMIT that was reached handles as many rows however
large the tenant is; one that handles a fair part of the tenant's rows handles as great a part tomorrow; in
between, another tenant of another size with the same plan shows which. Planning counts where it is done each
time. It is a forecast for the plan of today, with an interval: what a row costs is known to a factor of two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adx_lab.analysis.plans.captures.matrix import Matrix, PlanCell
    from adx_lab.analysis.plans.records import PlanAnalysis, PlanNode

BUDGET_MS = 10.0
_PART_OF_TENANT_MIN = 0.05
_EXPONENT_MIN = 0.3
_ROWS_RATIO_MIN = 1.5
ROW_COST_FACTOR = 2.0
_FARTHEST = 1000.0
_ROWS_MIN = 20.0
_LEAVES = frozenset(
    {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Bitmap Index Scan", "Tid Scan"}
)


@dataclass(frozen=True, slots=True)
class Headroom:
    """How far one query of one kind of tenant is from its budget.

    ``rows_at_budget`` is None where its time does not grow with rows, or where that is unknown (``known`` is
    false then); ``rows_low`` and ``rows_high`` are the interval around it. ``grows_with`` is the table whose
    rows count, ``of_tenant`` whether it is the tenant's rows in it or all of them. ``growing_ms`` is the part
    of ``ms`` that grows.
    """

    query: str
    tenant: str
    mode: str
    ms: float
    pages: int
    page_ms: float
    rows: float
    rows_at_budget: float | None
    grows_with: str | None
    of_tenant: bool
    words: str
    rows_low: float | None = None
    rows_high: float | None = None
    growing_ms: float = 0.0
    known: bool = True

    @property
    def times(self) -> float | None:
        """How many times today's rows fit into the budget; below 1 it is spent already."""
        return None if self.rows_at_budget is None or not self.rows else self.rows_at_budget / self.rows

    def forecast_ms(self, rows: float) -> float:
        """Return what the query will take at so many rows."""
        if not self.rows:
            return self.ms
        return self.ms + self.growing_ms * (rows / self.rows - 1)


@dataclass(frozen=True, slots=True)
class _Growth:
    """The rows that a plan's time follows, and how much of its time does."""

    table: str
    of_tenant: bool
    rows: float
    growing_ms: float


def headrooms(matrix: Matrix, *, budget_ms: float = BUDGET_MS) -> tuple[Headroom, ...]:
    """Return the headroom of every executed cell, the tightest first; those that do not grow last."""
    found = [_headroom(matrix, cell, budget_ms) for cell in matrix.cells.values() if cell.analysis.timed]
    return tuple(sorted(found, key=lambda room: float("inf") if room.times is None else room.times))


def _headroom(matrix: Matrix, cell: PlanCell, budget_ms: float) -> Headroom:
    analysis = cell.analysis
    pages = analysis.pages or 0
    planning = (analysis.planning_ms or 0.0) if cell.mode == "custom" else 0.0
    spent = (analysis.execution_ms or analysis.root.inclusive_ms or 0.0) + planning
    growth = _growth(matrix, cell)
    at_budget, low, high = _rows_at(growth, spent, budget_ms)
    known = at_budget is None or growth is None or at_budget <= growth.rows * _FARTHEST
    return Headroom(
        query=cell.query,
        tenant=cell.tenant,
        mode=cell.mode,
        ms=spent,
        pages=pages,
        page_ms=spent / pages if pages else 0.0,
        rows=0.0 if growth is None else growth.rows,
        rows_at_budget=at_budget if known else None,
        grows_with=None if growth is None else growth.table,
        of_tenant=growth is not None and growth.of_tenant,
        words=_words(cell, growth, (at_budget, low, high), budget_ms),
        rows_low=low,
        rows_high=high,
        growing_ms=0.0 if growth is None else growth.growing_ms,
        known=known,
    )


def _rows_at(
    growth: _Growth | None, spent_ms: float, budget_ms: float
) -> tuple[float | None, float | None, float | None]:
    """Return at how many rows the budget is spent, and the interval of that."""
    if growth is None or growth.growing_ms <= 0:
        return None, None, None
    fixed = spent_ms - growth.growing_ms

    def rows_at(growing_ms: float) -> float:
        return max(0.0, growth.rows * (budget_ms - fixed) / growing_ms)

    middle = rows_at(growth.growing_ms)
    return (
        middle,
        rows_at(growth.growing_ms * ROW_COST_FACTOR),
        rows_at(growth.growing_ms / ROW_COST_FACTOR),
    )


def _growth(matrix: Matrix, cell: PlanCell) -> _Growth | None:
    """Return what the plan's time follows, where it follows anything: the tenant's rows before all rows."""
    tenant_rows = matrix.tenant_rows(cell.tenant)
    own = _grown(cell, tenant_rows, _other(matrix, cell))
    if own is not None:
        return own
    everything = {name: facts.rows for name, facts in matrix.tables.items() if facts.rows > 0}
    whole = {
        node.relation: everything[node.relation]
        for node in cell.analysis.nodes
        if node.type == "Seq Scan" and not node.stopped_early and node.relation in everything
    }
    found = _grown(cell, whole, None)
    return None if found is None else _Growth(found.table, False, found.rows, found.growing_ms)


def _grown(
    cell: PlanCell, rows: Mapping[str, float], other: tuple[PlanCell, Mapping[str, float]] | None
) -> _Growth | None:
    nodes = cell.analysis.nodes
    growing = [_leaf_grows(cell.analysis, index, rows, other) for index in range(len(nodes))]
    for index in range(
        len(nodes) - 1, 0, -1
    ):  # what is above grows with what it is fed, unless it is left early
        parent = nodes[index].parent
        if growing[index] and parent is not None and not nodes[parent].stopped_early:
            growing[parent] = True
    spent = sum(max(0.0, node.self_ms or 0.0) for node, grows in zip(nodes, growing, strict=True) if grows)
    tables = [
        (node.relation, rows[node.relation], node.rows_total or 0.0)
        for node, grows in zip(nodes, growing, strict=True)
        if grows and node.relation is not None and node.relation in rows
    ]
    if not tables or spent <= 0:
        return None
    table, table_rows, _ = max(tables, key=lambda item: item[1:])
    return _Growth(table, True, table_rows, spent) if table_rows > 0 else None


def _leaf_grows(
    analysis: PlanAnalysis,
    index: int,
    rows: Mapping[str, float],
    other: tuple[PlanCell, Mapping[str, float]] | None,
) -> bool:
    """Tell whether the rows that a scan handles follow the rows that there are."""
    node = analysis.nodes[index]
    if node.type not in _LEAVES or node.stopped_early or node.never_executed:
        return False
    relation = node.relation or _relation_above(analysis, index)
    handled = _handled(node)
    if relation is None or rows.get(relation, 0.0) <= 0 or handled < 1:
        return False
    if handled >= max(_ROWS_MIN, rows[relation] * _PART_OF_TENANT_MIN):
        return True
    return other is not None and _follows(handled, rows[relation], index, relation, other)


def _follows(
    handled: float, rows: float, index: int, relation: str, other: tuple[PlanCell, Mapping[str, float]]
) -> bool:
    """Tell by a tenant of another size with the same plan whether a node's rows follow its tenant's."""
    cell, theirs = other
    handled_there, rows_there = _handled(cell.analysis.nodes[index]), theirs.get(relation, 0.0)
    if handled_there < 1 or rows_there <= 0:
        return False
    apart = rows / rows_there
    if max(apart, 1 / apart) < _ROWS_RATIO_MIN:
        return False
    return math.log(handled / handled_there) / math.log(apart) >= _EXPONENT_MIN


def _other(matrix: Matrix, cell: PlanCell) -> tuple[PlanCell, Mapping[str, float]] | None:
    """Return the cell of the tenant that is farthest in size and has the same plan."""
    mine = sum(matrix.tenant_rows(cell.tenant).values())
    others = [
        (abs(math.log((sum(rows.values()) or 1.0) / (mine or 1.0))), item.tenant, item, rows)
        for item in matrix.cells.values()
        if (item.query, item.mode) == (cell.query, cell.mode)
        and item.tenant != cell.tenant
        and item.analysis.shape == cell.analysis.shape
        and (rows := matrix.tenant_rows(item.tenant))
    ]
    if not others:
        return None
    _, _, found, rows = max(others, key=lambda item: item[:2])
    return found, rows


def _handled(node: PlanNode) -> float:
    """Return the rows that a node looked at, or the pages where those are more: dead rows cost as well."""
    return max((node.rows_total or 0.0) + (node.rows_removed or 0.0), float(node.self_pages or 0))


def _relation_above(analysis: PlanAnalysis, index: int) -> str | None:
    """Return the table of a bitmap: the scan above names it."""
    parent = analysis.nodes[index].parent
    while parent is not None and analysis.nodes[parent].relation is None:
        parent = analysis.nodes[parent].parent
    return None if parent is None else analysis.nodes[parent].relation


def _words(
    cell: PlanCell,
    growth: _Growth | None,
    rows: tuple[float | None, float | None, float | None],
    budget_ms: float,
) -> str:
    at_budget, low, high = rows
    if growth is None or at_budget is None or low is None or high is None:
        return f"does not grow with the {cell.tenant} tenant's rows"
    whose = f"the {cell.tenant} tenant's rows" if growth.of_tenant else "rows of all tenants"
    if at_budget <= growth.rows:
        return f"is over {budget_ms:g} ms already, at {growth.rows:,.0f} of {whose} in {growth.table}"
    if at_budget > growth.rows * _FARTHEST:
        return f"grows so little with {whose} in {growth.table} that where {budget_ms:g} ms end is unknown"
    return (
        f"leaves {budget_ms:g} ms at about {at_budget:,.0f} of {whose} in {growth.table} "
        f"({low:,.0f} to {high:,.0f}); today {growth.rows:,.0f}"
    )
