"""The shape of a plan: what the planner decided, and nothing that differs between two executions of it.

Counted in: node types, parallel awareness, strategies, join types, scan directions, operations, relations,
indexes, functions, and which kinds of condition each node has. Left out: costs, constants, aliases, names of
CTEs and subplans, schemas and output lists (printed with VERBOSE only), numbers of workers, and everything
measured.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from adx_lab.analysis.plans.tree import flatten, text

if TYPE_CHECKING:
    from adx_lab.analysis.plans.records import RawNode
    from adx_lab.analysis.plans.tree import PlanTree

_DECISIONS = (
    "Node Type",
    "Strategy",
    "Partial Mode",
    "Join Type",
    "Scan Direction",
    "Command",
    "Operation",
    "Conflict Resolution",
    "Relation Name",
    "Index Name",
    "Function Name",
    "Custom Plan Provider",
)
_CONDITIONS = (
    "Index Cond",
    "Recheck Cond",
    "Filter",
    "Hash Cond",
    "Merge Cond",
    "Join Filter",
    "One-Time Filter",
    "TID Cond",
    "Order By",
    "Run Condition",
    "Conflict Filter",
)


def shape_of(root: RawNode) -> str:
    """Return a plan's fingerprint: twelve hexadecimal digits, equal for equal shapes."""
    return shape_of_tree(flatten(root))


def shape_of_tree(tree: PlanTree) -> str:
    """Return the fingerprint of a plan that is laid flat already."""
    lines = (f"{tree.depths[index]} {_decision(node)}" for index, node in enumerate(tree.nodes))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _decision(node: RawNode) -> str:
    parts = [f"{key}={value}" for key in _DECISIONS if (value := text(node, key))]
    if node.get("Parallel Aware") is True:
        parts.append("parallel")
    parts += [key for key in _CONDITIONS if key in node]
    role = text(node, "Subplan Name").partition(" ")[0] or text(node, "Parent Relationship")
    return " | ".join([role, *parts])
