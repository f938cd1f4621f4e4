"""An analysed plan as a machine reads it."""

from __future__ import annotations

from typing import Any

from adx_lab.analysis.plans.records import PlanAnalysis, PlanNode
from adx_lab.records.documents import to_plain

_NODE = (
    "path",
    "type",
    "relation",
    "index",
    "loops",
    "inclusive_ms",
    "self_ms",
    "self_ms_low",
    "self_ms_high",
    "rows",
    "planned_rows",
    "estimate_factor",
    "shared_hit",
    "shared_read",
    "temp_written",
    "rows_removed",
    "findings",
)


def plan_document(analysis: PlanAnalysis) -> dict[str, Any]:
    """Return a plan's figures, its certificate, its findings and all its nodes."""
    return {
        "shape": analysis.shape,
        "execution_ms": analysis.execution_ms,
        "planning_ms": analysis.planning_ms,
        "unattributed_ms": analysis.unattributed_ms,
        "certificate": to_plain(analysis.certificate),
        "caveats": list(analysis.caveats),
        "findings": to_plain(analysis.findings),
        "nodes": [_node(node) for node in analysis.nodes],
    }


def _node(node: PlanNode) -> dict[str, Any]:
    return {name: to_plain(getattr(node, name)) for name in _NODE}
