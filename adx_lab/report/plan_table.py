"""Captured plans, each in a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adx_lab.analysis.plans import analyse
from adx_lab.analysis.plans.records import PlanAnalysis, PlanDocument


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One captured plan: what it cost, and in ``summary`` how the tables are read."""

    query: str
    tenant: str
    mode: str
    execution_ms: float | None
    pages: int | None
    read: int | None
    summary: str
    analysis: PlanAnalysis


def plan_rows(captured: Sequence[dict[str, Any]]) -> list[PlanRow]:
    """Return a line for each captured plan (``plans.json`` of a run)."""
    return [_row(item) for item in captured]


def _row(item: dict[str, Any]) -> PlanRow:
    analysis = analyse(PlanDocument(item["plan"]))
    root = analysis.nodes[0]
    return PlanRow(
        query=item["query"],
        tenant=item["tenant"],
        mode=item["mode"],
        execution_ms=analysis.execution_ms,
        pages=root.pages,
        read=root.shared_read,
        summary=_summary(analysis),
        analysis=analysis,
    )


def _summary(analysis: PlanAnalysis) -> str:
    accesses = [node for node in analysis.nodes if node.relation is not None]
    shown = [
        f"{node.type} on {node.relation}" + (f" by {node.index}" if node.index else "") for node in accesses
    ]
    return "; ".join(dict.fromkeys(shown)) or analysis.nodes[0].type
