"""What a duet says of the statements behind its endpoints, where the service itself tells nothing of them.

One user asked both variants one request at a time, with the same random numbers, and the databases were read
in between; see `adx_lab.conduct.run.asked`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.nights.usual import (
    Asked,
    EndpointFigures,
    NightFigures,
    StatementFigures,
    explain_by_statements,
)
from adx_lab.analysis.plans.captures.matrix import Matrix, read_matrix
from adx_lab.analysis.plans.records import PlanAnalysis
from adx_lab.analysis.run.latency import failed
from adx_lab.capture.database.statements import normal

_GENERIC = frozenset({"service", "cpu", "blocking", "dependency", "waiting", "query", "database-cpu"})
"""Kinds that say where time goes and no more: a statement that is named says why."""


def explain_asked(
    companions: Sequence[Mapping[str, Any]], samples: pd.DataFrame, slower: Collection[str]
) -> tuple[tuple[Comparison, ...], tuple[Finding, ...]]:
    """Return what is asked more often or got dearer; nothing where nobody counted it.

    Parameters
    ----------
    companions
        One a block, by side; the first one knows.
    slower
        Endpoints whose times are known to have grown.
    """
    first = companions[0] if companions else {BASE: {}, HEAD: {}}
    if not all(first[side].get("asked") for side in (BASE, HEAD)):
        return (), ()
    figures = {side: _figures(side, first[side], samples) for side in (BASE, HEAD)}
    return explain_by_statements(figures[HEAD], figures[BASE], slower)


def with_named(findings: Sequence[Finding], named: Sequence[Finding]) -> tuple[Finding, ...]:
    """Put findings that name a statement first, and let the others speak of what they do not explain."""
    if not named:
        return tuple(findings)
    told = {endpoint for finding in named for endpoint in finding.endpoints}
    slower = told.union(*(one.endpoints for one in findings if one.kind in _GENERIC))
    left = []
    for one in findings:
        if one.kind == "strays" and slower.issuperset(one.endpoints):
            continue
        rest = tuple(endpoint for endpoint in one.endpoints if endpoint not in told)
        if one.kind not in _GENERIC or not one.endpoints or rest == one.endpoints:
            left.append(one)
        elif rest:
            subject = rest[0] if one.subject in told else one.subject
            left.append(replace(one, endpoints=rest, subject=subject, share=None))
    return (*named, *left)


def asked_of(told: Mapping[str, Any]) -> dict[str, dict[str, Asked]]:
    """Return by endpoint and statement what a request asks for, from what was counted."""
    return {
        endpoint: {
            text: Asked(one["calls"], one["pages"] / one["calls"], one["total_ms"] / one["calls"])
            for text, one in of["statements"].items()
        }
        for endpoint, of in told.items()
    }


def plans_by_text(matrix: Matrix) -> dict[str, PlanAnalysis]:
    """Return one plan a statement: the generic one, where there is one."""
    found: dict[str, PlanAnalysis] = {}
    for cell in matrix.cells.values():
        text = normal(str(matrix.queries.get(cell.query, {}).get("text", cell.query)))
        if text not in found or cell.mode == "generic":
            found[text] = cell.analysis
    return found


def index_definitions(matrix: Matrix) -> dict[str, str]:
    """Return the definitions of the indexes that a database has."""
    return {name: str(facts.get("definition", "")) for name, facts in matrix.indexes.items()}


def _figures(side: str, companions: Mapping[str, Any], samples: pd.DataFrame) -> NightFigures:
    told = companions["asked"]
    document = companions.get("matrix")
    matrix = None if document is None else read_matrix(document)
    own = samples[(samples["variant"] == side).to_numpy()]
    lost = failed(own)
    medians = own[~lost].groupby("endpoint", observed=True)["latency_ms"].median()
    return NightFigures(
        run_id=side,
        endpoints={
            str(name): EndpointFigures(int((own["endpoint"] == name).sum()), 0, float(ms), None)
            for name, ms in medians.items()
        },
        statements=_statements(told),
        asked=asked_of(told),
        plans={} if matrix is None else plans_by_text(matrix),
        indexes={} if matrix is None else index_definitions(matrix),
    )


def _statements(told: Mapping[str, Any]) -> dict[str, StatementFigures]:
    sums: dict[str, list[float]] = {}
    for of in told.values():
        for text, one in of["statements"].items():
            spent = sums.setdefault(text, [0.0, 0.0, 0.0])
            for place, name in enumerate(("calls", "total_ms", "pages")):
                spent[place] += float(one[name]) * int(of["requests"])
    return {
        text: StatementFigures(calls, ms / calls, pages / calls)
        for text, (calls, ms, pages) in sums.items()
        if calls
    }
