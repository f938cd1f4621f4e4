"""One plan of a stored run as a picture, chosen by the names that people use; the baseline's beside it."""

from __future__ import annotations

from adx_lab.analysis.plans.captures.compare import PlanChange, compare_matrices
from adx_lab.analysis.plans.captures.matrix import Matrix, PlanCell, for_whom
from adx_lab.errors import UsageError, nearest
from adx_lab.report.plans.svg import PlanFigure, plan_figure
from adx_lab.report.run.judged_run import Judgement


def plan_picture(
    judgement: Judgement,
    *,
    query: str = "",
    tenant: str = "",
    mode: str = "",
    baseline: Judgement | None = None,
) -> PlanFigure:
    """Draw how a run's database executed a query for a kind of tenant.

    Parameters
    ----------
    query
        A named query, or a beginning: the first one that has it is drawn, and the first of all where nothing
        is said.
    tenant
        A kind of tenant, or of values: whale, median, small or absent; any, common, rare or absent.
    mode
        ``custom`` (made for the values) or ``generic`` (made for any).
    baseline
        The run whose plan is drawn to the left.

    Raises
    ------
    UsageError
        A run has no plans, or none of that name; the message says what there is.
    """
    cell = find_cell(judgement.plans, query, tenant, mode)
    before = None if baseline is None else find_cell(baseline.plans, *cell.key)
    title = f"{cell.query} for {for_whom(cell.tenant)}, {cell.mode} plan"
    return plan_figure(cell.analysis, None if before is None else before.analysis, title=title)


def find_cell(matrix: Matrix, query: str, tenant: str, mode: str) -> PlanCell:
    """Return one cell of a matrix by name; see `plan_picture`."""
    if not matrix.cells:
        raise UsageError("this run has no plans", mend="load the stack, or a service with its database's URL")
    queries = list(dict.fromkeys(key[0] for key in matrix.cells))
    chosen = query if query in queries else next((name for name in queries if name.startswith(query)), None)
    if chosen is None:
        raise UsageError(f"there is no query {query} in the captured plans", mend=nearest(query, queries))
    own = [cell for key, cell in matrix.cells.items() if key[0] == chosen]
    for what, said, known in (
        ("tenant", tenant, list(dict.fromkeys(cell.tenant for cell in own))),
        ("mode", mode, list(dict.fromkeys(cell.mode for cell in own if tenant in {"", cell.tenant}))),
    ):
        if said and said not in known:
            raise UsageError(f"there is no {what} {said} for {chosen}", mend=nearest(said, known))
    return next(
        cell for cell in own if (not tenant or cell.tenant == tenant) and (not mode or cell.mode == mode)
    )


def changes_since(judgement: Judgement, baseline: Judgement | None) -> tuple[PlanChange, ...]:
    """Return the plans that differ from the baseline's, the costliest first; none without a baseline."""
    return () if baseline is None else compare_matrices(baseline.plans, judgement.plans)
