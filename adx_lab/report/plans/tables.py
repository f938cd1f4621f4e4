"""Captured plans as tables: the matrix of queries and tenants, and what in it deserves a look."""

from __future__ import annotations

from collections import Counter

from adx_lab.analysis.plans.captures.flips import find_flips, find_ties
from adx_lab.analysis.plans.captures.headroom import headrooms
from adx_lab.analysis.plans.captures.matrix import Cell, Matrix
from adx_lab.analysis.plans.captures.slow import SlowQuery
from adx_lab.analysis.plans.records import PlanAnalysis
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import Table
from adx_lab.report.run.judged_run import Judgement

_TIGHTEST = 12
_PAGES_THAT_MATTER = 10
"""A flip that costs less is told by the matrix alone."""


def matrix_table(matrix: Matrix) -> Table:
    """Return each query for each kind of tenant: what its custom and its generic plan cost."""
    flips = {(flip.query, flip.tenant) for flip in find_flips(matrix)}
    header = ("query", "tenant", "custom ms", "custom pages", "generic ms", "generic pages", "flips", "plan")
    rows = []
    for (query, tenant, mode), cell in matrix.cells.items():
        generic = matrix.cells.get((query, tenant, "generic"))
        if mode == "custom" and generic is not None:
            flips_here = "yes" if (query, tenant) in flips else ""
            rows.append((query, tenant, *_cost(cell), *_cost(generic), flips_here, _reads(cell.analysis)))
        elif mode == "generic" and (query, tenant, "custom") not in matrix.cells:
            rows.append((query, tenant, "–", "–", *_cost(cell), "", _reads(cell.analysis)))
    return Table(header, tuple(rows), frozenset(header[2:6]))


def notable_table(matrix: Matrix) -> Table:
    """Return what deserves a look: findings of single plans, flips between plan modes, and ties."""
    rows: dict[tuple[str, ...], None] = {}
    for cell in matrix.cells.values():
        for finding in cell.analysis.findings:
            rows[(cell.query, cell.tenant, finding.kind, finding.reason, finding.mend)] = None
    for flip in find_flips(matrix):
        if flip.settled_by and abs(flip.pages_more) > _PAGES_THAT_MATTER:
            rows[(flip.query, flip.tenant, "flip", flip.words, "")] = None
    for tie in find_ties(matrix):
        words = "slightly different costs, or the next ANALYZE, would turn this plan over"
        rows[(tie.query, tie.tenant, "tie", words, "")] = None
    return Table(("query", "tenant", "kind", "what", "mend"), tuple(rows))


def headroom_table(matrix: Matrix) -> Table:
    """Return the queries that are closest to their budget of 10 ms."""
    header = (
        "query",
        "tenant",
        "mode",
        "ms",
        "pages",
        "µs a page",
        "rows now",
        "times until 10 ms",
        "in words",
    )
    rooms = [room for room in headrooms(matrix) if room.times is not None][:_TIGHTEST]
    rows = (
        (
            *(room.query, room.tenant, room.mode, number(room.ms), number(room.pages)),
            *(number(1000 * room.page_ms), number(room.rows), number(room.times), room.words),
        )
        for room in rooms
    )
    return Table(header, tuple(rows), frozenset(header[3:8]))


def slow_table(judgement: Judgement) -> Table:
    """Return each query that took more than 10 ms under load: how often, and its slowest execution."""
    header = ("query", "times", "slowest ms", "users of the tenant", "pages", "request that waited", "plan")
    worst: dict[str, tuple[int, SlowQuery]] = {}
    times: Counter[str] = Counter()
    for place, item in enumerate(judgement.slow_queries):
        name = item.query or ""
        times[name] += 1
        if name not in worst or (item.duration_ms or 0) > (worst[name][1].duration_ms or 0):
            worst[name] = (place, item)
    ordered = sorted(worst.items(), key=lambda entry: -(entry[1][1].duration_ms or 0.0))
    rows = (
        (
            *(name, f"{times[name]:,}", number(item.duration_ms), number(item.tenant_rows)),
            *(number(item.analysis.pages), _waited(judgement, place), _reads(item.analysis)),
        )
        for name, (place, item) in ordered
    )
    return Table(header, tuple(rows), frozenset(header[1:5]))


def _waited(judgement: Judgement, place: int) -> str:
    row = judgement.sufferers.get(place)
    if row is None:
        return "–"
    latency_ms = judgement.samples["latency_ms"].iloc[row]
    return f"{judgement.samples['endpoint'].iloc[row]}, {number(latency_ms)} ms"


def _cost(cell: Cell) -> tuple[str, str]:
    return number(cell.analysis.execution_ms), number(cell.analysis.pages)


def _reads(analysis: PlanAnalysis) -> str:
    nodes = analysis.nodes
    shown = [
        f"{node.type} on {node.relation}" + (f" by {node.index}" if node.index else "")
        for node in nodes
        if node.relation is not None
    ]
    return "; ".join(dict.fromkeys(shown)) or nodes[0].type
