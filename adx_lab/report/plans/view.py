"""One plan as it is shown, whatever to: the words, shares and marks of each node, laid out elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from adx_lab.analysis.plans.reading.wrapping.unwrap import printable

if TYPE_CHECKING:
    from adx_lab.analysis.plans import PlanAnalysis, PlanNode

CONDITIONS = (
    "Index Cond",
    "Recheck Cond",
    "Hash Cond",
    "Merge Cond",
    "Join Filter",
    "Filter",
    "One-Time Filter",
    "TID Cond",
    "Order By",
    "Sort Key",
    "Presorted Key",
    "Group Key",
    "Cache Key",
    "Remote SQL",
)
_ROLES = ("InitPlan", "SubPlan", "CTE", "Task", "Distributed Subplan")
_HOT, _WARM = 0.4, 0.15
Heat = Literal["hot", "warm", "cool", "never"]


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as it is shown: nothing in it moves the cursor or turns the direction of writing.

    ``share`` is its own time's part of the whole, None where there are no times. ``costly`` says that it is
    on the way from the root to where most time is spent.
    """

    node: PlanNode
    role: str
    label: str
    heat: Heat
    share: float | None
    notes: tuple[str, ...]
    conditions: tuple[tuple[str, str], ...]
    findings: tuple[str, ...]
    costly: bool

    @property
    def full_text(self) -> str:
        """Everything that is known of the node, a line each."""
        node = self.node
        lines = [f"{node.path}  {self.role}{self.label}"]
        if node.inclusive_ms is not None:
            lines.append(f"with all below {node.inclusive_ms:,.3f} ms in {node.loops or 0:,.0f} loops")
        lines += [f"{key}: {value}" for key, value in self.conditions]
        lines += list(self.notes)
        lines += [printable(f"{item.kind}: {item.reason}; {item.mend}") for item in node.findings]
        return "\n".join(lines)


def node_views(analysis: PlanAnalysis) -> tuple[NodeView, ...]:
    """Return each node of a plan as it is shown, in order."""
    costly = _costly(analysis)
    return tuple(_view(analysis, node, costly=index in costly) for index, node in enumerate(analysis.nodes))


def _view(analysis: PlanAnalysis, node: PlanNode, *, costly: bool) -> NodeView:
    share = _share(analysis, node)
    return NodeView(
        node=node,
        role=_role(node),
        label=printable(node.label),
        heat=_heat(node, share),
        share=share,
        notes=tuple(map(printable, _notes(node))),
        conditions=tuple(_conditions(node)),
        findings=tuple(dict.fromkeys(printable(finding.kind) for finding in node.findings)),
        costly=costly,
    )


def _share(analysis: PlanAnalysis, node: PlanNode) -> float | None:
    whole = analysis.execution_ms or analysis.root.inclusive_ms
    if not whole or node.self_ms is None:
        return None
    return max(0.0, node.self_ms) / whole


def _heat(node: PlanNode, share: float | None) -> Heat:
    if node.never_executed:
        return "never"
    if share is None or share < _WARM:
        return "cool"
    return "hot" if share >= _HOT else "warm"


def _role(node: PlanNode) -> str:
    role = printable(node.relationship or "")
    return f"{role.partition(' (')[0]}: " if role.startswith(_ROLES) else ""


def _conditions(node: PlanNode) -> list[tuple[str, str]]:
    found = []
    for key in CONDITIONS:
        value = node.details.get(key)
        if isinstance(value, list):
            value = ", ".join(str(item) for item in value)
        if isinstance(value, str) and value:
            found.append((key, printable(value)))
    return found


def _notes(node: PlanNode) -> list[str]:
    notes = []
    if node.estimate_factor is not None and not 0.1 < node.estimate_factor < 10:
        much = node.estimate_factor if node.estimate_factor > 1 else 1 / node.estimate_factor
        notes.append(
            f"{count_text(much)}× {'more' if node.estimate_factor > 1 else 'fewer'} rows than planned"
        )
    if node.rows_removed:
        notes.append(f"{count_text(node.rows_removed)} rows removed")
    if node.self_temp_written:
        notes.append(f"{count_text(node.self_temp_written)} temporary pages written")
    launched, planned = node.details.get("Workers Launched"), node.details.get("Workers Planned")
    if planned is not None:
        notes.append(f"{planned} workers planned" + ("" if launched is None else f", {launched} launched"))
    return notes


def _costly(analysis: PlanAnalysis) -> frozenset[int]:
    """Return the nodes on the ways to those that take most, by time or by cost."""
    nodes = analysis.nodes
    weights = [node.self_ms or 0.0 for node in nodes] if analysis.timed else _own_costs(analysis)
    whole = sum(max(0.0, weight) for weight in weights)
    heavy = [index for index, weight in enumerate(weights) if whole > 0 and weight >= whole * _WARM]
    found: set[int] = set()
    for index in heavy:
        above: int | None = index
        while above is not None and above not in found:
            found.add(above)
            above = nodes[above].parent
    return frozenset(found)


def _own_costs(analysis: PlanAnalysis) -> list[float]:
    own = [node.cost or 0.0 for node in analysis.nodes]
    for node in analysis.nodes:
        if node.parent is not None:
            own[node.parent] -= node.cost or 0.0
    return own


def count_text(value: float | None) -> str:
    """Write a count: whole where it is whole."""
    if value is None:
        return ""
    return f"{value:,.0f}" if float(value).is_integer() or value >= 100 else f"{value:,.2f}"


def cut(text: str, characters_max: int) -> str:
    """Return a text on one line, cut where it is too long."""
    cleaned = printable(text)
    return cleaned if len(cleaned) <= characters_max else cleaned[: max(1, characters_max - 1)] + "…"
