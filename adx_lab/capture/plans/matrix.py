"""How PostgreSQL executes every named query: for each kind of tenant, with a custom and with a generic plan.

Each query is really prepared, since what PostgreSQL does with a prepared statement is the question, and
really executed, in a read-only transaction; a statement that writes is only planned, since a measurement
leaves nothing behind. What the planner knew (settings, indexes, sizes, statistics) is kept beside the plans:
without it nobody can say later why one changed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from adx_lab.capture.database.statements import connected
from adx_lab.capture.plans.arguments import Arguments, arguments_of
from adx_lab.capture.plans.guarded import MODES, call_of, guarded, prepared, quoted
from adx_lab.capture.plans.planner import NEARBY, describe_planner, outline, plan_nearby
from adx_lab.errors import MeasurementError
from adx_lab.sql import Query, load_queries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FORMAT = 1
_OWN = load_queries(Path(__file__).parent)
_STATEMENT_TIMEOUT_MS = 10_000
_EXECUTIONS = 2
"""The first warms the pages up; the second is kept."""
_FULL = "ANALYZE, BUFFERS, VERBOSE, SETTINGS, FORMAT JSON"
_PLANNED = "VERBOSE, SETTINGS, FORMAT JSON"
_SAMPLES = (
    "plans.sample_user",
    "plans.sample_file",
    "plans.sample_session",
    "plans.sample_run",
    "plans.sample_period",
)


@dataclass(frozen=True, slots=True)
class _Case:
    """One cell of the matrix."""

    query: Query
    arguments: Arguments
    mode: str

    def call(self, name: str) -> str:
        """Return what EXECUTE is given."""
        return call_of(name, [quoted(self.arguments.values[parameter]) for parameter, _ in self.query.params])


async def capture_matrix(
    database_url: str,
    queries_folder: Path,
    *,
    only: Sequence[str] | None = None,
    execute_writes: bool = False,
) -> dict[str, Any]:
    """Explain every named query for {whale, median, small, absent tenant} x {custom, generic plan}.

    Parameters
    ----------
    only
        The names of the queries to explain; all where left out.
    execute_writes
        Whether statements that write are executed too, and rolled back. Even so they leave dead rows and
        cleared visibility bits, and the next capture reads more pages: for a clone that is thrown away
        afterwards. Where left out they are only planned.

    Returns
    -------
    dict
        ``plans``: a list of ``query``, ``tenant`` (its kind), ``mode``, ``arguments``, ``plan``
        (PostgreSQL's own document), ``near`` (what it would become if costs were a little different; empty
        but for ties) and ``error`` (why a statement that writes could only be planned). Beside it what the
        planner knew: ``settings``, ``tables``, ``indexes``, ``tenants``, ``queries``; and ``faults``, the
        cells that are missing.

    Raises
    ------
    MeasurementError
        There is no tenant, or the database is not the core's.
    """
    queries = load_queries(queries_folder)
    chosen = [queries[name] for name in queries if only is None or name in only]
    async with connected(database_url) as connection:
        async with guarded(connection, statement_timeout_ms=_STATEMENT_TIMEOUT_MS):
            matrix = await _surroundings(connection)
            samples = await _samples(connection, matrix)
        matrix["queries"] = {query.name: {"text": query.sql, "writes": query.writes} for query in chosen}
        for case in _cases(chosen, samples):
            await _capture(connection, case, matrix, execute=execute_writes or not case.query.writes)
    return matrix


async def capture_resampled(
    database_url: str, queries_folder: Path, *, rounds: int, only: Sequence[str] | None = None
) -> dict[str, Any]:
    """Capture, then plan everything again after each of some ANALYZEs: what changes with the sample is a tie.

    For a clone that is thrown away afterwards, since it writes new statistics.

    Parameters
    ----------
    rounds
        How many times it is analysed.
    only
        As in `capture_matrix`.

    Returns
    -------
    dict
        As `capture_matrix`; ``near`` holds also what another sample of the same rows made of a plan.
    """
    matrix = await capture_matrix(database_url, queries_folder, only=only)
    for _ in range(rounds):
        async with connected(database_url) as connection:
            await connection.execute("ANALYZE")
        await _replan(database_url, queries_folder, matrix)
    return matrix


async def _replan(database_url: str, queries_folder: Path, matrix: dict[str, Any]) -> None:
    """Plan each cell of a matrix again, and keep what differs beside it."""
    queries = load_queries(queries_folder)
    async with connected(database_url) as connection:  # a new one: an old one's plans are cached
        for cell in matrix["plans"]:
            arguments = Arguments(cell["tenant"], cell["arguments"])
            case = _Case(queries[cell["query"]], arguments, cell["mode"])
            plan, _ = await _explain(connection, case, execute=False)
            if outline(json.dumps(plan)) != outline(json.dumps(cell["plan"])):
                cell["near"].append(plan)


async def _surroundings(connection: asyncpg.Connection) -> dict[str, Any]:
    found = {"format": FORMAT, **await describe_planner(connection)}
    return found | {"tenants": {}, "queries": {}, "plans": [], "faults": []}


async def _samples(connection: asyncpg.Connection, matrix: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the sample values of each kind of tenant, and describe the tenants in the matrix."""
    try:
        tenants = await connection.fetch(_OWN["plans.tenants"].sql)
    except asyncpg.PostgresError as error:
        raise MeasurementError(
            f"the database holds no tenants to capture plans for: {error}",
            mend="name another database, or explain its statements with `plans --database URL`",
        ) from error
    if not tenants:
        raise MeasurementError("the database holds no tenants to capture plans for", mend="load the data set")
    samples = {}
    for tenant in tenants:
        rows = await connection.fetch(_OWN["plans.tenant_rows"].sql, tenant["tenant_id"])
        sizes = {row["relname"]: row["rows"] for row in rows}
        matrix["tenants"][tenant["kind"]] = {"id": str(tenant["tenant_id"]), "rows": sizes}
        samples[tenant["kind"]] = await _sample(connection, tenant["tenant_id"])
    matrix["tenants"]["absent"] = {"id": None, "rows": {}}
    return samples | {"absent": {}}


async def _sample(connection: asyncpg.Connection, tenant_id: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"tenant": tenant_id}
    for name in _SAMPLES:
        found[name.removeprefix("plans.sample_")] = await connection.fetchrow(_OWN[name].sql, tenant_id)
    return found


def _cases(queries: Sequence[Query], samples: Mapping[str, Mapping[str, Any]]) -> Iterator[_Case]:
    for query in queries:
        for kind, sample in samples.items():
            arguments = arguments_of(query, kind, sample)
            yield from (_Case(query, arguments, mode) for mode in MODES)


async def _capture(
    connection: asyncpg.Connection, case: _Case, matrix: dict[str, Any], *, execute: bool
) -> None:
    """Explain one cell; what can't be explained is a fault of the matrix, not the end of it."""
    cell = {
        "query": case.query.name,
        "tenant": case.arguments.tenant_kind,
        "mode": case.mode,
        "arguments": dict(case.arguments.values),
    }
    error = None
    try:
        try:
            plan, near = await _explain(connection, case, execute=execute)
        except asyncpg.PostgresError as refused:
            # A statement that writes may break a constraint with made-up values: its plan is still a plan.
            error = str(refused)
            plan, near = await _explain(connection, case, execute=False)
    except asyncpg.PostgresError as refused:
        matrix["faults"].append({**cell, "error": str(refused)})
        return
    matrix["plans"].append({**cell, "plan": plan, "near": near, "error": error})


async def _explain(
    connection: asyncpg.Connection, case: _Case, *, execute: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    limits = guarded(connection, statement_timeout_ms=_STATEMENT_TIMEOUT_MS, readonly=not case.query.writes)
    async with limits, prepared(connection, case.query.sql, case.mode) as name:
        call = case.call(name)
        near = [await plan_nearby(connection, call, change) for change in NEARBY]
        for number in range(_EXECUTIONS if execute else 1):
            if case.query.writes and number:
                break  # the second would find what the first has written
            text = await connection.fetchval(f"EXPLAIN ({_FULL if execute else _PLANNED}) EXECUTE {call}")
    document: dict[str, Any] = json.loads(text)[0]
    return document, [json.loads(other)[0] for other in near if outline(other) != outline(text)]
