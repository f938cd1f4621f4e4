"""One node as a rule sees it: its figures, its raw fields, and its neighbours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.plans.advice.indexes import Advice, advise, order_of, table_of, target_of
from adx_lab.analysis.plans.records import PlanFinding
from adx_lab.analysis.plans.sql.expression import ColumnName, columns_of, parse
from adx_lab.analysis.plans.times.deferred import is_debt
from adx_lab.analysis.plans.tree import is_apart, number, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from adx_lab.analysis.plans.advice.served import ScannedTable
    from adx_lab.analysis.plans.records import PlanAnalysis, PlanNode, RawNode
    from adx_lab.analysis.plans.rules.context import Context, TableFacts, Thresholds
    from adx_lab.analysis.plans.tree import PlanTree

_COVERED_MAX = 4
_SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
_PASS_ROWS_ON = frozenset({"Gather", "Gather Merge", "Subquery Scan", "Result", "Materialize", "LockRows"})


@dataclass(frozen=True, slots=True)
class NodePlace:
    """A node in its plan."""

    analysis: PlanAnalysis
    tree: PlanTree
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
        return table_key(self.node)

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

    def printed(self, *keys: str) -> tuple[str, ...]:
        """Return some of the node's conditions, those that there are."""
        return tuple(self.text(key) for key in keys if self.text(key))

    @property
    def described(self) -> ScannedTable:
        """The node's table as its conditions call it, with the types of its columns where they are known."""
        return table_of(self.raw, self.context.columns.get(self.key, {}))

    def target(self) -> str:
        """Return the name of the node's table for SQL; of a partition it is the whole table's."""
        return self._whole_table() or target_of(self.raw)

    def _whole_table(self) -> str | None:
        table = self.table
        if table is not None and table.partition_of:
            return table.partition_of
        siblings = self.partitions()
        alias = re.sub(r"_\d+$", "", self.text("Alias"))
        names = {other.node.relation or "" for other in siblings}
        belongs = len(names) > 1 and all(name.startswith(alias) and name != alias for name in names)
        return target_of(self.raw, alias) if alias and belongs else None

    def partitions(self) -> tuple[NodePlace, ...]:
        """Return the scans of one partitioned table that this one is of, in order; itself where it isn't."""
        parent = self.node.parent
        if parent is None or self.analysis.nodes[parent].type not in {"Append", "Merge Append"}:
            return (self,)
        same = (self.at(child) for child in self.tree.children[parent])
        return tuple(other for other in same if other.node.type == self.node.type and other.node.relation)

    def advise(
        self, conditions: Iterable[str], order: Sequence[str] = (), wanted: Sequence[ColumnName] = ()
    ) -> Advice | None:
        """Return what would serve this scan; nothing for the system's own tables."""
        relation = self.node.relation or ""
        if self.text("Schema") in {"pg_catalog", "information_schema"} or relation.startswith("pg_"):
            return None
        existing = self.context.indexes.get(self.key, ())
        return advise(
            self.target(),
            self.described,
            conditions,
            order=order,
            existing=existing,
            partitioned=self._whole_table() is not None,
            wanted=wanted,
            by_blocks=self._lies_in_order(),
        )

    def order(self) -> tuple[str, ...]:
        """Return the order that the node's index gives, as sort keys; none where the index isn't known."""
        index, backward = self.node.index, self.text("Scan Direction") == "Backward"
        for item in self.context.indexes.get(self.key, ()):
            if index is not None and item.name.rpartition(".")[2] == index:
                return order_of(item.definition, backward=backward)
        return ()

    def _lies_in_order(self) -> bool:
        """Tell whether a scan asks for a wide range of a large table that lies in that order."""
        table, limits = self.table, self.limits
        if table is None or table.pages < limits.block_ranges_pages_min or self.node.type != "Seq Scan":
            return False
        named = {column.name for column in columns_of(parse(self.text("Filter")))}
        ordered = named <= set(self.context.in_order.get(self.key, ()))
        return ordered and self.rows >= table.rows * limits.block_ranges_share_min

    def output_columns(self) -> tuple[ColumnName, ...]:
        """Return the few narrow columns that are asked for; none where that isn't known or would be many."""
        own = [parse(text) for text in self.texts("Output")]
        narrow = self.figure("Plan Width") <= self.limits.covered_width_max
        plain = all(isinstance(item, ColumnName) and self.described.owns(item) for item in own)
        columns = [column for item in own for column in columns_of(item)] if plain and narrow else []
        above = None if self.node.parent is None else self.at(self.node.parent)
        if above is not None and above.node.type == "Aggregate":
            # A scan hands whole rows on where that is no more work: what is made of them says what is needed.
            said = [*above.texts("Output"), *above.texts("Group Key")]
            columns = [column for text in said for column in columns_of(parse(text.replace("(*)", "()")))]
        names = {column.name for column in columns}
        foreign = any(not self.described.owns(column) for column in columns)
        if foreign or len(names) > _COVERED_MAX or names & _SYSTEM_COLUMNS:
            return ()
        return tuple({column.name: column for column in columns}.values())

    @property
    def is_minor(self) -> bool:
        """Whether its scans take so little of the whole that the whole gains nothing by them."""
        whole = self.analysis.execution_ms or self.analysis.root.inclusive_ms
        spent = [part.node.inclusive_ms for part in self.partitions()]
        if not whole or any(ms is None for ms in spent):
            return False
        return sum(ms or 0.0 for ms in spent) < whole * self.limits.minor_share_max

    def at(self, index: int) -> NodePlace:
        """Return another node of the plan."""
        return NodePlace(self.analysis, self.tree, index, self.context)

    def children(self) -> Iterator[NodePlace]:
        """Yield the nodes that feed this one: no CTEs, no InitPlans, no SubPlans."""
        for child in self.tree.children[self.index]:
            node = self.tree.nodes[child]
            if not (is_debt(node) or is_apart(node) or text(node, "Parent Relationship") == "SubPlan"):
                yield self.at(child)

    def source(self) -> NodePlace | None:
        """Return the scan that all of this node's rows come from unchanged, or None."""
        view: NodePlace | None = self
        while view is not None and not view.node.relation:
            children = list(view.children())
            passes = view is self or view.node.type in _PASS_ROWS_ON
            view = children[0] if passes and len(children) == 1 else None
        return view

    def finding(self, kind: str, reason: str, mend: str, **evidence: Any) -> PlanFinding:
        """Build a finding about this node."""
        return PlanFinding(kind, self.node.path, self.node.label, reason, mend, evidence)


def table_key(node: PlanNode) -> str:
    """Return the name of a node's table in a capture: with its schema, where that is not ``public``."""
    schema, relation = str(node.details.get("Schema") or ""), node.relation or ""
    return f"{schema}.{relation}" if schema not in {"", "public"} else relation


def amount(value: float) -> str:
    """Write a count for people: 1,913."""
    return f"{value:,.0f}"
