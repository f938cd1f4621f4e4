"""Whose clock ran while a CTE or an InitPlan worked.

EXPLAIN prints both below the node that owns them, but the time went by elsewhere: a CTE's within the CTE
Scans that asked it for rows, an InitPlan's within whichever node first needed its value. There it has to be
taken from.

Source: PostgreSQL ``executor/nodeCtescan.c`` (``CteScanNext`` pulls from the shared CTE), ``nodeSubplan.c``
(``ExecSetParamPlan`` runs an InitPlan at its first use), ``execParallel.c`` (``ExecInitParallelPlan`` runs
those that workers need in the Gather, before it launches them), ``nodeNestloop.c`` (a rescan, which
evaluates the inner side's index keys, is charged to the join) and ``execMain.c`` (``ExecPostprocessPlan``
finishes a data-modifying CTE after the main plan, outside the root's time).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from adx_lab.analysis.plans.tree import PlanTree, cte_name, init_plan_name, is_gather, number, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from adx_lab.analysis.plans.records import RawNode

_NAMES_NOT_USES = frozenset(
    {
        "Node Type",
        "Subplan Name",
        "Parent Relationship",
        "Alias",
        "Relation Name",
        "Schema",
        "Index Name",
        "CTE Name",
    }
)


def is_debt(node: RawNode) -> bool:
    """Tell whether a node's time passes elsewhere than in the node it is printed below."""
    return text(node, "Parent Relationship") == "InitPlan" or init_plan_name(node) is not None


def ctes(tree: PlanTree) -> dict[int, tuple[int, ...]]:
    """Return for each CTE (its top node) the CTE Scans that read it: a name means the nearest owner's CTE."""
    found: dict[int, list[int]] = {
        index: [] for index, node in enumerate(tree.nodes) if is_debt(node) and cte_name(node) is not None
    }
    owned = {(tree.parents[index], cte_name(tree.nodes[index])): index for index in found}
    for index, node in enumerate(tree.nodes):
        if text(node, "Node Type") == "CTE Scan":
            name = text(node, "CTE Name")
            owners = (owned[o, name] for o in (index, *tree.ancestors(index)) if (o, name) in owned)
            source = next(owners, None)
            if source is not None:
                found[source].append(index)
    return {index: tuple(scans) for index, scans in found.items()}


def init_plans(tree: PlanTree) -> tuple[int, ...]:
    """Return the top nodes of the InitPlans."""
    return tuple(index for index, node in enumerate(tree.nodes) if is_debt(node) and cte_name(node) is None)


def charged_node(
    tree: PlanTree, source: int, has_room: Callable[[int], bool], has_room_with_owner: Callable[[int], bool]
) -> int:
    """Return the node on whose clock an InitPlan ran.

    Parameters
    ----------
    source
        The InitPlan's top node.
    has_room
        Whether a node's own time and pages can hold the InitPlan's: what the text of a plan leaves open (a
        value used in several places, a use that isn't printed without VERBOSE, ``$1`` that is a parameter of
        the statement), the figures decide.
    has_room_with_owner
        The same of a node and the InitPlan's owner together: workers that an InitPlan left running are waited
        for as the plan ends, on the owner's clock.
    """
    owner = tree.parents[source]
    if owner is None:
        return source
    users = _users(tree, source, owner)
    nearby = [candidate for user in users for candidate in _nearby(tree, user, owner)]
    inside = set(tree.below(source))
    others = sorted((i for i in tree.below(owner) if i not in inside), key=lambda i: (tree.depths[i], i))
    found = next((index for index in (*nearby, *others) if has_room(index)), None)
    if found is None:
        found = next((index for index in nearby if has_room_with_owner(index)), None)
    return found if found is not None else (users or [owner])[0]


def _users(tree: PlanTree, source: int, owner: int) -> list[int]:
    """Return the executed nodes that mention an InitPlan, those that run first before the others."""
    pattern = _mention(tree.nodes[source])
    inside = set(tree.below(source))
    return [
        index
        for index in _post_order(tree, owner)
        if index not in inside
        and number(tree.nodes[index], "Actual Loops") != 0
        and any(pattern.search(value) for value in _texts(tree.nodes[index]))
    ]


def _mention(node: RawNode) -> re.Pattern[str]:
    """Return the pattern of a use: ``$0`` up to PostgreSQL 16, ``(InitPlan 1).col1`` from 17."""
    name, _, returns = text(node, "Subplan Name").partition(" (returns ")
    parameters = re.findall(r"\$\d+", returns)
    uses = [re.escape(parameter) + r"(?!\d)" for parameter in parameters]
    return re.compile("|".join([*uses, re.escape(f"({name})."), re.escape(f"({name}.")]))


def _texts(node: RawNode) -> Iterator[str]:
    for key, value in node.items():
        if key in _NAMES_NOT_USES:
            continue
        if isinstance(value, str):
            yield value
        elif isinstance(value, list) and key != "Plans":
            yield from (item for item in value if isinstance(item, str))


def _nearby(tree: PlanTree, user: int, owner: int) -> list[int]:
    """Return where a use's time can have passed: a Gather above it, the node, or a join that rescans it."""
    above: list[int] = []
    for ancestor in () if user == owner else tree.ancestors(user):
        above.append(ancestor)
        if ancestor == owner:
            break
    gathers = [index for index in above if is_gather(tree.nodes[index])]
    joins = [i for i, index in enumerate(above) if text(tree.nodes[index], "Node Type") == "Nested Loop"]
    return [*reversed(gathers), user, *(above[: joins[0] + 1] if joins else [])]


def _post_order(tree: PlanTree, top: int) -> Iterator[int]:
    """Yield the nodes below ``top``, and itself last, each after those below it."""
    open_nodes: list[int] = []
    for index in tree.below(top):
        while open_nodes and tree.depths[open_nodes[-1]] >= tree.depths[index]:
            yield open_nodes.pop()
        open_nodes.append(index)
    yield from reversed(open_nodes)


def shares(amount: float, holdings: Sequence[float]) -> list[float]:
    """Split an amount over holders in proportion to what each holds; none gives more than it has."""
    held = [max(0.0, holding) for holding in holdings]
    total = sum(held)
    if total <= 0:
        return [0.0 for _ in held]
    return [holding * min(1.0, amount / total) for holding in held]


def whole_shares(amount: int, holdings: Sequence[int]) -> list[int]:
    """Split a count likewise; the parts are whole and add up (largest remainder)."""
    exact = shares(amount, holdings)
    parts = [int(part) for part in exact]
    missing = min(amount, sum(max(0, holding) for holding in holdings)) - sum(parts)
    by_remainder = sorted(range(len(parts)), key=lambda i: parts[i] - exact[i])
    for index in by_remainder[: max(0, missing)]:
        parts[index] += 1
    return parts
