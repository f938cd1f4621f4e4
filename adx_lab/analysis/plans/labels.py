"""What a node is called in words, as `EXPLAIN`'s own text would say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adx_lab.analysis.plans.tree import text

if TYPE_CHECKING:
    from adx_lab.analysis.plans.records import RawNode

KNOWN_TYPES = frozenset(
    {
        "Aggregate",
        "Append",
        "Bitmap Heap Scan",
        "Bitmap Index Scan",
        "BitmapAnd",
        "BitmapOr",
        "CTE Scan",
        "Custom Scan",
        "Foreign Scan",
        "Function Scan",
        "Gather",
        "Gather Merge",
        "Group",
        "Hash",
        "Hash Join",
        "Incremental Sort",
        "Index Only Scan",
        "Index Scan",
        "Limit",
        "LockRows",
        "Materialize",
        "Memoize",
        "Merge Append",
        "Merge Join",
        "ModifyTable",
        "Named Tuplestore Scan",
        "Nested Loop",
        "ProjectSet",
        "Recursive Union",
        "Result",
        "Sample Scan",
        "Seq Scan",
        "SetOp",
        "Sort",
        "Subquery Scan",
        "Table Function Scan",
        "Tid Range Scan",
        "Tid Scan",
        "Unique",
        "Values Scan",
        "WindowAgg",
        "WorkTable Scan",
    }
)
_STRATEGIES = {"Hashed": "HashAggregate", "Sorted": "GroupAggregate", "Mixed": "MixedAggregate"}
_HASHED = {"Hashed": "HashSetOp"}


def is_known(node: RawNode) -> bool:
    """Tell whether PostgreSQL 12 to 18 has a node of this type."""
    return text(node, "Node Type") in KNOWN_TYPES


def relation_of(node: RawNode) -> str | None:
    """Return what a node reads or writes: a table, or a function, or a CTE by its name."""
    for key in ("Relation Name", "Function Name", "Table Function Name", "CTE Name", "Tuplestore Name"):
        if text(node, key):
            return text(node, key)
    return None


def label(node: RawNode) -> str:
    """Return a node's headline: ``Index Scan Backward using users_pkey on users u``."""
    words = [_kind(node)]
    if not is_known(node):
        words.append("(unknown node type)")
    if text(node, "Scan Direction") == "Backward":
        words.append("Backward")
    if text(node, "Index Name"):
        bitmap = text(node, "Node Type") == "Bitmap Index Scan"
        words += ["on" if bitmap else "using", text(node, "Index Name")]
    relation = relation_of(node)
    if relation:
        words += ["on", relation]
    alias = text(node, "Alias")
    if alias and alias != relation:
        words += [alias] if relation else ["on", alias]
    return " ".join(words)


def _kind(node: RawNode) -> str:
    kind, join = text(node, "Node Type") or "(no type)", text(node, "Join Type")
    strategy = text(node, "Strategy")
    if kind == "Aggregate":
        partial = text(node, "Partial Mode")
        kind = _STRATEGIES.get(strategy, kind)
        kind = f"{partial} {kind}" if partial not in {"", "Simple"} else kind
    elif kind == "SetOp":
        kind = f"{_HASHED.get(strategy, kind)} {text(node, 'Command')}".rstrip()
    elif kind == "ModifyTable":
        kind = text(node, "Operation") or kind
    elif text(node, "Custom Plan Provider"):
        kind = f"{kind} ({text(node, 'Custom Plan Provider')})"
    elif join and join != "Inner":
        kind = f"{kind.removesuffix(' Join')} {join} Join"
    return f"Parallel {kind}" if node.get("Parallel Aware") is True else kind
