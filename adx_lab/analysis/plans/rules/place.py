"""One node as a rule sees it: its figures, its raw fields, and its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.plans.records import Finding
from adx_lab.analysis.plans.rules.conditions import Conditions, read_conditions
from adx_lab.analysis.plans.times.deferred import is_debt
from adx_lab.analysis.plans.tree import number, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adx_lab.analysis.plans.records import PlanAnalysis, PlanNode, RawNode
    from adx_lab.analysis.plans.rules.context import Context, TableFacts, Thresholds
    from adx_lab.analysis.plans.tree import Tree

_PASS_ROWS_ON = frozenset({"Gather", "Gather Merge", "Subquery Scan", "Result", "Materialize", "LockRows"})


@dataclass(frozen=True, slots=True)
class View:
    """A node in its plan."""

    analysis: PlanAnalysis
    tree: Tree
    index: int
    context: Context

    @property
    def node(self) -> PlanNode:
        """Its figures."""
        return self.analysis.nodes[self.index]

    @property
    def raw(self) -> RawNode:
        """What PostgreSQL printed."""
        return self.tree.nodes[self.index]

    @property
    def limits(self) -> Thresholds:
        """From where on to speak."""
        return self.context.thresholds

    @property
    def rows(self) -> float:
        """Rows given in total; the planned ones where the plan wasn't executed."""
        total = self.node.rows_total
        return total if total is not None else (self.node.planned_rows or 0.0)

    @property
    def table(self) -> TableFacts | None:
        """What the catalogue says of the node's table, where that is known."""
        return self.context.tables.get(self.key) or self.context.tables.get(self.node.relation or "")

    @property
    def key(self) -> str:
        """The name of the node's table in a capture: with its schema, where that is not ``public``."""
        schema = self.text("Schema")
        relation = self.node.relation or ""
        return f"{schema}.{relation}" if schema not in {"", "public"} else relation

    def figure(self, key: str) -> float:
        """Return one printed figure, 0 where it is missing."""
        return number(self.raw, key) or 0.0

    def text(self, key: str) -> str:
        """Return one printed text, empty where it is missing."""
        return text(self.raw, key)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a printed list of texts."""
        value = self.raw.get(key)
        return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()

    def conditions(self, *keys: str) -> Conditions:
        """Read some of the node's conditions."""
        return read_conditions(self.text(key) for key in keys if self.text(key))

    def at(self, index: int) -> View:
        """Return another node of the plan."""
        return View(self.analysis, self.tree, index, self.context)

    def children(self) -> Iterator[View]:
        """Yield the nodes that feed this one: no CTEs, no InitPlans, no SubPlans."""
        for child in self.tree.children[self.index]:
            node = self.tree.nodes[child]
            if not is_debt(node) and text(node, "Parent Relationship") != "SubPlan":
                yield self.at(child)

    def source(self) -> View | None:
        """Return the scan that all of this node's rows come from unchanged, or None."""
        view: View | None = self
        while view is not None and not view.node.relation:
            children = list(view.children())
            passes = view is self or view.node.type in _PASS_ROWS_ON
            view = children[0] if passes and len(children) == 1 else None
        return view

    def finding(self, kind: str, reason: str, mend: str, **evidence: Any) -> Finding:
        """Build a finding about this node."""
        return Finding(kind, self.node.path, self.node.label, reason, mend, evidence)


def amount(value: float) -> str:
    """Write a count for people: 1,913."""
    return f"{value:,.0f}"
