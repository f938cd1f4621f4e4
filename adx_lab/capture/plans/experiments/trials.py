"""Indexes tried before they are advised: made on a clone, or pretended where the database has HypoPG.

On a clone they are really made, in a transaction that is rolled back, and the statement is executed. With
HypoPG nothing is made or executed: the planner is told of an index that is none, and forgets it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from adx_lab.capture.database.statements import connected
from adx_lab.capture.plans.guarded import call_of, guarded, prepared
from adx_lab.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

_OWN = load_queries(Path(__file__).parent)
_STATEMENT_TIMEOUT_MS = 60_000
NO_HYPOPG = "there is no clone of this database, and HypoPG is not installed in it"
_EXECUTED = "ANALYZE, BUFFERS, FORMAT JSON"
PLANNED = "FORMAT JSON"


@dataclass(frozen=True, slots=True)
class Proposal:
    """Indexes that shall serve a statement; ``values`` are its arguments as SQL."""

    query: str
    text: str
    indexes: tuple[str, ...]
    values: tuple[str, ...] = ()
    mode: str = "custom"
    settings: Mapping[str, str] = field(default_factory=dict)


async def try_on_clone(clone_url: str, proposals: Sequence[Proposal]) -> list[dict[str, Any]]:
    """Make each proposal's indexes on a clone, execute the statement before and after, and roll back.

    Returns
    -------
    list of dict
        ``query``, ``indexes``, ``how``, and ``used``, ``before`` and ``after`` (cost, pages, ms), ``bytes``,
        ``writes``; or ``error`` where it could not be tried.
    """
    async with connected(clone_url) as connection:
        writes = await writes_of(connection)
        return [await _tried(connection, item, writes, how="on a clone", schema=None) for item in proposals]


async def try_pretended(database_url: str, proposals: Sequence[Proposal]) -> list[dict[str, Any]]:
    """Tell the planner of each proposal's indexes by HypoPG, where the database has it; nothing is executed.

    Returns
    -------
    list of dict
        As `try_on_clone`, without pages and times; all with ``error`` where there is no HypoPG.
    """
    async with connected(database_url) as connection, guarded(connection, statement_timeout_ms=5_000):
        schema = await connection.fetchval(_OWN["trials.hypopg"].sql)
        if schema is None:
            return [{"query": item.query, "indexes": item.indexes, "error": NO_HYPOPG} for item in proposals]
        writes = await writes_of(connection)
        found = []
        for item in proposals:
            point = connection.transaction()
            await point.start()
            try:
                found.append(await _tried(connection, item, writes, how="with HypoPG", schema=schema))
            finally:
                await point.rollback()
        return found


async def _tried(
    connection: asyncpg.Connection,
    proposal: Proposal,
    writes: Mapping[str, Mapping[str, Any]],
    *,
    how: str,
    schema: str | None,
) -> dict[str, Any]:
    told = {"query": proposal.query, "indexes": proposal.indexes, "how": how, "error": None}
    try:
        if schema is None:
            async with guarded(connection, statement_timeout_ms=_STATEMENT_TIMEOUT_MS, readonly=False):
                return told | await _made(connection, proposal) | written(proposal, writes)
        return told | await _pretended(connection, proposal, schema) | written(proposal, writes)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return told | {"error": str(error).splitlines()[0]}


async def _made(connection: asyncpg.Connection, proposal: Proposal) -> dict[str, Any]:
    await explain(connection, proposal, _EXECUTED)  # warms the pages up
    before = await explain(connection, proposal, _EXECUTED)
    known = {row["oid"] for row in await connection.fetch(_OWN["trials.indexes"].sql)}
    for statement in proposal.indexes:
        await connection.execute(statement)
        await connection.execute(f"ANALYZE {table_of(statement)}")  # an expression has statistics of its own
    made = [row for row in await connection.fetch(_OWN["trials.indexes"].sql) if row["oid"] not in known]
    after = await explain(connection, proposal, _EXECUTED)
    return compared(before, after, {row["name"] for row in made}, sum(row["bytes"] for row in made))


async def _pretended(connection: asyncpg.Connection, proposal: Proposal, schema: str) -> dict[str, Any]:
    before = await explain(connection, proposal, PLANNED)
    async with _pretending(connection, proposal.indexes, schema) as made:
        after = await explain(connection, proposal, PLANNED)
    return compared(before, after, {row["name"] for row in made}, sum(row["bytes"] for row in made))


@asynccontextmanager
async def _pretending(
    connection: asyncpg.Connection, indexes: Sequence[str], schema: str
) -> AsyncIterator[list[Any]]:
    """Pretend indexes for the length of the block: they belong to the connection, so that they must go."""
    made: list[Any] = []
    point = connection.transaction()
    await point.start()
    try:
        pretend = _OWN["trials.pretend"].sql.format(schema=schema)
        for statement in indexes:
            made += await connection.fetch(pretend, statement)
        yield made
    finally:
        await point.rollback()
        for row in made:
            await connection.fetchval(_OWN["trials.forget"].sql.format(schema=schema), row["oid"])


async def explain(connection: asyncpg.Connection, proposal: Proposal, options: str) -> dict[str, Any]:
    """Return the plan of a proposal's statement, with its values, in its mode, under its settings."""
    async with prepared(connection, proposal.text, proposal.mode, proposal.settings) as name:
        call = call_of(name, list(proposal.values))
        text = await connection.fetchval(f"EXPLAIN ({options}) EXECUTE {call}")
    document: dict[str, Any] = json.loads(text)[0]
    return document


def looking_for(table: str, columns: Sequence[str]) -> str:
    """Return a statement that looks for what refers to a row, as the server does for each that is deleted."""
    mine, its = ([f"{side}.{column}" for column in columns] for side in ("x", "y"))
    parts = {"table": table, "mine": ", ".join(mine), "its": ", ".join(its), "first": its[0]}
    return _OWN["trials.looking_for"].sql.format(**parts)


def compared(
    before: Mapping[str, Any], after: Mapping[str, Any], names: set[str], size: int
) -> dict[str, Any]:
    """Return what came of indexes of these names: whether the plan after has one, and both plans' figures."""
    return {
        "used": bool(names & set(_indexes_in(after["Plan"]))),
        "before": _figures(before),
        "after": _figures(after),
        "bytes": size,
    }


def _figures(document: Mapping[str, Any]) -> dict[str, Any]:
    plan = document["Plan"]
    pages = plan.get("Shared Hit Blocks")
    return {
        "cost": plan["Total Cost"],
        "pages": None if pages is None else pages + plan["Shared Read Blocks"],
        "ms": document.get("Execution Time"),
    }


def _indexes_in(plan: Mapping[str, Any]) -> list[str]:
    found, waiting = [], [plan]
    while waiting:
        node = waiting.pop()
        if "Index Name" in node:
            found.append(str(node["Index Name"]))
        waiting += node.get("Plans", ())
    return found


async def writes_of(connection: asyncpg.Connection) -> dict[str, Mapping[str, Any]]:
    """Return what was written to each table, and how many indexes it has."""
    return {row["name"]: dict(row) for row in await connection.fetch(_OWN["trials.writes"].sql)}


def written(proposal: Proposal, writes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a proposal's tables are written to, which each index makes dearer."""
    tables = {table_of(statement).replace('"', "").removeprefix("public.") for statement in proposal.indexes}
    known = [writes[table] for table in tables if table in writes]
    return {
        "writes": sum(int(item["writes"]) for item in known),
        "indexes_there": sum(int(item["indexes"]) for item in known),
    }


def table_of(statement: str) -> str:
    """Return the table of ``CREATE INDEX ON table …`` as SQL."""
    target = statement.partition(" ON ")[2]
    in_quotes = False
    for position, letter in enumerate(target):
        if letter == '"':
            in_quotes = not in_quotes
        elif letter in " (" and not in_quotes:
            return target[:position]
    return target
