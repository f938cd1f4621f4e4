"""What the database did during a run: the difference of ``pg_stat_statements``, and how it is set."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg

from adx_lab.errors import StackError
from adx_lab.sql import Query, load_queries

_QUERIES = load_queries(Path(__file__).parent)
_NAME_MAX = 120
_CONSTANT = re.compile(
    r"(?:\b[EeBbXxNn])?'(?:[^']|'')*'|\$\d+|(?<![\w.])(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\b"
)
_WORD_CONSTANT = re.compile(r"(?<!is )(?<!not )\b(?:true|false|null)\b")
_CONTROL = ("begin", "commit", "rollback", "start transaction", "set ", "show ", "reset ", "discard ",
            "deallocate ", "savepoint ", "release ")  # fmt: skip
_COUNTERS = ("calls", "total_ms", "rows", "shared_hit", "shared_read", "temp_written", "wal_bytes")

Statements = Mapping[int, Mapping[str, Any]]
"""Statement statistics by ``queryid``."""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect for the length of the block, under a name that shows in ``pg_stat_activity``.

    Raises
    ------
    StackError
        Nobody answers, or it refuses us.
    """
    try:
        connection = await asyncpg.connect(
            url, timeout=10, server_settings={"application_name": "adx-lab capture"}, statement_cache_size=0
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise StackError(f"the database can't be reached for capture: {error}") from error
    try:
        yield connection
    finally:
        await connection.close()


async def read_statements(connection: asyncpg.Connection) -> Statements:
    """Return the statement statistics of the connection's database.

    Raises
    ------
    StackError
        The extension ``pg_stat_statements`` is missing or may not be read, or shows this role nothing.
    """
    try:
        rows = await connection.fetch(_QUERIES["statements.read"].sql)
    except asyncpg.PostgresError as error:
        raise StackError(
            f"pg_stat_statements can't be read: {error}",
            mend="load it (shared_preload_libraries), CREATE EXTENSION, and grant pg_read_all_stats",
        ) from error
    shown = {row["queryid"]: dict(row) for row in rows if row["queryid"] is not None}
    # A role sees its own statements in any case, and a service may well be asked as itself.
    if len(shown) < len(rows) and not any(is_asked(str(row["text"])) for row in shown.values()):
        raise StackError(
            "the statements of other roles are hidden from the role that reads the database",
            mend="GRANT pg_read_all_stats TO it (adx-lab init writes the script)",
        )
    return shown


async def count_connections(connection: asyncpg.Connection) -> int:
    """Return the number of clients connected to this database, without the lab's own connection."""
    return int(await connection.fetchval(_QUERIES["connections.count"].sql))


async def describe_database(connection: asyncpg.Connection) -> dict[str, Any]:
    """Return the server's version and every setting that is not its default."""
    rows = await connection.fetch(_QUERIES["settings.changed"].sql)
    return {
        "version": await connection.fetchval(_QUERIES["version.read"].sql),
        "settings": {row["name"]: f"{row['setting']}{row['unit'] or ''}" for row in rows},
    }


def statement_rows(before: Statements, after: Statements, named: Mapping[str, Query]) -> list[dict[str, Any]]:
    """Return one row a statement that ran in between, dearest first.

    Parameters
    ----------
    before, after
        Two readings; a statement that is missing before is new.
    named
        The service's named queries, to give each statement its name.
    """
    names = {normal(query.sql): name for name, query in named.items()}
    rows = []
    for queryid, now in after.items():
        then = before.get(queryid, {})
        grown = {key: float(now[key]) - float(then.get(key, 0)) for key in _COUNTERS}
        if grown["calls"] > 0:
            rows.append(
                {
                    "query": names.get(normal(now["text"])),
                    "queryid": queryid,
                    "mean_ms": grown["total_ms"] / grown["calls"],
                    "text": now["text"],
                    **{key: value if key == "total_ms" else int(value) for key, value in grown.items()},
                }
            )
    return sorted(rows, key=lambda row: -float(row["total_ms"]))


def statement_name(text: str) -> str:
    """Return what a statement is called that nobody named: its text, cut where it is long."""
    line = normal(text)
    if len(line) <= _NAME_MAX:
        return line
    return f"{line[: _NAME_MAX - 8]}… {hashlib.sha256(line.encode()).hexdigest()[:6]}"


def is_asked(text: str) -> bool:
    """Tell whether a service asks for something: transactions and looks at the statistics do not."""
    line = normal(text)
    return line not in _own_texts() and not (
        line.startswith(_CONTROL) or "pg_stat_" in line or "pg_catalog" in line
    )


@cache
def _own_texts() -> frozenset[str]:
    """Return what the lab itself asks a service's database, which says nothing of the service."""
    return frozenset(normal(query.sql) for query in _QUERIES.values())


def normal(sql: str) -> str:
    """Return a text as two readings of one statement have in common: no comments, constants or case."""
    without_comments = re.sub(r"--[^\n]*|/\*.*?\*/", " ", sql, flags=re.DOTALL)
    # PostgreSQL takes a constant's sign for a part of it, and counts true, false and NULL among constants.
    without_values = _CONSTANT.sub("?", without_comments).replace("-?", "?")
    line = " ".join(without_values.lower().split()).rstrip("; ")
    return _WORD_CONSTANT.sub("?", line)
