"""Rules on how rows are reached: scans, indexes, order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adx_lab.analysis.plans.rules.place import NodePlace, amount
from adx_lab.analysis.plans.sql.expression import Call, ColumnName, columns_of, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adx_lab.analysis.plans.advice.indexes import Advice
    from adx_lab.analysis.plans.records import PlanFinding

_NO_INDEX = (
    "compare plain columns with values, or index what is compared as it is written, where it depends on "
    "nothing but its row"
)
_INDEX_SCANS = frozenset({"Index Scan", "Index Only Scan", "Bitmap Heap Scan"})


def seq_scan(view: NodePlace) -> PlanFinding | None:
    """Find a sequential scan that reads many rows and keeps few; one for all partitions of a table."""
    parts = view.partitions()
    if view.node.type != "Seq Scan" or not view.text("Filter") or not view.node.relation:
        return None
    if parts[0].index != view.index:
        return None
    reads = [_rows_read(part) for part in parts]
    read, kept = sum(value or 0.0 for value in reads), sum(part.rows for part in parts)
    if read < view.limits.rows_read_min or kept > read * view.limits.kept_share_max:
        return None
    advice = view.advise(view.printed("Filter"))
    if advice is not None and advice.indexes and view.is_minor:
        return None
    wanted = parts[0].output_columns() if kept >= view.limits.rows_read_min else ()
    scattered = advice is not None and advice.indexes and _is_scattered(parts, read, kept, advice)
    if advice is not None and advice.indexes and wanted:
        advice = view.advise(view.printed("Filter"), wanted=wanted)
    elif scattered:
        return None
    every = "" if view.node.stopped_early else "all "
    again = f" in {amount(view.node.loops or 0)} rounds" if _rounds(view) > 1 else ""
    whole = f"{view.target()} in {len(parts)} partitions" if len(parts) > 1 else view.node.relation
    return view.finding(
        "seq_scan",
        f"reads {every}{amount(read)} rows of {whole}{again} to keep {amount(kept)}",
        _mend(view, advice),
        rows_read=read,
        rows_kept=kept,
        pages=view.node.self_pages,
        indexes=() if advice is None else advice.indexes,
    )


def rows_removed(view: NodePlace) -> PlanFinding | None:
    """Find an index that leads to many rows, most of which a filter then throws away."""
    removed = view.figure("Rows Removed by Filter") * (view.node.loops or 0.0)
    if view.node.type not in _INDEX_SCANS or not _many_removed(view, removed):
        return None
    if "SubPlan" in view.text("Filter"):
        return None  # what costs is the subquery, and another rule tells of it
    together = view.printed("Index Cond", "Recheck Cond", "Filter")
    order = view.order() if _below_limit(view) else ()
    advice = view.advise(together, order) if view.advise(view.printed("Filter")) else None
    if advice is not None and advice.indexes and view.is_minor:
        return None
    return view.finding(
        "rows_removed",
        f"the index leads to {amount(removed + view.rows)} rows and the filter keeps {amount(view.rows)}",
        _mend(view, advice),
        rows_removed=removed,
        rows_kept=view.rows,
        indexes=() if advice is None else advice.indexes,
    )


def covering(view: NodePlace) -> PlanFinding | None:
    """Find an index that leads to a page of the table for nearly each row, only for a few columns."""
    pages, fetched = view.node.self_pages or 0, view.rows
    if view.node.type not in {"Index Scan", "Bitmap Heap Scan"} or fetched < view.limits.rows_read_min:
        return None
    if fetched < (view.node.loops or 1.0) * view.limits.covered_rows_min:
        return None  # the way down the index is as long as what it would save
    wanted = view.output_columns()
    if not wanted or pages < fetched * view.limits.pages_kept_share_max or _locks_rows(view):
        return None
    advice = view.advise(view.printed("Index Cond", "Recheck Cond", "Filter"), wanted=wanted)
    if advice is None or not advice.indexes or "INCLUDE" not in advice.words:
        return None
    return view.finding(
        "covering",
        f"touches {amount(pages)} pages for {amount(fetched)} rows, of which only "
        f"{', '.join(column.name for column in wanted)} are asked for: an index could hold that",
        f"{advice.words} VACUUM {view.target()};",
        pages=pages,
        rows=fetched,
        indexes=advice.indexes,
    )


def join_filter(view: NodePlace) -> PlanFinding | None:
    """Find a join that compares every row with every row."""
    removed = view.figure("Rows Removed by Join Filter") * (view.node.loops or 0.0)
    if not view.text("Join Filter") or not _many_removed(view, removed):
        return None
    advice = _partner_index(view)
    return view.finding(
        "join_filter",
        f"compares {amount(removed + view.rows)} pairs of rows to keep {amount(view.rows)}",
        advice.words
        if advice is not None
        else "join by equality of plain columns of one type, so that a hash or an index can find the partner",
        rows_removed=removed,
        rows_kept=view.rows,
        indexes=() if advice is None else advice.indexes,
    )


def heap_fetches(view: NodePlace) -> PlanFinding | None:
    """Find an index-only scan that has to look into the table all the same."""
    fetches = view.figure("Heap Fetches")  # a total already
    if fetches < view.limits.heap_fetches_min or fetches < view.rows * view.limits.heap_fetches_share_min:
        return None
    return view.finding(
        "heap_fetches",
        f"looks into the table {amount(fetches)} times for {amount(view.rows)} rows: visibility map is old",
        f"VACUUM {view.target()};",
        heap_fetches=fetches,
        rows=view.rows,
    )


def lossy_bitmap(view: NodePlace) -> PlanFinding | None:
    """Find a bitmap that no longer fits into memory and remembers whole pages only."""
    lossy = view.figure("Lossy Heap Blocks")
    if lossy < view.limits.lossy_blocks_min:
        return None
    checked = view.figure("Rows Removed by Index Recheck") * (view.node.loops or 1.0)
    # A page takes about 80 bytes of a bitmap's memory (nodes/tidbitmap.c), whatever the rows in it.
    pages = lossy + view.figure("Exact Heap Blocks")
    need_mb = max(1, round(pages * 80 * 2 / 2**20 + 0.5))
    return view.finding(
        "lossy_bitmap",
        f"{amount(lossy)} of {amount(pages)} pages were remembered as a whole for want of work_mem, and "
        f"{amount(checked)} rows looked at in vain",
        f"SET work_mem = '{max(need_mb, 4)}MB';",
        lossy_blocks=lossy,
        rows_removed=checked,
    )


def sort_index(view: NodePlace) -> PlanFinding | None:
    """Find a sort of many rows, few of them wanted, in an order that an index could give."""
    if view.node.type not in {"Sort", "Incremental Sort"}:
        return None
    children = list(view.children())
    source = view.source()
    if not children or source is None or source.node.type not in {*_INDEX_SCANS, "Seq Scan"}:
        return None
    fed, kept = children[0].rows, view.rows
    few = _below_limit(view) and fed >= view.limits.rows_read_min and kept <= fed * view.limits.kept_share_max
    order = view.texts("Sort Key")
    if not few or not order:
        return None
    advice = source.advise(source.printed("Index Cond", "Recheck Cond", "Filter"), order)
    if advice is None or not advice.indexes or not _gives_order(advice, order, source):
        return None
    return view.finding(
        "sort_index",
        f"sorts {amount(fed)} rows to give {amount(kept)}, in an order that an index can have",
        advice.words,
        rows_sorted=fed,
        rows_kept=kept,
        indexes=advice.indexes,
    )


def extreme(view: NodePlace) -> PlanFinding | None:
    """Find the least or the greatest of a column looked for in every row, which an index has at its end."""
    if view.node.type != "Aggregate":
        return None
    asked = [parse(text) for text in view.texts("Output")]
    source = view.source()
    if not asked or source is None or source.node.type != "Seq Scan":
        return None
    columns = {
        item.arguments[0]
        for item in asked
        if isinstance(item, Call) and item.function in {"min", "max"} and len(item.arguments) == 1
    }
    if len(columns) != 1 or len(asked) != sum(isinstance(item, Call) for item in asked):
        return None
    (column,) = columns
    read = _rows_read(source) or 0.0
    if not isinstance(column, ColumnName) or source.text("Filter") or read < view.limits.rows_read_min:
        return None
    advice = source.advise((), (column.sql,))
    if advice is None or not advice.indexes or view.is_minor:
        return None
    return view.finding(
        "extreme",
        f"reads {amount(read)} rows for the {column.name} at one end",
        advice.words,
        rows_read=read,
        indexes=advice.indexes,
    )


def offset(view: NodePlace) -> PlanFinding | None:
    """Find a LIMIT with an OFFSET that reads its way to the page it wants."""
    children = list(view.children())
    if view.node.type != "Limit" or not children or view.node.rows is None:
        return None
    thrown = children[0].rows - view.rows
    if thrown < view.limits.thrown_away_min:
        return None
    return view.finding(
        "offset",
        f"reads {amount(children[0].rows)} rows and throws {amount(thrown)} away, more with each page",
        "go on from the last row seen instead: WHERE (sort key, id) < ($1, $2) ORDER BY sort key, id LIMIT n",
        rows_read=children[0].rows,
        rows_thrown_away=thrown,
    )


ACCESS_RULES: tuple[Callable[[NodePlace], PlanFinding | None], ...] = (
    seq_scan,
    rows_removed,
    covering,
    join_filter,
    heap_fetches,
    lossy_bitmap,
    sort_index,
    extreme,
    offset,
)


def _rows_read(view: NodePlace) -> float | None:
    """Return how many rows a scan looked at, or would: by the catalogue, where it was not executed."""
    if view.node.loops is not None:
        return view.rows + (view.node.rows_removed or 0.0)
    return view.table.rows if view.table is not None else None


def _rounds(view: NodePlace) -> float:
    """Return how often a scan began anew; workers that share one scan count as one."""
    return 1.0 if view.raw.get("Parallel Aware") is True else view.node.loops or 0.0


def _many_removed(view: NodePlace, removed: float) -> bool:
    return (
        removed >= view.limits.rows_read_min
        and removed >= max(view.rows, 1.0) * view.limits.removed_per_kept_min
    )


def _mend(view: NodePlace, advice: Advice | None) -> str:
    if advice is not None:
        return advice.words
    if view.text("Schema") == "pg_catalog" or (view.node.relation or "").startswith("pg_"):
        return "ask for the object by its oid, as an index of the catalogue has it"
    return _NO_INDEX


def _is_scattered(parts: Sequence[NodePlace], read: float, kept: float, advice: Advice) -> bool:
    """Tell whether an index would lead to so many places that reading everything is as good."""
    limits = parts[0].limits
    if advice.by_range or kept <= read * limits.scattered_share_max or parts[0].raw.get("Plan Width") == 0:
        return False
    if _only_needs(parts[0], advice):
        return False
    pages = sum(part.node.self_pages or 0 for part in parts)
    return pages > 0 and kept > pages * limits.pages_kept_share_max


def _only_needs(view: NodePlace, advice: Advice) -> bool:
    """Tell whether the index alone could answer: nothing else of the table is asked for."""
    output = view.texts("Output")
    wanted = {column.name for text in output for column in columns_of(parse(text))}
    return bool(output) and wanted <= set(advice.columns)


def _locks_rows(view: NodePlace) -> bool:
    above = (view.analysis.nodes[index].type for index in view.tree.ancestors(view.index))
    return any(kind in {"ModifyTable", "LockRows"} for kind in above)


def _partner_index(view: NodePlace) -> Advice | None:
    """Return the index that would find a row's partners; None where the inner side is no plain scan."""
    inner = next((child for child in view.children() if child.text("Parent Relationship") == "Inner"), None)
    source = None if inner is None else inner.source() or inner
    if source is None or source.node.type != "Seq Scan":
        return None
    if (source.node.rows or 0.0) + source.figure("Rows Removed by Filter") < view.limits.rows_read_min:
        return None  # so few that reading them all is as quick
    advice = source.advise((view.text("Join Filter"), *source.printed("Filter")))
    return advice if advice is not None and advice.indexes else None


def _gives_order(advice: Advice, order: Sequence[str], source: NodePlace) -> bool:
    """Tell whether the proposed index has the sort keys in it: not all kinds of index have an order."""
    (statement, *_) = advice.indexes
    named = [columns_of(parse(key.partition(" ")[0])) for key in order]
    known = all(columns and source.described.owns(columns[0]) for columns in named)
    return known and "USING" not in statement and all(columns[0].sql in statement for columns in named)


def _below_limit(view: NodePlace) -> bool:
    for above in view.tree.ancestors(view.index):
        kind = view.analysis.nodes[above].type
        if kind == "Limit":
            return True
        if kind not in {"Gather Merge", "Subquery Scan", "Result", "LockRows", "Unique"}:
            return False
    return False
