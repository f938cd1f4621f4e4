"""Rules on what is done with rows: joins, memory, estimates, and what surrounds the plan."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from adx_lab.analysis.plans.advice.indexes import condition_columns
from adx_lab.analysis.plans.records import PlanFinding
from adx_lab.analysis.plans.rules.place import NodePlace, amount
from adx_lab.analysis.plans.sql.tokens import quoted_name
from adx_lab.analysis.plans.tree import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from adx_lab.analysis.plans.records import PlanAnalysis
    from adx_lab.analysis.plans.rules.context import Context

_CONDITIONS = ("Filter", "Index Cond", "Recheck Cond")
_KB_A_PAGE = 8
_MEMORY_MB_GUESS = 8_192
_MEMORY_SHARE_MAX = 1 / 16
"""A statement may take work_mem several times over, and so may others at the same time."""
_NOT_JUDGED = frozenset({
    "Bitmap Index Scan", "BitmapAnd", "BitmapOr",  # the heap scan above tells of them
    "Recursive Union", "WorkTable Scan", "CTE Scan",  # the planner has no way to know better
})  # fmt: skip


def nested_loop(view: NodePlace) -> PlanFinding | None:
    """Find a nested loop whose inner side runs very often, and costs."""
    if view.node.type != "Nested Loop":
        return None
    inner = next((child for child in view.children() if child.text("Parent Relationship") == "Inner"), None)
    outer = next((child for child in view.children() if child.text("Parent Relationship") == "Outer"), None)
    if inner is not None and inner.node.type == "Memoize":
        inner = next(inner.children(), inner)  # only what the cache could not answer runs
    if inner is None or outer is None or not _costs_by_loops(inner):
        return None
    source = inner.source()
    loops = inner.node.loops or 0.0
    mend = None
    if source is not None and source.node.type == "Seq Scan":
        advice = source.advise(source.printed("Filter"))
        mend = None if advice is None else advice.words
    if mend is None and (outer.node.estimate_factor or 1.0) >= view.limits.misestimate_min:
        planned = amount(outer.node.planned_rows or 0)
        mend = f"mend the estimate: {amount(outer.rows)} rows came where {planned} were planned"
    return view.finding(
        "nested_loop",
        f"looks for partners {amount(loops)} times, {amount(inner.node.pages or 0)} pages in all",
        mend or "narrow the outer side first, or let a hash join read the inner side once",
        loops=loops,
        pages=inner.node.pages,
    )


def sub_plan(view: NodePlace) -> PlanFinding | None:
    """Find a subquery that runs once a row."""
    if view.text("Parent Relationship") != "SubPlan" or not (_costs_by_loops(view) or _takes_time(view)):
        return None
    return view.finding(
        "sub_plan",
        f"runs {amount(view.node.loops or 0)} times and touches {amount(view.node.pages or 0)} pages",
        "write it as a join with a grouped subquery, or narrow the rows that it runs for",
        loops=view.node.loops,
        pages=view.node.pages,
    )


def spill(view: NodePlace) -> PlanFinding | None:
    """Find a node that had to write to disk what did not fit into memory."""
    if view.node.type == "Hash Join":
        return None  # its hash table's node tells of it
    own_kb = (view.node.self_temp_written or 0) * _KB_A_PAGE
    disk_kb = max(view.figure("Disk Usage"), own_kb)
    need_kb = disk_kb
    if view.text("Sort Space Type") == "Disk":
        disk_kb = max(disk_kb, view.figure("Sort Space Used"))
        need_kb = disk_kb * 3  # a sort in memory takes about that many times its tape
    elif view.figure("Hash Batches") > 1:
        need_kb = max(need_kb, view.figure("Peak Memory Usage") * view.figure("Hash Batches"))
        disk_kb = max(disk_kb, 1)
    elif view.figure("Disk Usage"):
        need_kb = view.figure("Peak Memory Usage") + 3 * view.figure("Disk Usage")
    if disk_kb <= 0 or view.node.loops is None:
        return None
    return view.finding(
        "spill",
        f"writes {amount(disk_kb)} kB to temporary files, since it does not fit into work_mem",
        _more_memory(view, need_kb * 1.2 / 1024),
        disk_kb=disk_kb,
        need_kb=need_kb,
    )


def _more_memory(view: NodePlace, need_mb: float) -> str:
    """Say what mends a spill: more memory where a machine bears it for each of many statements."""
    bearable_mb = (view.context.memory_mb or _MEMORY_MB_GUESS) * _MEMORY_SHARE_MAX
    if need_mb <= bearable_mb:
        return f"SET work_mem = '{max(4, round(need_mb + 0.5))}MB'; or narrow what is sorted or hashed"
    return (
        f"it would need {amount(need_mb)} MB of work_mem, more than a statement should be given "
        f"({amount(bearable_mb)} MB): narrow what is sorted or hashed, or read it in the order of an index"
    )


def misestimate(view: NodePlace) -> PlanFinding | None:
    """Find a row estimate that is far off, at the node where the error begins."""
    factor, least = view.node.estimate_factor, view.limits.misestimate_min
    if factor is None or 1 / least < factor < least or view.node.type in _NOT_JUDGED:
        return None
    rows, planned = view.node.rows or 0.0, view.node.planned_rows or 0.0
    if max(rows, planned) < view.limits.misestimate_rows_min or _comes_from_below(view, factor):
        return None
    if _excused(view, factor):
        return None
    return view.finding(
        "misestimate",
        f"{amount(rows)} rows came where {amount(planned)} were planned",
        _better_statistics(view),
        rows=rows,
        planned_rows=planned,
        factor=factor,
    )


def stale_statistics(view: NodePlace) -> PlanFinding | None:
    """Find a table that changed much since it was last analysed."""
    if not _is_stale(view) or _seen_before(view):
        return None
    table = view.table
    assert table is not None
    relation = view.target()
    was = "was never analysed" if table.rows < 0 else f"had {amount(table.rows)} rows when last analysed"
    return view.finding(
        "stale_statistics",
        f"{relation} {was}, and {amount(table.modified)} rows changed since",
        f"ANALYZE {relation};",
        rows=table.rows,
        modified=table.modified,
    )


WORK_RULES: tuple[Callable[[NodePlace], PlanFinding | None], ...] = (
    nested_loop,
    sub_plan,
    spill,
    misestimate,
    stale_statistics,
)


def jit(analysis: PlanAnalysis, context: Context) -> list[PlanFinding]:
    """Find compilation that takes a notable part of a short query."""
    spent, whole = analysis.jit_ms, analysis.execution_ms
    limits = context.thresholds
    if spent is None or not whole or spent < limits.jit_ms_min or spent < whole * limits.jit_share_min:
        return []
    where = " in each process" if any(node.type.startswith("Gather") for node in analysis.nodes) else ""
    reason = f"compiling took {spent:.1f} of {whole:.1f} ms{where}"
    return [
        PlanFinding("jit", "0", "JIT", reason, "SET jit = off; or raise jit_above_cost", {"jit_ms": spent})
    ]


PLAN_RULES: tuple[Callable[[PlanAnalysis, Context], list[PlanFinding]], ...] = (jit,)


def _takes_time(view: NodePlace) -> bool:
    """Tell whether what runs a hundred times or more is a notable part of the whole."""
    whole = view.analysis.execution_ms or view.analysis.root.inclusive_ms or 0.0
    spent = view.node.inclusive_ms or 0.0
    return (view.node.loops or 0.0) >= 100 and spent >= max(1.0, whole * 0.2)


def _costs_by_loops(view: NodePlace) -> bool:
    loops, pages = view.node.loops or 0.0, view.node.pages
    if loops < view.limits.loops_min:
        return False
    return pages is None or pages >= view.limits.loop_pages_min


def _excused(view: NodePlace, factor: float) -> bool:
    """Tell whether an estimate that is far off is no news, or nobody's fault."""
    reads_a_table = bool(view.node.relation and view.printed(*_CONDITIONS))
    decided_nothing = (view.node.parent is None and not reads_a_table) or bool(view.text("One-Time Filter"))
    unknowable = "SubPlan" in view.text("Filter")
    # What isn't there is found quickly by any plan; a generic plan is made for the average of all values.
    too_few = view.node.rows == 0 or (factor < 1 and _is_generic(view) and not _asks_a_subquery(view))
    return decided_nothing or unknowable or too_few or _is_stale(view)


def _comes_from_below(view: NodePlace, factor: float) -> bool:
    """Tell whether a node that feeds this one was off likewise, and explains most of the error."""
    for child in view.children():
        below = child.node.estimate_factor
        if view.node.type == "Bitmap Heap Scan" or below is None:
            continue
        least = view.limits.misestimate_min
        if (factor > 1 and factor / below < least) or (factor < 1 and below / factor < least):
            return True
    return False


def _is_stale(view: NodePlace) -> bool:
    table = view.table
    if table is None or view.node.type in {"ModifyTable", "CTE Scan"}:
        return False
    known = max(table.rows, 0.0)
    return table.modified >= max(view.limits.modified_min, known * view.limits.modified_share_min)


def _seen_before(view: NodePlace) -> bool:
    same = (node.relation == view.node.relation for node in view.analysis.nodes[: view.index])
    return any(same)


def _is_generic(view: NodePlace) -> bool:
    """Tell whether a node's conditions hold parameters whose values the planner did not know."""
    return any(re.search(r"\$\d", text) for text in view.printed(*_CONDITIONS))


def _asks_a_subquery(view: NodePlace) -> bool:
    """Tell whether a node's conditions hold a value that a subquery finds before the scan."""
    names = [text(node, "Subplan Name") for node in view.tree.nodes]
    given = {value for name in names for value in re.findall(r"\$\d+", name.partition(" (returns ")[2])}
    said = " ".join(view.printed(*_CONDITIONS))
    return "(InitPlan " in said or bool(given & set(re.findall(r"\$\d+", said)))


def _better_statistics(view: NodePlace) -> str:
    relation = view.node.relation
    if relation is None or view.node.type in {"Function Scan", "CTE Scan"}:
        return (
            "ANALYZE the tables below; if it stays, the columns depend on each other: see CREATE STATISTICS"
        )
    if _asks_a_subquery(view):
        return "the value comes from a subquery, so that the planner guesses: ask for it first, and give it"
    if _is_generic(view):
        return "the plan was made without the parameter's value: SET plan_cache_mode = force_custom_plan"
    advice = view.advise(view.printed(*_CONDITIONS))
    if advice is not None and advice.rewrites:
        return advice.words  # of an expression there are no statistics
    return _finer_statistics(view)


def _finer_statistics(view: NodePlace) -> str:
    table = view.target()
    columns = condition_columns(view.described, view.printed(*_CONDITIONS))
    if len(columns) > 1:
        words = [column.strip('"') for column in (view.node.relation or "", *columns)]
        name = "_".join(words)[:50].replace(" ", "_").lower()
        create = f"CREATE STATISTICS {quoted_name(f'{name}_stats')} (dependencies, mcv)"
        return f"{create} ON {', '.join(columns)} FROM {table}; ANALYZE {table};"
    if columns:
        return f"ALTER TABLE {table} ALTER COLUMN {columns[0]} SET STATISTICS 1000; ANALYZE {table};"
    return f"ANALYZE {table};"
