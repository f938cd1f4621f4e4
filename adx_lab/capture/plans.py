"""How PostgreSQL executes each named query: its plan for a large and for a small tenant, custom and generic.

Each is really prepared and really executed, in a transaction that is rolled back: nothing is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg

from adx_lab.capture.database import connected
from adx_lab.errors import MeasurementError
from adx_lab.sql import Query, load_queries

_OWN = load_queries(Path(__file__).parent)
_MODES = {"custom": "force_custom_plan", "generic": "force_generic_plan"}
_ABSENT = "00000000-0000-4000-8000-000000000000"
_STATEMENT_TIMEOUT_MS = 10_000


async def capture_plans(database_url: str, queries_folder: Path) -> list[dict[str, Any]]:
    """Explain every named query for the whale and a small tenant, with a custom and a generic plan.

    Returns
    -------
    list of dict
        ``query``, ``tenant`` (its kind), ``mode``, ``arguments`` and ``plan``: PostgreSQL's own document.

    Raises
    ------
    MeasurementError
        A query can't be explained.
    """
    queries = load_queries(queries_folder)
    captured = []
    async with connected(database_url) as connection:
        await connection.execute(f"SET statement_timeout = {_STATEMENT_TIMEOUT_MS}")
        for tenant in await connection.fetch(_OWN["plans.tenants"].sql):
            values = await _sample_values(connection, tenant["tenant_id"])
            for query in queries.values():
                for mode in _MODES:
                    document = await _explain(connection, query, values, mode)
                    arguments = {name: values[placeholder] for name, placeholder in query.params}
                    captured.append(
                        {
                            "query": query.name,
                            "tenant": tenant["kind"],
                            "mode": mode,
                            "arguments": arguments,
                            "plan": document,
                        }
                    )
    return captured


async def _sample_values(connection: asyncpg.Connection, tenant_id: Any) -> Mapping[str, str]:
    user = await connection.fetchrow(_OWN["plans.sample_user"].sql, tenant_id)
    file_id = await connection.fetchval(_OWN["plans.sample_file"].sql, tenant_id)
    if user is None:
        raise MeasurementError(f"tenant {tenant_id} has no active user to explain queries for")
    return {
        "$tenant": str(tenant_id),
        "$user": str(user["id"]),
        "$email": user["email"],
        "$file": str(file_id or _ABSENT),
        "$session": _ABSENT,
        "$run": _ABSENT,
        "$uuid": _ABSENT,
        "$cursor_created_at": user["created_at"].isoformat(),
        "$cursor_id": str(user["id"]),
        "$now": user["created_at"].isoformat(),
        "$limit": "50",
        "$offset": "0",
        "$text": "sample",
        "$bool": "true",
        "$int": "1",
        "$json": "{}",
        "$bytes": r"\x00",
        "$texts": "{sample}",
        "$uuids": f"{{{user['id']}}}",
    }


async def _explain(
    connection: asyncpg.Connection, query: Query, values: Mapping[str, str], mode: str
) -> dict[str, Any]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"SET LOCAL plan_cache_mode = {_MODES[mode]}")
        await connection.execute(f"PREPARE adx_explained AS {query.sql}")
        arguments = ", ".join(_literal(values[placeholder]) for _, placeholder in query.params)
        call = f"adx_explained({arguments})" if arguments else "adx_explained"
        text = await connection.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, VERBOSE, SETTINGS, FORMAT JSON) EXECUTE {call}"
        )
    except asyncpg.PostgresError as error:
        raise MeasurementError(f"the query {query.name} can't be explained: {error}") from error
    finally:
        await transaction.rollback()
        await connection.execute("DEALLOCATE ALL")
    document: dict[str, Any] = json.loads(text)[0]
    return document


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
