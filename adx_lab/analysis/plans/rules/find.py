"""What about a plan will cost time, why, and what mends it.

Each rule looks at one node. All are silent where the cost is small against 10 ms: tiny tables, scans that
were left early, plans that were never executed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adx_lab.analysis.plans.rules.access import ACCESS_RULES
from adx_lab.analysis.plans.rules.around import AROUND_PLAN_RULES, AROUND_RULES
from adx_lab.analysis.plans.rules.keys import KEY_RULES
from adx_lab.analysis.plans.rules.place import NodePlace
from adx_lab.analysis.plans.rules.work import PLAN_RULES, WORK_RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adx_lab.analysis.plans.records import PlanAnalysis, PlanFinding
    from adx_lab.analysis.plans.rules.context import Context
    from adx_lab.analysis.plans.tree import PlanTree


_NODE_RULES = (*ACCESS_RULES, *WORK_RULES, *AROUND_RULES)


def find(analysis: PlanAnalysis, tree: PlanTree, context: Context) -> tuple[PlanFinding, ...]:
    """Return a plan's findings in the order of its nodes, those of the whole plan last."""
    found: list[PlanFinding] = []
    for index, node in enumerate(analysis.nodes):
        if node.never_executed:
            continue
        view = NodePlace(analysis, tree, index, context)
        found += [finding for rule in _NODE_RULES if (finding := rule(view))]
    for plan_rule in (*PLAN_RULES, *KEY_RULES, *AROUND_PLAN_RULES):
        found += plan_rule(analysis, context)
    return tuple(item for item in found if not _is_said_better(item, found))


def _is_said_better(finding: PlanFinding, found: Sequence[PlanFinding]) -> bool:
    """Tell whether another finding proposes an index that begins with this one's and serves more."""
    own = finding.evidence.get("indexes", ())
    if len(own) != 1:
        return False
    begins = str(own[0]).partition(" INCLUDE ")[0].removesuffix(")") + ", "
    return any(
        str(statement).startswith(begins)
        for other in found
        if other is not finding and other.kind == "sort_index"
        for statement in other.evidence.get("indexes", ())
    )
