"""Rules on what surrounds the rows: planning, workers, dead space, other servers, waits, joins by mistake."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from adx_lab.analysis.plans.records import PlanFinding
from adx_lab.analysis.plans.rules.place import NodePlace, amount
from adx_lab.analysis.plans.sql.expression import Cast, ColumnName, Operation, conjuncts, parse, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from adx_lab.analysis.plans.records import PlanAnalysis
    from adx_lab.analysis.plans.rules.context import Context

_HEAP_SCANS = frozenset({"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan"})
_ALL_CONDITIONS = (
    "Index Cond",
    "Recheck Cond",
    "Filter",
    "Join Filter",
    "Hash Cond",
    "Merge Cond",
    "Cache Key",
)
_FORBIDS = re.compile(r"enable_\w+=off$")
_MANY_ROWS, _FEW_SHARE = 10_000, 0.01


def dead_rows(view: NodePlace) -> PlanFinding | None:
    """Find a scan of many more pages than its rows can fill: dead ones are on the others."""
    pages, loops = view.node.self_pages or 0, view.node.loops or 0.0
    if view.node.type not in _HEAP_SCANS or pages < view.limits.dead_pages_min or view.node.stopped_early:
        return None
    looked_at = (
        view.rows + (view.node.rows_removed or 0.0) + view.figure("Rows Removed by Index Recheck") * loops
    )
    by_index = view.node.type != "Seq Scan"
    if pages <= (view.limits.pages_a_row_min * (looked_at + loops) if by_index else 2 * looked_at):
        return None
    known = view.table.dead_rows if view.table is not None else None
    dead = f" ({amount(known)} dead rows)" if known else ""
    return view.finding(
        "dead_rows",
        f"touches {amount(pages)} pages for {amount(looked_at)} rows: most hold dead rows or none{dead}",
        f"VACUUM (ANALYZE) {view.target()}; look for transactions that keep dead rows alive; where it stays "
        f"that large, VACUUM FULL or pg_repack",
        pages=pages,
        rows=looked_at,
    )


def cartesian(view: NodePlace) -> PlanFinding | None:
    """Find a nested loop that joins everything with everything, since nothing says what belongs together."""
    if view.node.type != "Nested Loop" or view.text("Join Filter"):
        return None
    sides = list(view.children())
    if len(sides) != 2:
        return None
    outer, inner = sides
    if min(outer.rows, inner.node.rows or 0.0) < 2 or view.rows < view.limits.pairs_min:
        return None
    if _depends(inner, _aliases(outer)):
        return None
    return view.finding(
        "cartesian",
        f"joins each of {amount(outer.rows)} rows with each of {amount(inner.node.rows or 0)}: nothing says "
        "which belong together",
        "say in the join what belongs together; where every pair is meant, aggregate each side first",
        pairs=view.rows,
    )


def unlaunched(view: NodePlace) -> PlanFinding | None:
    """Find a Gather that did not get the workers that it was planned for."""
    planned, launched = view.figure("Workers Planned"), view.figure("Workers Launched")
    if not planned or "Workers Launched" not in view.raw or launched >= planned:
        return None
    return view.finding(
        "workers_not_launched",
        f"{amount(launched)} of {amount(planned)} workers were there: the plan was made for more",
        "raise max_parallel_workers and max_worker_processes, or lower max_parallel_workers_per_gather, so "
        "that plans count on workers that are free",
        planned=planned,
        launched=launched,
    )


def foreign_rows(view: NodePlace) -> PlanFinding | None:
    """Find rows that another server sends only to be thrown away here."""
    if view.node.type != "Foreign Scan" or not view.text("Filter"):
        return None
    removed = view.node.rows_removed or 0.0
    if removed < view.limits.foreign_rows_min or removed < view.rows:
        return None
    remote = view.text("Remote SQL")
    sent = f"; it is sent: {remote}" if remote else ""
    return view.finding(
        "foreign_rows",
        f"the other server sends {amount(removed + view.rows)} rows, of which {amount(removed)} are thrown "
        f"away here{sent}",
        "write the condition so that it can be sent: built-in, unchanging functions and operators on plain "
        "columns",
        rows_removed=removed,
        rows_kept=view.rows,
        remote_sql=remote,
    )


def implicit_cast(view: NodePlace) -> PlanFinding | None:
    """Find a column that is cast to be compared, which keeps its index from being used."""
    removed = view.node.rows_removed or 0.0
    if removed < view.limits.rows_read_min or removed < view.rows or view.node.type != "Seq Scan":
        return None
    cast = next(_casts(view), None)
    if cast is None or view.partitions()[0].index != view.index:
        return None
    advice = view.advise(view.printed("Filter"))
    if advice is None or "casting" not in advice.words:
        return None
    return view.finding(
        "implicit_cast",
        f"casts {cast.operand.sql} of each row to {cast.type} to compare it: no index on it can be used",
        advice.words,
        rows_removed=removed,
    )


def join_index(view: NodePlace) -> PlanFinding | None:
    """Find a join that reads a whole large table for the few rows that match a small side."""
    kinds = {"Inner", "Left", "Semi"}
    if view.node.type not in {"Hash Join", "Merge Join"} or view.text("Join Type") not in kinds:
        return None
    condition = view.text("Hash Cond") or view.text("Merge Cond")
    sides = [side for child in view.children() if (side := child.source() or child)]
    feeds = list(view.children())
    for place, side in enumerate(sides if len(sides) == 2 else ()):
        other = feeds[1 - place].rows
        large = side.node.type == "Seq Scan" and side.rows >= _MANY_ROWS and not side.node.stopped_early
        if not large or side.is_minor or max(other, view.rows) > side.rows * _FEW_SHARE:
            continue
        advice = side.advise((condition, *side.printed("Filter")))
        if advice is not None and advice.indexes:
            return side.finding(
                "join_index",
                f"reads all {amount(side.rows)} rows of {side.node.relation} for partners of {amount(other)}",
                advice.words,
                rows_read=side.rows,
                rows_joined=view.rows,
                indexes=advice.indexes,
            )
    return None


AROUND_RULES: tuple[Callable[[NodePlace], PlanFinding | None], ...] = (
    dead_rows,
    cartesian,
    unlaunched,
    foreign_rows,
    implicit_cast,
    join_index,
)


def planning(analysis: PlanAnalysis, context: Context) -> list[PlanFinding]:
    """Find a statement that takes longer to plan than to execute."""
    planned, executed = analysis.planning_ms, analysis.execution_ms
    if planned is None or executed is None or planned < max(context.thresholds.planning_ms_min, executed):
        return []
    scans = sum(1 for node in analysis.nodes if node.relation is not None)
    removed = sum(int(node.details.get("Subplans Removed") or 0) for node in analysis.nodes)
    many = f" over {amount(scans + removed)} tables and partitions" if scans + removed > 10 else ""
    mend = "prepare it once for each connection, and let the generic plan be used"
    if many:
        mend += "; let the planner prune by a constant of the partition key, or make fewer partitions"
    reason = f"planning took {planned:.1f} ms{many}, execution {executed:.1f} ms"
    evidence = {"planning_ms": planned, "execution_ms": executed, "tables": scans + removed}
    return [PlanFinding("planning", "0", "planning", reason, mend, evidence)]


def io_wait(analysis: PlanAnalysis, context: Context) -> list[PlanFinding]:
    """Find a statement that mostly waits for pages to be read or written."""
    limits, whole = context.thresholds, analysis.execution_ms or analysis.root.inclusive_ms
    waited = analysis.root.io_ms
    if not whole or waited is None or waited < max(limits.io_ms_min, whole * limits.io_share_min):
        return []
    slowest = max(analysis.nodes, key=lambda node: node.self_shared_read or 0)
    pages = amount(analysis.root.shared_read or 0)
    side_by_side = " (of all processes together)" if waited > whole else ""
    reason = f"{waited:.1f} of {whole:.1f} ms are waits for the disk{side_by_side}: {pages} pages read"
    mend = "touch fewer pages (an index, fewer columns, VACUUM), or keep them in memory (shared_buffers)"
    return [
        PlanFinding(
            "io_wait", slowest.path, slowest.label, reason, mend, {"io_ms": waited, "whole_ms": whole}
        )
    ]


def forced(analysis: PlanAnalysis, context: Context) -> list[PlanFinding]:
    """Find a planner that was forbidden what it would have done."""
    forbidden = [name for name, value in analysis.settings.items() if _FORBIDS.match(f"{name}={value}")]
    against = [
        node
        for node in analysis.nodes
        if node.details.get("Disabled") is True or (node.cost or 0.0) >= context.thresholds.disabled_cost
    ]
    if not forbidden and not against:
        return []
    node = against[-1] if against else analysis.root
    told = f"{', '.join(forbidden)} off" if forbidden else "a kind of step is switched off (enable_…)"
    reason = (
        f"{told}, and yet there is no other way here" if against else f"{told}: the plan is not a free choice"
    )
    resets = "; ".join(f"RESET {name}" for name in forbidden) or "look for enable_… in the settings"
    return [PlanFinding("forced", node.path, node.label, reason, f"{resets};", {"forbidden": forbidden})]


AROUND_PLAN_RULES: tuple[Callable[[PlanAnalysis, Context], list[PlanFinding]], ...] = (
    planning,
    io_wait,
    forced,
)


def _aliases(view: NodePlace) -> frozenset[str]:
    below = view.tree.below(view.index)
    return frozenset(str(view.tree.nodes[index].get("Alias") or "") for index in below) - {""}


def _depends(inner: NodePlace, outer: frozenset[str]) -> bool:
    """Tell whether the inner side is found for each outer row: by a condition, a function, or a cache."""
    for index in inner.tree.below(inner.index):
        place = inner.at(index)
        if place.node.type in {"Function Scan", "Memoize", "ProjectSet", "Table Function Scan", "Result"}:
            return True
        for text in place.printed(*_ALL_CONDITIONS):
            if "$" in text or any(re.search(rf"\b{re.escape(alias)}\b\.", text) for alias in outer):
                return True
    return False


def _casts(view: NodePlace) -> Iterator[Cast]:
    for text in view.printed("Filter"):
        for part in conjuncts(parse(text)):
            for item in walk(part):
                if isinstance(item, Cast) and isinstance(item.operand, ColumnName | Operation):
                    yield item
