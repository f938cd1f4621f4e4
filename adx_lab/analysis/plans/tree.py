"""A plan laid flat: nodes in the order of EXPLAIN, each with the index of its parent.

Everything that follows walks over this list and never recurses, so that a plan may be as deep as it likes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adx_lab.analysis.plans.records import RawNode, children_of

_FIGURE_MAX = 1e15
_DISTRIBUTED = "Distributed Query"
TASK, SUBPLAN = "Task", "Distributed Subplan"
"""What Citus calls what it has other servers do, and what it does before."""
LOOPS_UNKNOWN = "Loops Unknown"


@dataclass(frozen=True, slots=True)
class PlanTree:
    """The raw nodes, their parents, their children and their addresses (``0``, ``0.0``, ``0.1``, …)."""

    nodes: tuple[RawNode, ...]
    parents: tuple[int | None, ...]
    children: tuple[tuple[int, ...], ...]
    paths: tuple[str, ...]
    depths: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.nodes)

    def bottom_up(self) -> Iterator[int]:
        """Yield every node after all nodes below it."""
        return iter(range(len(self.nodes) - 1, -1, -1))  # the order of EXPLAIN has parents before children

    def ancestors(self, index: int) -> Iterator[int]:
        """Yield a node's parent, its parent, and so on to the root."""
        parent = self.parents[index]
        while parent is not None:
            yield parent
            parent = self.parents[parent]

    def below(self, index: int) -> range:
        """Return the node and everything below it: they stand next to one another."""
        end = index + 1
        while end < len(self.nodes) and self.depths[end] > self.depths[index]:
            end += 1
        return range(index, end)


def flatten(root: RawNode) -> PlanTree:
    """Lay a plan flat.

    What other servers ran for a node stands below it, as does what was masked but can't have been nothing.
    """
    nodes: list[RawNode] = []
    parents: list[int | None] = []
    paths: list[str] = []
    depths: list[int] = []
    waiting: list[tuple[RawNode, int | None, str]] = [(root, None, "0")]
    while waiting:
        node, parent, path = waiting.pop()
        node = _with_loops(_with_tasks(node) if _DISTRIBUTED in node else node)
        index = len(nodes)
        nodes.append(node)
        parents.append(parent)
        paths.append(path)
        depths.append(0 if parent is None else depths[parent] + 1)
        below = node.get("Plans")
        if isinstance(below, list):
            plans = [item for item in below if isinstance(item, Mapping)]
            waiting += [(item, index, f"{path}.{i}") for i, item in reversed(list(enumerate(plans)))]
    return PlanTree(tuple(nodes), tuple(parents), children_of(parents), tuple(paths), tuple(depths))


def _with_loops(node: RawNode) -> RawNode:
    """Return a node whose loops were masked as one that ran once: it did run, and no less often."""
    loops = node.get("Actual Loops")
    executed = "Actual Loops" in node or "Actual Rows" in node or "Actual Total Time" in node
    if not executed or not (loops is None or isinstance(loops, str)):
        return node
    return {**node, "Actual Loops": 1, LOOPS_UNKNOWN: True}


def _with_tasks(node: RawNode) -> RawNode:
    """Return a distributed query's node as EXPLAIN's text has it: above its subplans and its tasks."""
    query = node[_DISTRIBUTED]
    job = query.get("Job") if isinstance(query, Mapping) else None
    if not isinstance(job, Mapping):
        return node
    below = [*_listed(node.get("Plans"))]
    for place, subplan in enumerate(_listed(query.get("Subplans")), start=1):
        said: dict[str, Any] = {"Parent Relationship": SUBPLAN, "Subplan Name": f"{SUBPLAN} {place}"}
        below += [{**top, **said} for top in _tops(subplan, "PlannedStmt")]
    for task in _listed(job.get("Tasks")):
        told = {"Parent Relationship": TASK, "Task Node": task.get("Node"), "Remote SQL": task.get("Query")}
        said = {key: value for key, value in told.items() if value}
        below += [{**top, **said} for top in _tops(task, "Remote Plan")]
    figures = {key: value for key, value in job.items() if isinstance(value, str | int | float)}
    return {**{key: value for key, value in node.items() if key != _DISTRIBUTED}, **figures, "Plans": below}


def _listed(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _tops(holder: Mapping[str, Any], key: str) -> list[RawNode]:
    """Return the plans that are wrapped in a value, however the format wraps them."""
    found: list[RawNode] = []
    waiting: list[Any] = [holder.get(key)]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping) and isinstance(item.get("Plan"), Mapping):
            found.append(item["Plan"])
        elif isinstance(item, Mapping):
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return found


def is_apart(node: RawNode) -> bool:
    """Tell whether a node is the top of what another server or another execution did, on its own clock."""
    return text(node, "Parent Relationship") in {TASK, SUBPLAN}


def number(node: Mapping[str, Any], key: str) -> float | None:
    """Return a figure of a node, or None where it is missing, not a number, or beyond all measure."""
    value = node.get(key)
    if type(value) is float or type(value) is int:  # a bool is neither
        return float(value) if abs(value) <= _FIGURE_MAX else None  # that is false for NaN, too
    return None


def count(node: Mapping[str, Any], key: str) -> int | None:
    """Return a figure that is a whole number."""
    figure = number(node, key)
    return None if figure is None else int(figure)


def text(node: Mapping[str, Any], key: str) -> str:
    """Return a text of a node, empty where there is none."""
    value = node.get(key)
    return value if isinstance(value, str) else ""


def is_gather(node: RawNode) -> bool:
    """Tell whether workers run what is below a node."""
    return text(node, "Node Type") in {"Gather", "Gather Merge"}


def workers(node: RawNode) -> list[Mapping[str, Any]]:
    """Return what each worker did in a node (with VERBOSE), where it was timed."""
    value = node.get("Workers")
    found = value if isinstance(value, list) else []
    return [item for item in found if isinstance(item, Mapping) and number(item, "Actual Loops") is not None]


def init_plan_name(node: RawNode) -> str | None:
    """Return the name of an InitPlan (``InitPlan 1``), or None where the node isn't one's top."""
    name = text(node, "Subplan Name")
    return name.partition(" (returns")[0] if name.startswith("InitPlan ") else None


def cte_name(node: RawNode) -> str | None:
    """Return the name of the CTE whose top the node is, or None."""
    name = text(node, "Subplan Name")
    return name.removeprefix("CTE ") if name.startswith("CTE ") else None


def is_sub_plan(node: RawNode) -> bool:
    """Tell whether the node is the top of a SubPlan: one that runs within its parent's expressions."""
    return text(node, "Parent Relationship") == "SubPlan" or text(node, "Subplan Name").startswith("SubPlan ")
