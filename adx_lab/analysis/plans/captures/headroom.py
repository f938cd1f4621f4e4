"""At how many rows a query will leave its budget, for each kind of tenant.

Assumed is that time follows the pages a query touches, at the time a page that the plan itself was measured
at, and that pages follow the tenant's rows in a straight line, whose slope two tenants of different size
show (or, where a table is read as a whole, the table's own pages and rows). It is a forecast for the plan of
today: another shape makes another line.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adx_lab.analysis.plans.captures.matrix import Cell, Matrix

BUDGET_MS = 10.0
_PAGES_MIN = 20
_GROWTH_SHARE_MIN = 0.1
_ROWS_RATIO_MIN = 1.5
_PAGE_MS_GUESS = 0.005


@dataclass(frozen=True, slots=True)
class Headroom:
    """How far one query of one kind of tenant is from its budget.

    ``rows_at_budget`` is None where the pages do not grow with rows. ``grows_with`` is the table whose rows
    count, ``of_tenant`` whether it is the tenant's rows in it or all of them.
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

    @property
    def times(self) -> float | None:
        """How many times today's rows fit into the budget; below 1 it is spent already."""
        return None if self.rows_at_budget is None or not self.rows else self.rows_at_budget / self.rows


@dataclass(frozen=True, slots=True)
class _Growth:
    """Pages for a row, and whose rows."""

    table: str
    of_tenant: bool
    rows: float
    pages_a_row: float


def headrooms(matrix: Matrix, *, budget_ms: float = BUDGET_MS) -> tuple[Headroom, ...]:
    """Return the headroom of every executed cell, the tightest first; those that do not grow last."""
    typical = _typical_page_ms(matrix)
    found = [
        _headroom(matrix, cell, typical, budget_ms)
        for cell in matrix.cells.values()
        if cell.analysis.timed and cell.analysis.pages
    ]
    return tuple(sorted(found, key=lambda room: float("inf") if room.times is None else room.times))


def _headroom(matrix: Matrix, cell: Cell, typical_ms: float, budget_ms: float) -> Headroom:
    pages = cell.analysis.pages or 0
    spent = cell.analysis.root.inclusive_ms or 0.0
    page_ms = spent / pages if pages >= _PAGES_MIN else typical_ms
    growth = _growth(matrix, cell)
    at_budget = None
    if growth is not None:
        at_budget = max(0.0, growth.rows + (budget_ms - spent) / (page_ms * growth.pages_a_row))
    return Headroom(
        query=cell.query,
        tenant=cell.tenant,
        mode=cell.mode,
        ms=spent,
        pages=pages,
        page_ms=page_ms,
        rows=0.0 if growth is None else growth.rows,
        rows_at_budget=at_budget,
        grows_with=None if growth is None else growth.table,
        of_tenant=growth is not None and growth.of_tenant,
        words=_words(cell, growth, at_budget, budget_ms),
    )


def _typical_page_ms(matrix: Matrix) -> float:
    """Return the median time a page over the plans that touch enough of them to tell."""
    measured = [
        (cell.analysis.root.inclusive_ms or 0.0) / (cell.analysis.pages or 1)
        for cell in matrix.cells.values()
        if cell.analysis.timed and (cell.analysis.pages or 0) >= _PAGES_MIN
    ]
    return max(1e-6, median(measured)) if measured else _PAGE_MS_GUESS


def _growth(matrix: Matrix, cell: Cell) -> _Growth | None:
    """Return the steepest growth that says something of the pages touched today."""
    pages = cell.analysis.pages or 0
    candidates = [*_with_tenant(matrix, cell), *_with_table(matrix, cell)]
    notable = [item for item in candidates if item.pages_a_row * item.rows >= pages * _GROWTH_SHARE_MIN]
    return max(notable, key=lambda item: item.pages_a_row * item.rows, default=None)


def _with_tenant(matrix: Matrix, cell: Cell) -> Iterator[_Growth]:
    """Hold this tenant against one of another size that is given the same plan.

    A larger one where there is one: it shows where a LIMIT stops the growth.
    """
    relations = {node.relation for node in cell.analysis.nodes if node.relation}
    mine = matrix.tenant_rows(cell.tenant)
    for table in sorted(relations & set(mine)):  # the same order in every process
        rows = mine[table]
        others = []
        for other in matrix.cells.values():
            theirs = matrix.tenant_rows(other.tenant).get(table, 0)
            same = (other.query, other.mode) == (cell.query, cell.mode) and other.tenant != cell.tenant
            apart = max(rows, theirs) >= max(1.0, min(rows, theirs)) * _ROWS_RATIO_MIN
            if same and apart and theirs > 0 and other.analysis.shape == cell.analysis.shape:
                others.append((theirs < rows, abs(theirs - rows), theirs, other.analysis.pages or 0))
        if others:
            _, _, theirs, pages = min(others)
            slope = ((cell.analysis.pages or 0) - pages) / (rows - theirs)
            if slope > 0:
                yield _Growth(table, of_tenant=True, rows=rows, pages_a_row=slope)


def _with_table(matrix: Matrix, cell: Cell) -> Iterator[_Growth]:
    """Look for tables that are read as a whole: they grow with every tenant's rows."""
    for node in cell.analysis.nodes:
        facts = matrix.tables.get(node.relation or "")
        if node.type == "Seq Scan" and not node.stopped_early and facts is not None and facts.rows > 0:
            yield _Growth(
                node.relation or "",
                of_tenant=False,
                rows=facts.rows,
                pages_a_row=(node.self_pages or 0) / facts.rows,
            )


def _words(cell: Cell, growth: _Growth | None, at_budget: float | None, budget_ms: float) -> str:
    if growth is None or at_budget is None:
        return f"does not grow with the {cell.tenant} tenant's rows"
    whose = f"the {cell.tenant} tenant's rows" if growth.of_tenant else "rows of all tenants"
    if at_budget <= growth.rows:
        return f"is over {budget_ms:g} ms already, at {growth.rows:,.0f} of {whose} in {growth.table}"
    return (
        f"leaves {budget_ms:g} ms at {at_budget:,.0f} of {whose} in {growth.table}; today {growth.rows:,.0f}"
    )
