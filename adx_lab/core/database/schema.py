"""Tables and indexes: made where they are missing, and brought into line with the rule ``db.indexes``."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from adx_lab.core.database.database import QUERIES, connect
from adx_lab.core.errors import ConfigError, CoreError
from adx_lab.core.monitoring.logs import log

if TYPE_CHECKING:
    from collections.abc import Iterable

    from adx_lab.core.settings import Settings
    from adx_lab.core.sql import Query

_FOLDER = Path(__file__).parent
_INDEX = re.compile(
    r"CREATE (?P<unique>UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (?P<name>\w+)\s+ON (?P<table>\w+)"
)
_LOCK = 0x_AD_C0_5D
_TURN_S = 0.1
_POOLER_S, _POOLER_TRIES = 5.0, 3
_DROP = """
DROP VIEW IF EXISTS tenant_sizes;
DROP TABLE IF EXISTS alembic_version, schema_versions, workflow_runs, events, files, refresh_tokens, sessions,
user_roles, roles, users, tenants;
"""
_REVISIONS = [
    path.stem.removeprefix("revision_")
    for path in sorted((_FOLDER / "migrations" / "versions").glob("revision_*.py"))
]
LATEST = _REVISIONS[-1]
_logger = logging.getLogger("adx_lab.core.database.schema")


def migrate(settings: Settings) -> None:
    """Bring a database into line with the settings; run again, it changes nothing.

    Raises
    ------
    CoreError
        The database can't be reached, or does not let us.
    """
    asyncio.run(_migrate(settings))


async def open_database(url: str, *, statement_cache_size: int = 100) -> asyncpg.Connection:
    """Connect for work outside of the service.

    Raises
    ------
    CoreError
        The database can't be reached.
    """
    try:
        return await connect(url, statement_cache_size=statement_cache_size)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise CoreError(f"ADX_CORE_DATABASE_URL: the database can't be reached: {error}") from error


async def has_tables(connection: asyncpg.Connection) -> bool:
    """Return whether the tables are there."""
    found: bool = await connection.fetchval("SELECT to_regclass('users') IS NOT NULL")
    return found


async def take_turn(connection: asyncpg.Connection) -> None:
    """Wait until nobody else changes the schema, and keep others from it while the connection lives."""
    # Tried again and again: who waits for a lock has a snapshot, and CREATE INDEX CONCURRENTLY waits for it.
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110
        await asyncio.sleep(_TURN_S)


async def make_tables(connection: asyncpg.Connection, url: str) -> None:
    """Bring the tables to the revision that this core knows, whole or not at all; for who has the turn.

    Raises
    ------
    ConfigError
        The database is of a newer core.
    CoreError
        It does not let us.
    """
    told = await _told(connection)
    reached = told or await _reached(connection)
    _refuse_newer(reached)
    if told != LATEST:
        logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each of its plugins
        from adx_lab.core.database.migrations import upgrade  # noqa: PLC0415  # serving needs none of it

        await upgrade(url, reached=None if told else reached)
        log(_logger, logging.INFO, "migrated", reached=reached, version=LATEST)


async def check_schema(connection: asyncpg.Connection, queries: Iterable[Query]) -> None:
    """Refuse a database that this core can't work with: too old, too new, or changed by hand.

    Raises
    ------
    ConfigError
        With the mend.
    """
    version = await _told(connection) or await _reached(connection)
    _refuse_newer(version)
    if version != LATEST:
        found = "has no tables yet" if version is None else f"is at version {version} of {LATEST}"
        raise ConfigError(f"the database {found}; run: python -m adx_lab.core migrate")
    await connection.execute("SET lock_timeout = '200ms'")
    try:
        for query in queries:
            await connection.prepare(query.sql)
    except asyncpg.LockNotAvailableError:
        return  # a migration or a backup has a table now; that is no reason not to start
    except asyncpg.PostgresError as error:
        raise ConfigError(
            f"the database's schema is not version {LATEST} as it was made: {error} (query {query.name})"
        ) from error
    finally:
        await connection.execute("RESET lock_timeout")  # an index made later waits for who is at work


async def refuse_pooler(url: str) -> None:
    """Refuse a pooler that gives a connection to somebody else between transactions, as PgBouncer may.

    Listening, locks and prepared statements belong to a connection.

    Raises
    ------
    ConfigError
        It does.
    CoreError
        The database can't be reached.
    """
    # Without prepared statements: a pooler may hand us a connection on which somebody else's have our names.
    one, other = [await open_database(url, statement_cache_size=0) for _ in range(2)]
    asked = asyncio.create_task(_shares_connections(one, other))
    try:
        await asyncio.wait({asked}, timeout=_POOLER_S)
    finally:
        # Closed before it is given up: a query that is cancelled is more than PgBouncer 1.18 survives.
        one.terminate()
        other.terminate()
    try:
        shares = await asked
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        shares = True  # no second connection to be had, or no transactions
    if shares:
        raise ConfigError(
            "ADX_CORE_DATABASE_URL: a pooler in transaction mode (PgBouncer); give PostgreSQL's own "
            "address, or pool_mode=session"
        )


async def _shares_connections(one: asyncpg.Connection, other: asyncpg.Connection) -> bool:
    """Return whether the first gets another backend when the second takes the one that it has let go."""
    first = await _backend(one)
    if first == one.get_server_pid():
        return False
    for _ in range(_POOLER_TRIES):
        async with other.transaction():
            await other.fetchval("SELECT pg_backend_pid()")
            if await _backend(one) != first:
                return True
    return False


async def _backend(connection: asyncpg.Connection) -> int:
    async with connection.transaction():
        pid: int = await connection.fetchval("SELECT pg_backend_pid()")
        return pid


async def drop_tables(connection: asyncpg.Connection) -> None:
    """Drop the tables with all that is in them."""
    await connection.execute(_DROP)


async def make_indexes(connection: asyncpg.Connection, *, all_of_them: bool) -> None:
    """Make the indexes, one by one and without locking, or only the unique ones, dropping the others."""
    for match, statement in index_statements():
        name = match["name"]
        if not all_of_them and not match["unique"]:
            await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            continue
        # A build that was interrupted leaves an index that is kept up but never used.
        if await connection.fetchval(
            "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", name
        ):
            await connection.execute(f"DROP INDEX CONCURRENTLY {name}")
        await connection.execute(statement)


def index_statements() -> list[tuple[re.Match[str], str]]:
    """Return each index's statement, with the match that holds its name, table and uniqueness."""
    text = re.sub(r"^--.*$", "", (_FOLDER / "indexes.sql").read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = []
    for statement in filter(str.strip, text.split(";")):
        match = _INDEX.search(statement)
        if match is None:
            raise ConfigError(f"indexes.sql: not an index made concurrently: {statement.strip()}")
        found.append((match, statement.strip()))
    return found


async def _migrate(settings: Settings) -> None:
    await refuse_pooler(settings.database_url)
    connection = await open_database(settings.database_url)
    try:
        await take_turn(connection)
        await make_tables(connection, settings.database_url)
        await check_schema(connection, QUERIES.values())
        await make_indexes(connection, all_of_them=settings.on("db.indexes"))
    except asyncpg.PostgresError as error:
        raise CoreError(f"the database refused: {error}") from error
    finally:
        await connection.close()


async def _told(connection: asyncpg.Connection) -> str | None:
    """Return the revision that Alembic wrote into the database."""
    try:
        told: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    return told


async def _reached(connection: asyncpg.Connection) -> str | None:
    """Return the revision of a database whose core kept its versions by itself, or not at all."""
    if not await has_tables(connection):
        return None
    if not await connection.fetchval("SELECT to_regclass('schema_versions') IS NOT NULL"):
        return _REVISIONS[0]
    number = await connection.fetchval("SELECT coalesce(max(version), 1) FROM schema_versions")
    return f"{number:04}"


def _refuse_newer(version: str | None) -> None:
    if version is not None and version not in _REVISIONS:
        raise ConfigError(f"the database is at version {version}, newer than {LATEST}; run a newer core")
