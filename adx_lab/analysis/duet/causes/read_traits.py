"""From what the captures kept of a variant to what the attribution asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from adx_lab.analysis.duet.causes.variant_traits import EndpointFacts, QueryFacts, VariantFacts
from adx_lab.analysis.plans.captures.matrix import Matrix, PlanCell, read_matrix
from adx_lab.records.documents import digest

_COUNTERS = ("calls", "plans", "exec_ms", "plan_ms", "rows", "buffers")
_TENANTS = ("whale", "median", "small")
_LAG_COUNT_MIN = 10
_MB = 2**20
_OURS = "pg_stat_statements."
"""Settings by which the lab counts."""

_GATHERING = frozenset({"Aggregate", "Subquery Scan", "Result", "GroupAggregate"})


def facts_of(
    companions: Sequence[Mapping[str, Any]],
    described: Mapping[str, Any],
    side: str,
    *,
    statements: pd.DataFrame | None = None,
    counts: pd.DataFrame | None = None,
) -> VariantFacts:
    """Put together what is known of one variant.

    Parameters
    ----------
    companions
        One a block: by side, as `companions_between` told; the first holds the plans too.
    described
        As `Variant.describe` told.
    side
        ``base`` or ``head``.
    statements, counts
        What each endpoint asked for in the serial movement; None where there was none.
    """
    own = [block[side] for block in companions]
    requests = sum(float(one.get("requests", 0)) for one in own)
    summed = _summed(own)
    calls = sum(one["calls"] for one in summed.values())
    first: Mapping[str, Any] = next((one for one in own if "matrix" in one), {})
    matrix = matrix_of(companions, side)
    pools = [one["pool_max"] for one in own if one["pool_max"] is not None]
    cpu_s = sum(float(one["cpu_s"]) for one in own)
    grown_mb = sum(float(one["rss_mb"][1] - one["rss_mb"][0]) for one in own)
    processes = int((described.get("resolved") or {}).get("workers", 1))
    return VariantFacts(
        queries=_queries(summed, matrix),
        endpoints=_endpoints(statements, counts, side),
        indexes=frozenset(matrix.indexes) if matrix else None,
        stale_tables=tuple(first.get("unanalysed", ())),
        table_rows={name: float(one.rows) for name, one in matrix.tables.items()} if matrix else {},
        dead_rows={name: float(one.dead_rows or 0) for name, one in matrix.tables.items()} if matrix else {},
        database_settings=_database_settings(matrix) if matrix else {},
        plans_per_call=sum(one["plans"] for one in summed.values()) / calls if calls else None,
        cpu_ms=1000 * cpu_s / requests if requests and cpu_s > 0 else None,
        capacity_per_s=processes * requests / cpu_s if cpu_s > 0 else None,
        memory_bytes=grown_mb * _MB / requests if requests and cpu_s > 0 else None,
        loop_lag_ms=_lag_ms([one["lag"] for one in own], 0.99),
        loop_lag_p90_ms=_lag_ms([one["lag"] for one in own], 0.9),
        pool_size=max(pools) if pools else None,
        cache_hits=_cache(own, requests),
        invalidations=_per_request(own, "invalidations"),
        valkey_commands=_per_request(own, "valkey_commands"),
        settings={str(k): str(v) for k, v in (described.get("resolved") or {}).items()},
        commit=described.get("commit"),
    )


def matrix_of(companions: Sequence[Mapping[str, Any]], side: str) -> Matrix | None:
    """Return the plans that were captured of one variant, or None."""
    document = next((block[side]["matrix"] for block in companions if "matrix" in block[side]), None)
    return None if document is None else read_matrix(document)


def _endpoints(
    statements: pd.DataFrame | None, counts: pd.DataFrame | None, side: str
) -> dict[str, EndpointFacts]:
    """Return what each endpoint computes, and sends beside the named queries, over all blocks."""
    if statements is None or counts is None:
        return {}
    counted = counts[(counts["variant"] == side).to_numpy()].groupby("endpoint", observed=True)
    asked, cpu_ms = counted["requests"].sum(), counted["cpu_ms"].sum()
    executed = statements[(statements["variant"] == side).to_numpy()]
    database_ms = executed.groupby("endpoint", observed=True)["exec_ms"].sum()
    own = executed[executed["query"].isna().to_numpy()]
    found: dict[str, dict[str, tuple[float, float]]] = {}
    sums = own.groupby(["endpoint", "text"], observed=True)[["calls", "exec_ms"]].sum()
    for (endpoint, text), calls, ms in sums.itertuples():
        requests = float(asked.get(endpoint, 0))
        if requests and calls:
            found.setdefault(str(endpoint), {})[str(text)] = (
                float(calls) / requests,
                float(ms) / float(calls),
            )
    return {
        str(endpoint): EndpointFacts(
            cpu_ms=float(spent_ms) / float(requests) if requests and spent_ms > 0 else None,
            database_ms=float(database_ms.get(endpoint, 0.0)) / float(requests) if requests else None,
            unnamed=found.get(str(endpoint), {}),
        )
        for endpoint, requests, spent_ms in zip(asked.index, asked, cpu_ms, strict=True)
    }


def _database_settings(matrix: Matrix) -> dict[str, str]:
    """Return what planning was told: the settings in force, and those of the database and its roles."""
    found = dict(matrix.settings)
    for whose, told in matrix.role_settings.items():
        # Each variant has a clone of another name.
        place = whose.split(" ")[0] if whose.startswith("database ") else whose
        for one in told:
            name, _, value = one.partition("=")
            if not name.startswith(_OURS) and name not in found:
                found[f"{name} of the {place}"] = value
    return found


def _per_request(own: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Return a count a request, over the blocks in which it is known."""
    known = [one for one in own if one.get(name) is not None]
    requests = sum(float(one.get("requests", 0)) for one in known)
    return sum(float(one[name]) for one in known) / requests if requests else None


def _summed(own: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    sums: dict[str, dict[str, float]] = {}
    for one in own:
        for query, counted in one["statements"].items():
            known = sums.setdefault(query, dict.fromkeys(_COUNTERS, 0.0))
            for key in _COUNTERS:
                known[key] += float(counted[key])
    return sums


def _cache(own: Sequence[Mapping[str, Any]], requests: float) -> dict[str, float]:
    sums: dict[str, float] = {}
    for one in own:
        for layer, hits in one["cache"].items():
            sums[layer] = sums.get(layer, 0.0) + float(hits)
    return {layer: hits / requests for layer, hits in sums.items()} if requests and any(sums.values()) else {}


def _queries(statements: Mapping[str, Mapping[str, float]], matrix: Matrix | None) -> dict[str, QueryFacts]:
    names = {*statements, *(key[0] for key in (matrix.cells if matrix else ()))}
    texts = {name: facts.get("text") for name, facts in (matrix.queries if matrix else {}).items()}
    return {
        name: _query(statements.get(name), _cells(matrix, name), matrix, texts.get(name))
        for name in sorted(names)
    }


def _cells(matrix: Matrix | None, query: str) -> list[PlanCell]:
    if matrix is None:
        return []
    wanted = [(query, tenant, "custom") for tenant in _TENANTS]
    return [matrix.cells[key] for key in wanted if key in matrix.cells]


def _query(
    counted: Mapping[str, float] | None, cells: Sequence[PlanCell], matrix: Matrix | None, text: object
) -> QueryFacts:
    nodes = [node for cell in cells for node in cell.analysis.nodes]
    factors = [max(f, 1 / f) for node in nodes if (f := node.estimate_factor) is not None and f > 0]
    scans = dict.fromkeys(
        f"{node.type} on {node.relation}" if node.index is None else f"{node.type} using {node.index}"
        for node in nodes
        if node.relation is not None or node.index is not None
    )
    calls = counted["calls"] if counted else 0.0

    def per_call(key: str) -> float | None:
        return counted[key] / calls if counted and calls else None

    indexes = frozenset(node.index for node in nodes if node.index is not None)
    known = {} if matrix is None else matrix.indexes
    behind = {str(known[name].get("table")) for name in indexes if name in known}
    return QueryFacts(
        text=None if text is None else " ".join(str(text).split()),
        tables=frozenset({node.relation for node in nodes if node.relation is not None} | behind),
        shape=digest([cell.analysis.shape for cell in cells]) if cells else None,
        scans=tuple(scans),
        indexes=indexes,
        estimate_factor=max(factors, default=None),
        buffers=per_call("buffers"),
        rows=_rows(cells) or per_call("rows"),
        exec_ms=per_call("exec_ms"),
        plan_ms=per_call("plan_ms"),
    )


def _rows(cells: Sequence[PlanCell]) -> float | None:
    """Return the rows that a query finds, its mean over the tenants.

    A query that answers with one JSON text returns one row, however many went into it: what stands below the
    aggregate counts.
    """
    found = []
    for cell in cells:
        nodes, at = cell.analysis.nodes, 0
        while nodes[at].type in _GATHERING:
            below = [n for n, node in enumerate(nodes) if node.parent == at]
            if len(below) != 1:
                break
            at = below[0]
        if (rows := nodes[at].rows_total) is not None:
            found.append(rows)
    return sum(found) / len(found) if found else None


def _lag_ms(blocks: Sequence[Mapping[str, float]], share: float) -> float | None:
    """Return the loop's lateness at a quantile, interpolated within its bucket.

    Of all blocks together: the core does not look often enough for one to carry it.
    """
    sums: dict[float, float] = {}
    for block in blocks:
        for name, count in block.items():
            sums[float(name)] = sums.get(float(name), 0.0) + float(count)
    edges = sorted(sums)
    if not edges or sums[edges[-1]] < _LAG_COUNT_MIN:
        return None
    wanted = share * sums[edges[-1]]
    low, below = 0.0, 0.0
    for edge in edges:
        if sums[edge] >= wanted:
            if edge == float("inf"):
                return low
            return low + (edge - low) * (wanted - below) / max(sums[edge] - below, 1e-9)
        low, below = edge, sums[edge]
    return low
