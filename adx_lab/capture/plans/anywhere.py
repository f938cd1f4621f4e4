"""Plans of any database's statements: those that ``pg_stat_statements`` says cost most, generic plans only.

Nothing is executed: a statement is prepared and its generic plan printed, in a read-only transaction that
waits for no lock for long and is rolled back.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from adx_lab.capture.database import connected
from adx_lab.capture.plans.matrix import describe_planner
from adx_lab.errors import StackError
from adx_lab.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Mapping

_OWN = load_queries(Path(__file__).parent)
_STATEMENT_TIMEOUT_MS, _LOCK_TIMEOUT_MS = 5_000, 500
_EXPLAINABLE = re.compile(
    r"\s*(?:/\*.*?\*/\s*)*\(*\s*(select|with|insert|update|delete|merge|values|table)\b",
    re.IGNORECASE | re.DOTALL,
)
_TENANT = "any"


async def capture_anywhere(database_url: str, *, statements_max: int = 20) -> dict[str, Any]:
    """Return the generic plans of a database's costliest statements, as `capture_matrix` returns a matrix.

    Each has a name made of its ``queryid``, the tenant ``any``, the mode ``generic``, and ``statistics``:
    calls, mean and total time, pages a call. What can't be explained is in ``faults``, with the reason.

    Raises
    ------
    StackError
        The database can't be reached, or ``pg_stat_statements`` can't be read.
    """
    async with connected(database_url) as connection:
        await connection.execute(f"SET statement_timeout = {_STATEMENT_TIMEOUT_MS}")
        await connection.execute(f"SET lock_timeout = {_LOCK_TIMEOUT_MS}")
        try:
            rows = await connection.fetch(_OWN["anywhere.statements"].sql, statements_max)
        except asyncpg.PostgresError as error:
            raise StackError(
                f"pg_stat_statements can't be read: {error}",
                mend="load it (shared_preload_libraries), CREATE EXTENSION, and grant pg_read_all_stats",
            ) from error
        matrix = await describe_planner(connection)
        matrix |= {"format": 1, "tenants": {}, "queries": {}, "plans": [], "faults": []}
        for row in rows:
            await _capture(connection, dict(row), matrix)
    return matrix


async def _capture(connection: asyncpg.Connection, row: Mapping[str, Any], matrix: dict[str, Any]) -> None:
    name = f"statement {row['queryid']}"
    cell = {"query": name, "tenant": _TENANT, "mode": "generic", "arguments": {}}
    matrix["queries"][name] = {"text": row["text"], "writes": None}
    statistics = {key: row[key] for key in ("calls", "total_ms", "mean_ms", "rows_a_call", "pages_a_call")}
    if not _EXPLAINABLE.match(row["text"]):
        matrix["faults"].append({**cell, "error": "not a statement that has a plan"})
        return
    try:
        plan = await _explain(connection, row["text"])
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        matrix["faults"].append({**cell, "error": str(error).splitlines()[0]})
        return
    matrix["plans"].append({**cell, "plan": plan, "near": [], "error": None, "statistics": statistics})


async def _explain(connection: asyncpg.Connection, text: str) -> dict[str, Any]:
    transaction = connection.transaction(readonly=True)
    await transaction.start()
    try:
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        # `fetch` sends one statement only: a text that held a second one would be refused by the server.
        await connection.fetch(f"PREPARE adx_anywhere AS {text}")
        parameters = await connection.fetchval(_OWN["anywhere.parameters"].sql)
        call = f"adx_anywhere({', '.join(['NULL'] * parameters)})" if parameters else "adx_anywhere"
        plan = await connection.fetchval(f"EXPLAIN (VERBOSE, SETTINGS, FORMAT JSON) EXECUTE {call}")
    finally:
        await transaction.rollback()
        await connection.execute("DEALLOCATE ALL")
    document: dict[str, Any] = json.loads(plan)[0]
    return document
