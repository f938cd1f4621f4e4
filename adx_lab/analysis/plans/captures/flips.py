"""What a captured matrix says by itself: which queries flip between plans, for whom, and what it costs.

PostgreSQL plans a prepared statement anew five times on each connection, then takes the generic plan for
good where its cost is below the average of those five, planning included. So the plan that a tenant gets
depends on who used the connection before. Source: ``backend/utils/cache/plancache.c``
(``choose_custom_plan``, ``cached_plan_cost``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adx_lab.analysis.plans.captures.matrix import Matrix, PlanCell

ANY_VALUE = "any"
"""What a plan was made for that was made for no value: the generic plan of a statement."""
_CPU_OPERATOR_COST = 0.0025
_PLANNING_COST_A_RELATION = 1000 * _CPU_OPERATOR_COST


@dataclass(frozen=True, slots=True)
class Flip:
    """A query whose generic plan differs from the one a kind of tenant gets planned.

    ``settles_generic`` says whether a connection used by this kind of tenant alone ends up with the generic
    plan; ``settled_by`` which kinds bring it there. ``pages_more`` is what the generic plan then costs this
    tenant.
    """

    query: str
    tenant: str
    custom: PlanCell
    generic: PlanCell
    settles_generic: bool
    settled_by: tuple[str, ...]
    words: str

    @property
    def pages_more(self) -> int:
        """Pages the generic plan touches beyond the custom one's."""
        return (self.generic.analysis.pages or 0) - (self.custom.analysis.pages or 0)


@dataclass(frozen=True, slots=True)
class Tie:
    """A plan that slightly different costs, or the next ANALYZE, would turn over."""

    query: str
    tenant: str
    mode: str
    shape: str
    others: tuple[str, ...]


def find_flips(matrix: Matrix) -> tuple[Flip, ...]:
    """Return every query and kind of tenant whose custom and generic plans have different shapes."""
    found = []
    for (query, tenant, mode), custom in matrix.cells.items():
        generic = generic_of(matrix, query, tenant)
        if mode != "custom" or generic is None or custom.analysis.shape == generic.analysis.shape:
            continue
        kinds = _custom_of(matrix, query)
        settled_by = tuple(kind for kind, cell in kinds.items() if _settles_generic(cell, generic))
        found.append(
            Flip(
                query=query,
                tenant=tenant,
                custom=custom,
                generic=generic,
                settles_generic=tenant in settled_by,
                settled_by=settled_by,
                words=_words(custom, generic, settled_by, everybody=len(settled_by) == len(kinds)),
            )
        )
    return tuple(sorted(found, key=lambda flip: -flip.pages_more))


def generic_of(matrix: Matrix, query: str, tenant: str) -> PlanCell | None:
    """Return the plan that a connection settles on; where nothing was executed there is one for any value."""
    return matrix.cells.get((query, tenant, "generic")) or matrix.cells.get((query, ANY_VALUE, "generic"))


def find_ties(matrix: Matrix) -> tuple[Tie, ...]:
    """Return every plan that costs a little different, or another sample of the rows, would turn over."""
    return tuple(
        Tie(cell.query, cell.tenant, cell.mode, cell.analysis.shape, cell.near)
        for cell in matrix.cells.values()
        if cell.near
    )


def _custom_of(matrix: Matrix, query: str) -> Mapping[str, PlanCell]:
    return {
        cell.tenant: cell for cell in matrix.cells.values() if cell.query == query and cell.mode == "custom"
    }


def _settles_generic(custom: PlanCell, generic: PlanCell) -> bool:
    relations = sum(1 for node in generic.analysis.nodes if node.relation is not None)
    planned = (custom.analysis.root.cost or 0.0) + _PLANNING_COST_A_RELATION * (relations + 1)
    return (generic.analysis.root.cost or 0.0) < planned


def _words(custom: PlanCell, generic: PlanCell, settled_by: tuple[str, ...], *, everybody: bool) -> str:
    pages = f"{custom.analysis.pages or 0:,} -> {generic.analysis.pages or 0:,} pages"
    if not custom.analysis.analysed:
        costs = [cell.analysis.root.cost or 0.0 for cell in (custom, generic)]
        rows = [cell.analysis.root.planned_rows or 0.0 for cell in (custom, generic)]
        pages = (
            f"another plan (cost {costs[0]:,.0f} for {rows[0]:,.0f} rows; {costs[1]:,.0f} for {rows[1]:,.0f})"
        )
    if not settled_by:
        return (
            f"the generic plan would cost the {custom.tenant} tenant {pages}, but no connection settles on it"
        )
    who = "any tenants" if everybody else f"{' or '.join(settled_by)} tenants first"
    return f"{pages} for the {custom.tenant} tenant on a connection that served {who}"
