"""A captured matrix of plans, analysed: every named query for each kind of tenant, custom and generic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.plans.advice.indexes import Existing
from adx_lab.analysis.plans.analyse import analyse
from adx_lab.analysis.plans.captures.tried import key_of
from adx_lab.analysis.plans.reading.scan import read_plans
from adx_lab.analysis.plans.records import PlanAnalysis, PlanDocument
from adx_lab.analysis.plans.rules.context import Context, ForeignKey, TableFacts
from adx_lab.analysis.plans.shape import shape_of
from adx_lab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TEXT_MAX = 100
Key = tuple[str, str, str]
"""Query, kind of tenant, plan mode."""


_VALUES = {
    "any": "any value",
    "common": "a common value",
    "rare": "a rare value",
    "absent": "what is absent",
}


@dataclass(frozen=True, slots=True)
class PlanCell:
    """One plan of the matrix; ``near`` holds the shapes that other costs or another sample would give."""

    query: str
    tenant: str
    mode: str
    arguments: Mapping[str, str]
    analysis: PlanAnalysis
    near: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """What identifies the cell."""
        return self.query, self.tenant, self.mode


@dataclass(frozen=True, slots=True)
class Matrix:
    """A capture: its cells by key, and what the planner knew when they were made."""

    cells: Mapping[Key, PlanCell]
    settings: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, TableFacts] = field(default_factory=dict)
    indexes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tenants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    queries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tried: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    role_settings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    targets: Mapping[str, Sequence[str | None]] = field(default_factory=dict)

    def label(self, query: str) -> str:
        """Return what people call a query: its name, or the text of a statement that has none."""
        known = self.queries.get(query, {})
        if not query.startswith("statement "):
            return query
        text = " ".join(str(known.get("text", "")).split())
        return str(
            known.get("label") or (text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…") or query
        )

    def tenant_rows(self, kind: str) -> Mapping[str, float]:
        """Return how many rows of each table a kind of tenant has."""
        rows: Mapping[str, float] = self.tenants.get(kind, {}).get("rows", {})
        return rows


def read_matrix(document: Any) -> Matrix:
    """Analyse what `capture_matrix` wrote, or a bare list of its plans.

    Raises
    ------
    UsageError
        The document is something else.
    """
    whole = {"plans": document} if isinstance(document, list) else document
    if isinstance(whole, dict) and isinstance(whole.get("capture"), dict):
        whole = whole["capture"]  # what `plans --json` prints
    if not isinstance(whole, dict) or not isinstance(whole.get("plans"), list):
        raise UsageError("this is no capture of plans", mend="capture one with `adx-lab plans --out FILE`")
    try:
        return _read(whole)
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise UsageError(f"a captured plan is damaged: {error!r}", mend="capture the plans again") from error


def _read(whole: dict[str, Any]) -> Matrix:
    tables = {name: _table(facts) for name, facts in whole.get("tables", {}).items()}
    context = Context(
        tables=tables,
        columns=whole.get("columns", {}),
        indexes=_existing(whole.get("indexes", {})),
        in_order=whole.get("in_order", {}),
        foreign_keys=[_foreign_key(item) for item in whole.get("foreign_keys", ())],
    )
    cells = (_cell(item, context) for item in whole["plans"])
    return Matrix(
        cells={cell.key: cell for cell in cells},
        settings={name: str(value) for name, value in whole.get("settings", {}).items()},
        tables=tables,
        indexes={name: dict(index) for name, index in whole.get("indexes", {}).items()},
        tenants={kind: _tenant(facts) for kind, facts in whole.get("tenants", {}).items()},
        queries={name: dict(query) for name, query in whole.get("queries", {}).items()},
        targets=whole.get("statistics_targets", {}),
        role_settings=whole.get("role_settings", {}),
        tried={key_of(item["query"], item["indexes"]): item for item in whole.get("tried", ())},
    )


def _table(facts: dict[str, Any]) -> TableFacts:
    return TableFacts(
        rows=float(facts.get("rows", -1)),
        pages=int(facts.get("pages", 0)),
        modified=float(facts.get("modified", 0)),
        live_rows=facts.get("live_rows"),
        dead_rows=facts.get("dead_rows"),
        partition_of=facts.get("partition_of"),
    )


def _foreign_key(item: dict[str, Any]) -> ForeignKey:
    return ForeignKey(item["name"], item["table"], tuple(item["columns"]), item["references"])


def _existing(indexes: Mapping[str, Any]) -> dict[str, list[Existing]]:
    found: dict[str, list[Existing]] = {}
    for name, facts in indexes.items():
        index = Existing(name, str(facts.get("definition", "")), valid=facts.get("valid") is not False)
        found.setdefault(str(facts.get("table")), []).append(index)
    return found


def for_whom(kind: str) -> str:
    """Return in words for whom a plan was made: a kind of tenant, or of any service's values."""
    return _VALUES.get(kind, f"the {kind} tenant")


def _tenant(facts: dict[str, Any]) -> dict[str, Any]:
    rows = {table: float(count) for table, count in facts.get("rows", {}).items()}
    return {"id": facts.get("id"), "rows": rows}


def _cell(item: dict[str, Any], context: Context) -> PlanCell:
    plan = item["plan"]
    document = PlanDocument(plan) if "Plan" in plan else read_plans(str(plan))[0]
    near = {shape_of(other["Plan"]) for other in item.get("near", ())}
    analysis = analyse(document, context)
    return PlanCell(
        query=str(item["query"]),
        tenant=str(item.get("tenant", "")),
        mode=str(item.get("mode", "custom")),
        arguments=dict(item.get("arguments", {})),
        analysis=analysis,
        near=tuple(sorted(near - {analysis.shape})),
    )
