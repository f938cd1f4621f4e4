"""The plan of one statement that a person typed: executed where it only reads, and rolled back."""

from __future__ import annotations

import json
from typing import Any

import asyncpg

from adx_lab.capture.database.statements import connected
from adx_lab.capture.plans.guarded import guarded
from adx_lab.capture.plans.planner import describe_planner
from adx_lab.errors import UsageError

_STATEMENT_TIMEOUT_MS = 10_000
_FULL, _PLANNED = "ANALYZE, BUFFERS, VERBOSE, SETTINGS, FORMAT JSON", "VERBOSE, SETTINGS, FORMAT JSON"
TYPED = "typed"
"""The name of the statement in what `explain_statement` returns."""


async def explain_statement(database_url: str, text: str, *, execute: bool = True) -> dict[str, Any]:
    """Return the plan of one statement, as `capture_matrix` returns a matrix of one cell.

    A statement that writes is only planned, and the cell's ``error`` says so: the transaction is read-only.

    Parameters
    ----------
    text
        One statement, without parameters.
    execute
        Whether to execute it (EXPLAIN ANALYZE), twice: the first warms the pages up.

    Raises
    ------
    UsageError
        PostgreSQL refuses the statement, or it takes longer than ten seconds.
    StackError
        The database can't be reached.
    """
    statement = text.strip().rstrip(";").strip()
    if not statement:
        raise UsageError("there is no statement to explain", mend="write one below %%explain")
    async with connected(database_url) as connection:
        async with guarded(connection, statement_timeout_ms=_STATEMENT_TIMEOUT_MS):
            matrix = await describe_planner(connection)
        error = None
        try:
            try:
                plan = await _explain(connection, statement, execute=execute)
            except asyncpg.ReadOnlySQLTransactionError:
                error = "the statement writes: it was planned, not executed"
                plan = await _explain(connection, statement, execute=False)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as refused:
            said = str(refused).splitlines()[0]
            raise UsageError(f"PostgreSQL refuses the statement: {said}", mend="correct it") from refused
    cell = {"query": TYPED, "tenant": "", "mode": "custom", "arguments": {}, "plan": plan, "near": []}
    queries = {TYPED: {"text": statement, "writes": error is not None}}
    return matrix | {"tenants": {}, "queries": queries, "plans": [{**cell, "error": error}], "faults": []}


async def _explain(connection: asyncpg.Connection, statement: str, *, execute: bool) -> dict[str, Any]:
    options = _FULL if execute else _PLANNED
    async with guarded(connection, statement_timeout_ms=_STATEMENT_TIMEOUT_MS, readonly=execute):
        for _ in range(2 if execute else 1):
            # `fetchval` sends one statement only: a text that held a second one would be refused.
            plan = await connection.fetchval(f"EXPLAIN ({options}) {statement}")
    document: dict[str, Any] = json.loads(plan)[0]
    return document
