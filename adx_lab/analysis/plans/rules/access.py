"""Rules on how rows are reached: scans, indexes, order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adx_lab.analysis.plans.rules.conditions import Conditions, index_sql, quoted, read_sort_keys
from adx_lab.analysis.plans.rules.place import View, amount

if TYPE_CHECKING:
    from collections.abc import Callable

    from adx_lab.analysis.plans.records import Finding

_NO_INDEX = "no single index serves this condition: rewrite it so that it compares plain columns with values"
_INDEX_SCANS = frozenset({"Index Scan", "Index Only Scan", "Bitmap Heap Scan"})


def seq_scan(view: View) -> Finding | None:
    """Find a sequential scan that reads many rows and keeps few."""
    if view.node.type != "Seq Scan" or not view.text("Filter") or not view.node.relation:
        return None
    read = _rows_read(view)
    if read is None or read < view.limits.rows_read_min or view.rows > read * view.limits.kept_share_max:
        return None
    every = "" if view.node.stopped_early else "all "
    again = f" in {amount(view.node.loops or 0)} rounds" if _rounds(view) > 1 else ""
    return view.finding(
        "seq_scan",
        f"reads {every}{amount(read)} rows of {view.node.relation}{again} to keep {amount(view.rows)}",
        index_sql(view.node.relation, view.conditions("Filter")) or _NO_INDEX,
        rows_read=read,
        rows_kept=view.rows,
        pages=view.node.self_pages,
    )


def rows_removed(view: View) -> Finding | None:
    """Find an index that leads to many rows, most of which a filter then throws away."""
    removed = view.figure("Rows Removed by Filter") * (view.node.loops or 0.0)
    if view.node.type not in _INDEX_SCANS or not _many_removed(view, removed):
        return None
    if "SubPlan" in view.text("Filter"):
        return None  # what costs is the subquery, and another rule tells of it
    found = view.conditions("Index Cond", "Recheck Cond", "Filter", *_bitmap_conditions(view))
    added = view.conditions("Filter")
    keys = Conditions(found.equal, found.ranges, added.partial, found.patterns)
    mend = index_sql(view.node.relation or "", keys) if added.columns or added.partial else None
    return view.finding(
        "rows_removed",
        f"the index leads to {amount(removed + view.rows)} rows and the filter keeps {amount(view.rows)}",
        mend or _NO_INDEX,
        rows_removed=removed,
        rows_kept=view.rows,
    )


def join_filter(view: View) -> Finding | None:
    """Find a join that compares every row with every row."""
    removed = view.figure("Rows Removed by Join Filter") * (view.node.loops or 0.0)
    if not view.text("Join Filter") or not _many_removed(view, removed):
        return None
    return view.finding(
        "join_filter",
        f"compares {amount(removed + view.rows)} pairs of rows to keep {amount(view.rows)}",
        "join by equality of plain columns of one type, so that a hash or an index can find the partner",
        rows_removed=removed,
        rows_kept=view.rows,
    )


def heap_fetches(view: View) -> Finding | None:
    """Find an index-only scan that has to look into the table all the same."""
    fetches = view.figure("Heap Fetches")  # a total already
    if fetches < view.limits.heap_fetches_min or fetches < view.rows * view.limits.heap_fetches_share_min:
        return None
    relation = view.node.relation or ""
    return view.finding(
        "heap_fetches",
        f"looks into the table {amount(fetches)} times for {amount(view.rows)} rows: visibility map is old",
        f"VACUUM {quoted(relation)};",
        heap_fetches=fetches,
        rows=view.rows,
    )


def lossy_bitmap(view: View) -> Finding | None:
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


def sort_index(view: View) -> Finding | None:
    """Find a sort of many rows, few of them wanted, in an order that an index could give."""
    if view.node.type not in {"Sort", "Incremental Sort"}:
        return None
    children = list(view.children())
    source = view.source()
    if not children or source is None or source.node.type not in {*_INDEX_SCANS, "Seq Scan"}:
        return None
    fed, kept = children[0].rows, view.rows
    few = _below_limit(view) and fed >= view.limits.rows_read_min and kept <= fed * view.limits.kept_share_max
    order = read_sort_keys(view.texts("Sort Key"))
    if order is None or not (few or (fed >= view.limits.sorted_rows_min and source.node.type == "Seq Scan")):
        return None
    keys = source.conditions("Index Cond", "Recheck Cond", "Filter", *_bitmap_conditions(source))
    mend = index_sql(source.node.relation or "", keys, order)
    return view.finding(
        "sort_index",
        f"sorts {amount(fed)} rows"
        + (f" to give {amount(kept)}" if few else "")
        + ", in an order an index has",
        mend or _NO_INDEX,
        rows_sorted=fed,
        rows_kept=kept,
    )


def offset(view: View) -> Finding | None:
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


ACCESS_RULES: tuple[Callable[[View], Finding | None], ...] = (
    seq_scan,
    rows_removed,
    join_filter,
    heap_fetches,
    lossy_bitmap,
    sort_index,
    offset,
)


def _rows_read(view: View) -> float | None:
    """Return how many rows a scan looked at, or would: by the catalogue, where it was not executed."""
    if view.node.loops is not None:
        return view.rows + (view.node.rows_removed or 0.0)
    return view.table.rows if view.table is not None else None


def _rounds(view: View) -> float:
    """Return how often a scan began anew; workers that share one scan count as one."""
    return 1.0 if view.raw.get("Parallel Aware") is True else view.node.loops or 0.0


def _many_removed(view: View, removed: float) -> bool:
    return (
        removed >= view.limits.rows_read_min
        and removed >= max(view.rows, 1.0) * view.limits.removed_per_kept_min
    )


def _bitmap_conditions(view: View) -> tuple[str, ...]:
    return ("Recheck Cond",) if view.node.type == "Bitmap Heap Scan" else ()


def _below_limit(view: View) -> bool:
    for above in view.tree.ancestors(view.index):
        kind = view.analysis.nodes[above].type
        if kind == "Limit":
            return True
        if kind not in {"Gather Merge", "Subquery Scan", "Result", "LockRows", "Unique"}:
            return False
    return False
