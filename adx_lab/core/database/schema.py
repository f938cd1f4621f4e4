"""Tables and indexes: made where they are missing, and brought into line with the rule ``db.indexes``."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from adx_lab.core.database.database import connect
from adx_lab.core.errors import ConfigError, CoreError

if TYPE_CHECKING:
    from adx_lab.core.settings import Settings

_FOLDER = Path(__file__).parent
_INDEX = re.compile(
    r"CREATE (?P<unique>UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (?P<name>\w+)\s+ON (?P<table>\w+)"
)
_DROP = """
DROP VIEW IF EXISTS tenant_sizes;
DROP TABLE IF EXISTS workflow_runs, events, files, refresh_tokens, sessions, user_roles, roles, users,
tenants;
"""


def migrate(settings: Settings) -> None:
    """Bring a database into line with the settings; run again, it changes nothing.

    Raises
    ------
    CoreError
        The database can't be reached, or does not let us.
    """
    asyncio.run(_migrate(settings))


async def open_database(settings: Settings) -> asyncpg.Connection:
    """Connect for work outside of the service.

    Raises
    ------
    CoreError
        The database can't be reached.
    """
    try:
        return await connect(settings.database_url)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise CoreError(f"ADX_CORE_DATABASE_URL: the database can't be reached: {error}") from error


async def has_tables(connection: asyncpg.Connection) -> bool:
    """Return whether the tables are there."""
    found: bool = await connection.fetchval("SELECT to_regclass('users') IS NOT NULL")
    return found


async def make_tables(connection: asyncpg.Connection) -> None:
    """Make the tables, all or none."""
    async with connection.transaction():
        await connection.execute((_FOLDER / "schema.sql").read_text(encoding="utf-8"))


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
    connection = await open_database(settings)
    try:
        if not await has_tables(connection):
            await make_tables(connection)
        await make_indexes(connection, all_of_them=settings.on("db.indexes"))
    except asyncpg.PostgresError as error:
        raise CoreError(f"the database refused: {error}") from error
    finally:
        await connection.close()
