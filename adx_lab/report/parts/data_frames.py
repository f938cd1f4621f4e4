"""The analysis's results as data frames: numbers as they are, one row a thing, units in the names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.plans.captures.matrix import Matrix
from adx_lab.analysis.plans.records import Finding as PlanFinding
from adx_lab.analysis.plans.records import PlanAnalysis
from adx_lab.analysis.run.budgets import BudgetResult
from adx_lab.analysis.run.distribution import timeline as timeline_of
from adx_lab.analysis.run.latency import LatencySummary
from adx_lab.analysis.run.tail import TailAttribution

_QUANTILES = ("mean_ms", "p50_ms", "p95_ms", "p99_ms", "p999_ms")


def latency(summaries: Sequence[LatencySummary]) -> pd.DataFrame:
    """Return one row a part: requests, errors and each percentile with its interval, in milliseconds."""
    rows = []
    for one in summaries:
        row: dict[str, Any] = {one.by or "subject": one.subject, "requests": one.count, "errors": one.errors}
        row["rate_per_s"] = one.rate_per_s
        for name in _QUANTILES:
            estimate = getattr(one, name)
            stem = name.removesuffix("_ms")
            row |= {name: estimate.value, f"{stem}_low_ms": estimate.low, f"{stem}_high_ms": estimate.high}
        rows.append(row | {"max_ms": one.max_ms})
    return pd.DataFrame(rows)


def timeline(samples: pd.DataFrame) -> pd.DataFrame:
    """Return one row a slice of time."""
    line = timeline_of(samples)
    names = ("t_s", "rate_per_s", "p50_ms", "p95_ms", "p99_ms")
    return pd.DataFrame({name: getattr(line, name) for name in names})


def tails(attributions: Sequence[TailAttribution]) -> pd.DataFrame:
    """Return one row a part of each endpoint's tail."""
    return pd.DataFrame(
        {
            "subject": tail.subject,
            "slowest": tail.count,
            "threshold_ms": tail.threshold_ms,
            "part": part.name,
            "kind": part.kind,
            "tail_ms": part.tail_ms,
            "rest_ms": part.rest_ms,
            "share": part.share,
        }
        for tail in attributions
        for part in tail.parts
    )


def budgets(results: Sequence[BudgetResult]) -> pd.DataFrame:
    """Return one row a judged budget."""
    names = ("name", "metric", "limit", "direction", "unit", "value", "low", "high", "n", "status")
    return pd.DataFrame([{name: getattr(item, name) for name in names} for item in results])


def comparisons(found: Sequence[Comparison]) -> pd.DataFrame:
    """Return one row a comparison: head over base."""
    names = ("subject", "metric", "ratio", "low", "high", "level", "p", "status", "could_see")
    return pd.DataFrame([{name: getattr(one, name) for name in names} for one in found])


def findings(found: Sequence[Finding]) -> pd.DataFrame:
    """Return one row a cause."""
    names = ("kind", "subject", "cause", "share", "endpoints", "evidence")
    return pd.DataFrame([{name: getattr(one, name) for name in names} for one in found])


def plans(matrix: Matrix) -> pd.DataFrame:
    """Return one row a cell of the matrix."""
    rows = [
        {
            "query": cell.query,
            "tenant": cell.tenant,
            "mode": cell.mode,
            "shape": cell.analysis.shape,
            "execution_ms": cell.analysis.execution_ms,
            "planning_ms": cell.analysis.planning_ms,
            "pages": cell.analysis.pages,
            "findings": tuple(finding.kind for finding in cell.analysis.findings),
        }
        for cell in matrix.cells.values()
    ]
    return pd.DataFrame(rows)


def plan_nodes(analyses: Iterable[tuple[str, PlanAnalysis]]) -> pd.DataFrame:
    """Return one row a node of some plans, each under its query's name."""
    names = (
        *("path", "type", "relation", "index", "loops", "inclusive_ms", "self_ms", "rows", "planned_rows"),
        *("estimate_factor", "shared_hit", "shared_read", "temp_written", "rows_removed"),
    )
    return pd.DataFrame(
        [
            {"query": query} | {name: getattr(node, name) for name in names}
            for query, analysis in analyses
            for node in analysis.nodes
        ]
    )


def plan_findings(found: Sequence[PlanFinding]) -> pd.DataFrame:
    """Return one row a finding of a plan, with its mend."""
    names = ("kind", "subject", "reason", "mend")
    return pd.DataFrame([{name: getattr(one, name) for name in names} for one in found])
