"""The template database with the data set, and the clones that cores work on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import asyncpg

from adx_lab.errors import StackError, UsageError
from adx_lab.secrecy import shown_url
from adx_lab.sql import load_queries

_QUERIES = load_queries(Path(__file__).parent)
_TEMPLATES_KEPT = 4


class Cluster(Protocol):
    """A PostgreSQL server with room for databases of ours."""

    def url(self, database: str = "postgres") -> str:
        """Return the URL of one of its databases."""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Connect for the length of the block.

    Raises
    ------
    StackError
        Nobody answers at the URL, or it refuses us.
    """
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise StackError(
            f"the database at {shown_url(url)} can't be reached: {error or type(error).__name__}",
            mend="check the URL, the server and the account's rights",
        ) from error
    try:
        yield connection
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StackError(f"the database at {shown_url(url)} refuses: {error}") from error
    finally:
        await connection.close()


async def ensure_template(
    postgres: Cluster,
    digest: str,
    fill: Callable[[str], Awaitable[None]],
    *,
    keep: Collection[str] = (),
) -> str:
    """Return the name of the template with this digest, made by ``fill`` where it is missing.

    It is built under another name and renamed when complete, so that an interrupted one is never cloned. Of
    the older ones the oldest give way, but for those to ``keep``: another variant is about to be cloned.

    Parameters
    ----------
    digest
        Of all that shapes the rows: a changed schema can't meet an old template.
    fill
        Puts the rows into the database of the URL that it is called with.
    """
    name = f"adx_template_{digest}"
    async with connected(postgres.url()) as connection:
        if await connection.fetchval(_QUERIES["databases.exists"].sql, name):
            return name
        building = name.replace("template", "building")
        await _drop(connection, building)
        await connection.execute(f'CREATE DATABASE "{building}"')
        try:
            await fill(postgres.url(building))
        except BaseException:
            await _drop(connection, building)
            raise
        await connection.execute(f'ALTER DATABASE "{building}" RENAME TO "{name}"')
        await _prune(connection, {name, *keep})
    return name


async def clone(postgres: Cluster, template: str, name: str, *, fresh: bool) -> str:
    """Return the URL of a database cloned from a template; an existing clone is kept unless ``fresh``."""
    async with connected(postgres.url()) as connection:
        origin = await connection.fetchval(_QUERIES["databases.origin"].sql, name)
        if fresh or origin != template:
            await _drop(connection, name)
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
            await connection.execute(f"""COMMENT ON DATABASE "{name}" IS '{template}'""")
    return postgres.url(name)


async def gather_statistics(url: str) -> None:
    """Let the planner know what a database holds: whether autovacuum came by must not be chance."""
    async with connected(url) as connection:
        await connection.execute("VACUUM (ANALYZE)")


async def hold_autovacuum(url: str) -> None:
    """Keep autovacuum off a clone's tables: one of two is visited first, and has other plans by chance."""
    async with connected(url) as connection:
        await connection.execute(_QUERIES["databases.hold_autovacuum"].sql)


async def drop(postgres: Cluster, name: str) -> None:
    """Remove a clone, cutting whoever is still connected."""
    async with connected(postgres.url()) as connection:
        await _drop(connection, name)


async def check_external(url: str) -> bool:
    """Tell whether somebody's own database holds the core's data set already.

    Raises
    ------
    UsageError
        It holds something else, or we may not make tables there: the lab never writes into a stranger's
        tables.
    StackError
        It can't be reached.
    """
    async with connected(url) as connection:
        tables = {row["name"] for row in await connection.fetch(_QUERIES["databases.tables"].sql)}
        if {"tenants", "users", "events"} <= tables:
            return True
        if tables:
            raise UsageError(
                f"the database at {shown_url(url)} holds tables that are not ADX Core's",
                mend="name an empty database, or measure your own service with --url",
            )
        if not await connection.fetchval(_QUERIES["databases.may_create"].sql):
            raise UsageError(
                f"the account of {shown_url(url)} may not create tables",
                mend="GRANT CREATE ON SCHEMA public to it",
            )
    return False


async def _drop(connection: asyncpg.Connection, name: str) -> None:
    await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _prune(connection: asyncpg.Connection, keep: Collection[str]) -> None:
    rows = await connection.fetch(_QUERIES["databases.templates"].sql)
    for row in rows[_TEMPLATES_KEPT:]:
        if row["name"] not in keep:
            await _drop(connection, row["name"])
