"""Captured plans as tables: the matrix of queries and tenants, and what in it deserves a look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.plans.captures.flips import find_flips, generic_of
from adx_lab.analysis.plans.captures.growth import CheckedForecast
from adx_lab.analysis.plans.captures.headroom import headrooms
from adx_lab.analysis.plans.captures.matrix import Matrix, PlanCell
from adx_lab.analysis.plans.captures.notable import matters, notables
from adx_lab.analysis.plans.captures.slow import SlowQuery
from adx_lab.analysis.plans.records import PlanAnalysis, PlanFinding
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import Cell as TextCell
from adx_lab.report.parts.table import Column, Table
from adx_lab.report.plans.view import cut

if TYPE_CHECKING:
    from adx_lab.report.run.judged_run import Judgement

_TIGHTEST = 12
_TEXT_MAX = 90
_NODE_FIELDS = (
    *("path", "type", "relation", "index", "loops", "inclusive_ms", "self_ms", "rows", "planned_rows"),
    *("estimate_factor", "shared_hit", "shared_read", "temp_written", "rows_removed"),
)


def matrix_table(matrix: Matrix) -> Table:
    """Return each query for each kind of tenant: what its custom and its generic plan cost."""
    flips = {(flip.query, flip.tenant) for flip in find_flips(matrix)}
    columns = (
        *(Column("query", kind="code"), Column("for", key="tenant"), Column("custom", "ms", "number")),
        *(Column("custom pages", kind="number"), Column("generic", "ms", "number")),
        *(Column("generic pages", kind="number"), Column("flips"), Column("plan")),
    )
    rows: list[tuple[Any, ...]] = []
    for (query, tenant, mode), cell in matrix.cells.items():
        generic = generic_of(matrix, query, tenant)
        if mode == "custom" and generic is not None:
            flips_here = "yes" if (query, tenant) in flips else ""
            rows.append((query, tenant, *_cost(cell), *_cost(generic), flips_here, _reads(cell.analysis)))
        elif mode == "generic" and (query, tenant, "custom") not in matrix.cells:
            rows.append((query, tenant, None, None, *_cost(cell), "", _reads(cell.analysis)))
    return Table(columns, tuple(rows))


def statement_table(matrix: Matrix) -> Table:
    """Return any database's statements: what they are, what they cost, and what their plans say."""
    columns = (
        *(Column("statement", kind="code"), Column("calls", kind="number"), Column("mean", "ms", "number")),
        *(Column("share", "%", "number"), Column("pages a call", kind="number"), Column("findings")),
        Column("plan"),
    )
    rows: list[tuple[Any, ...]] = []
    for name, query in matrix.queries.items():
        cells = [cell for cell in matrix.cells.values() if cell.query == name]
        spent = query.get("statistics")
        if not spent or not cells:
            continue
        kinds = dict.fromkeys(item.kind for cell in cells for item in cell.analysis.findings)
        flips = ["flip"] if any(flip.query == name and matters(flip) for flip in find_flips(matrix)) else []
        said = str(query.get("label") or cut(str(query["text"]), _TEXT_MAX))
        figures = (spent["calls"], spent["mean_ms"], 100 * spent["share"], spent["pages_a_call"])
        rows.append((said, *figures, ", ".join([*kinds, *flips]), _reads(cells[0].analysis)))
    return Table(columns, tuple(rows))


def notable_table(matrix: Matrix) -> Table:
    """Return what deserves a look: findings of single plans, flips between plan modes, and ties."""
    rows = (
        (item.query, ", ".join(item.tenants), _kind(item.kind), item.words, item.mend)
        for item in notables(matrix)
    )
    columns = (
        Column("query", kind="code"),
        Column("for", key="tenant"),
        *(Column(name) for name in ("kind", "what", "mend")),
    )
    return Table(columns, tuple(rows))


def headroom_table(matrix: Matrix) -> Table:
    """Return the queries that are closest to their budget of 10 ms."""
    columns = (
        *(
            Column("query", kind="code"),
            Column("for", key="tenant"),
            Column("mode"),
            Column("takes", "ms", "number"),
        ),
        *(
            Column("pages", kind="number"),
            Column("a page", "µs", "number"),
            Column("rows now", kind="number"),
        ),
        *(Column("times until 10 ms", kind="number"), Column("in words")),
    )
    rooms = [room for room in headrooms(matrix) if room.times is not None][:_TIGHTEST]
    rows = (
        (
            *(room.query, room.tenant, room.mode, room.ms, room.pages),
            *(1000 * room.page_ms, room.rows, room.times, room.words),
        )
        for room in rooms
    )
    return Table(columns, tuple(rows))


def growth_table(forecasts: Sequence[CheckedForecast]) -> Table:
    """Return what each query was expected to take when its tenant grew, beside what it took."""
    columns = (
        *(Column("query", kind="code"), Column("mode"), Column("rows then", kind="number")),
        *(Column("before", "ms", "number"), Column("forecast", "ms", "number")),
        *(Column("from", "ms", "number"), Column("to", "ms", "number"), Column("measured", "ms", "number")),
        *(Column("off", "times", "number"), Column("plan")),
    )
    rows = (
        (
            *(item.query, item.mode, item.rows_then, item.ms, item.forecast_ms if item.known else "unknown"),
            *(item.low_ms, item.high_ms, item.measured_ms, item.factor),
            "the same" if item.same_plan else "another",
        )
        for item in forecasts
    )
    return Table(columns, tuple(rows))


def slow_table(judgement: Judgement) -> Table:
    """Return each query that took more than 10 ms under load: how often, and its slowest execution."""
    columns = (
        *(Column("query", kind="code"), Column("times", kind="number"), Column("slowest", "ms", "number")),
        *(Column("users of the tenant", kind="number"), Column("pages", kind="number")),
        *(Column("request that waited"), Column("plan")),
    )
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
            *(name, times[name], item.duration_ms, item.tenant_rows),
            *(item.analysis.pages, _waited(judgement, place), _reads(item.analysis)),
        )
        for name, (place, item) in ordered
    )
    return Table(columns, tuple(rows))


def cells_table(matrix: Matrix) -> Table:
    """Return one row a captured plan."""
    columns = (
        *(
            Column("query", kind="code"),
            Column("for", key="tenant"),
            Column("mode"),
            Column("shape", kind="code"),
        ),
        *(
            Column("execution", "ms", "number"),
            Column("planning", "ms", "number"),
            Column("pages", kind="number"),
        ),
        Column("findings"),
    )
    rows = (
        (
            *(cell.query, cell.tenant, cell.mode, cell.analysis.shape),
            *(cell.analysis.execution_ms, cell.analysis.planning_ms, cell.analysis.pages),
            tuple(finding.kind for finding in cell.analysis.findings),
        )
        for cell in matrix.cells.values()
    )
    return Table(columns, tuple(rows))


def nodes_table(analyses: Iterable[tuple[str, PlanAnalysis]]) -> Table:
    """Return one row a node of some plans, each under its query's name."""
    columns = [Column(name) for name in ("query", *_NODE_FIELDS)]
    rows = (
        (query, *(getattr(node, name) for name in _NODE_FIELDS))
        for query, analysis in analyses
        for node in analysis.nodes
    )
    return Table(tuple(columns), tuple(rows))


def findings_table(found: Sequence[PlanFinding]) -> Table:
    """Return one row a finding of a plan, with its mend."""
    names = ("kind", "subject", "reason", "mend")
    rows = ((_kind(one.kind), one.subject, one.reason, one.mend) for one in found)
    return Table(tuple(Column(name) for name in names), tuple(rows))


def _kind(kind: str) -> TextCell:
    """Return a finding's kind as people read it."""
    return TextCell(kind, kind.replace("_", " "))


def _waited(judgement: Judgement, place: int) -> str:
    row = judgement.sufferers.get(place)
    if row is None:
        return "–"
    latency_ms = judgement.samples["latency_ms"].iloc[row]
    return f"{judgement.samples['endpoint'].iloc[row]}, {number(latency_ms)} ms"


def _cost(cell: PlanCell) -> tuple[float | None, int | None]:
    return cell.analysis.execution_ms, cell.analysis.pages


def _reads(analysis: PlanAnalysis) -> str:
    nodes = analysis.nodes
    shown = [
        f"{node.type} on {node.relation}" + (f" by {node.index}" if node.index else "")
        for node in nodes
        if node.relation is not None
    ]
    return "; ".join(dict.fromkeys(shown)) or nodes[0].type
