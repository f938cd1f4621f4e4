"""How far the planner's row estimates were off, and where that means something.

A node that nobody read to its end gives fewer rows than planned and is no error: below a LIMIT that was
reached, on the inner side of a semi or anti join or of one that needs a single match, on either side of a
merge join, below an EXISTS, or on the outer side of a hash join whose table turned out empty. Blocking nodes
(a sort, a hash table) do read their input to the end, whatever stops above them.
"""

from __future__ import annotations

from adx_lab.analysis.plans.times.deferred import is_debt
from adx_lab.analysis.plans.tree import PlanTree, is_apart, number, text

_BLOCKING = frozenset(
    {"Sort", "Incremental Sort", "Hash", "BitmapAnd", "BitmapOr", "Bitmap Index Scan", "ModifyTable"}
)
_UNCOUNTED = frozenset({"BitmapAnd", "BitmapOr", "ModifyTable"})
_FIRST_MATCH = frozenset({"Semi", "Anti"})


def early_stops(tree: PlanTree) -> tuple[bool, ...]:
    """Tell for each node whether it may have been left before its end."""
    stops = [False] * len(tree)
    for index in range(1, len(tree)):  # parents come before their children
        parent = tree.parents[index]
        assert parent is not None
        if is_apart(tree.nodes[index]):
            continue  # another server gives all that it has
        stops[index] = _starts_here(tree, parent, index) or (
            stops[parent] and _passes_on(tree, parent, index)
        )
    return tuple(stops)


def estimate_factor(tree: PlanTree, index: int, *, stopped_early: bool) -> float | None:
    """Return rows over planned rows, or None where the two can't be held against each other.

    Both are a loop's, and at least 1: the planner never expects less.
    """
    node = tree.nodes[index]
    rows, planned, loops = (number(node, key) for key in ("Actual Rows", "Plan Rows", "Actual Loops"))
    if rows is None or planned is None or not loops or text(node, "Node Type") in _UNCOUNTED:
        return None
    factor = max(rows, 1.0) / max(planned, 1.0)
    if factor < 1 and (stopped_early or (number(node, "Subplans Removed") or 0) > 0):
        return None
    return None if factor > 1 and _reads_again(tree, index) else factor


def _starts_here(tree: PlanTree, parent: int, index: int) -> bool:
    above, node = tree.nodes[parent], tree.nodes[index]
    kind = text(above, "Node Type")
    if text(node, "Parent Relationship") in {"SubPlan", "InitPlan"} or is_debt(node):
        # EXISTS, ANY and a single value stop at the first row; a CTE is read only as far as it is needed.
        return True
    if kind == "Limit":
        got, planned = number(above, "Actual Rows"), number(above, "Plan Rows")
        return got is not None and planned is not None and got >= planned
    inner = text(node, "Parent Relationship") == "Inner"
    if kind == "Nested Loop":
        return inner and (text(above, "Join Type") in _FIRST_MATCH or above.get("Inner Unique") is True)
    if kind == "Hash Join" and not inner:
        return any(_is_empty_hash(tree, sibling) for sibling in tree.children[parent])
    return kind == "Merge Join" or (kind == "WindowAgg" and "Run Condition" in above)


def _is_empty_hash(tree: PlanTree, index: int) -> bool:
    node = tree.nodes[index]
    return text(node, "Node Type") == "Hash" and number(node, "Actual Rows") == 0


def _passes_on(tree: PlanTree, parent: int, index: int) -> bool:
    """Tell whether a node that is left early leaves this child early too."""
    above, node = tree.nodes[parent], tree.nodes[index]
    kind = text(above, "Node Type")
    if kind in _BLOCKING or text(node, "Node Type") in {"Hash", "Bitmap Index Scan", "BitmapAnd", "BitmapOr"}:
        return kind == "Incremental Sort"
    return not (kind == "Aggregate" and text(above, "Strategy") in {"Plain", "Hashed", "Mixed"})


def _reads_again(tree: PlanTree, index: int) -> bool:
    """Tell whether a merge join goes back over a node's rows, which counts them again."""
    parent = tree.parents[index]
    if parent is None or text(tree.nodes[parent], "Node Type") != "Merge Join":
        return False
    return text(tree.nodes[index], "Parent Relationship") == "Inner"
