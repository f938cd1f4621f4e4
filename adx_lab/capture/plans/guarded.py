"""A visit to a database that leaves nothing behind, also where a pooler hands the connection on to others.

Everything happens within one transaction that is rolled back: settings are local to it, and what a rollback
does not undo (prepared statements) has a name of our own and is taken away by that name. What
``pg_stat_statements`` remembers of a visit must not push out what the service asks: it holds some thousand
texts, and each EXPLAIN of another text is one. Where we may, nothing is counted; elsewhere a statement is
explained in the same words at every visit.
"""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from adx_lab.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import asyncpg

MODES = {"custom": "force_custom_plan", "generic": "force_generic_plan"}
LOCK_TIMEOUT_MS = 500

_OWN = load_queries(Path(__file__).parent)


@asynccontextmanager
async def guarded(
    connection: asyncpg.Connection, *, statement_timeout_ms: int, readonly: bool = True
) -> AsyncIterator[None]:
    """Open a transaction for the length of the block, with its own limits, and roll it back.

    Parameters
    ----------
    statement_timeout_ms
        How long one statement may take; a lock is waited for half a second at most.
    readonly
        Whether the server refuses to write.
    """
    # Said in full: the database may have other defaults, and a standby refuses to be serializable.
    transaction = connection.transaction(isolation="read_committed", readonly=readonly)
    await transaction.start()
    try:
        await set_local(
            connection,
            {"statement_timeout": str(statement_timeout_ms), "lock_timeout": str(LOCK_TIMEOUT_MS)},
        )
        await connection.fetch(_OWN["plans.uncounted"].sql)
        yield
    finally:
        await transaction.rollback()


@asynccontextmanager
async def prepared(
    connection: asyncpg.Connection, text: str, mode: str, settings: Mapping[str, str] | None = None
) -> AsyncIterator[str]:
    """Prepare a statement within the transaction for the length of the block, and undo everything in it.

    Yields the name that EXECUTE takes. Locks that planning took are given back as well, since the block is
    a savepoint.

    Parameters
    ----------
    mode
        ``custom`` or ``generic``.
    settings
        What is set while it is prepared and executed.
    """
    name = f"adx_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    point = connection.transaction()
    await point.start()
    made = False
    try:
        await set_local(connection, {"plan_cache_mode": MODES[mode], **(settings or {})})
        if await connection.fetchval(_OWN["plans.prepared"].sql, name):
            # Of a visit that was killed; a pooler has handed us its connection.
            await connection.execute(f"DEALLOCATE {name}")
        # `fetch` sends one statement only: a text that held a second one would be refused by the server.
        await connection.fetch(f"PREPARE {name} AS {text}")
        made = True
        yield name
    finally:
        await point.rollback()
        if made:
            await connection.execute(f"DEALLOCATE {name}")


async def set_local(connection: asyncpg.Connection, settings: Mapping[str, str]) -> None:
    """Set something until the end of the transaction or savepoint."""
    for setting, value in settings.items():
        # A list of names, such as a search path, is several words and must not become one.
        await connection.fetch("SELECT set_config($1, $2, true)", setting, value)


def quoted(value: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def quoted_name(identifier: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def call_of(name: str, values: list[str]) -> str:
    """Return what EXECUTE is given; values are SQL already."""
    return f"{name}({', '.join(values)})" if values else name
