"""Databases of every age: brought to this core's version, or refused, and never left between two."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from adx_lab.core.database import schema
from adx_lab.core.database.database import QUERIES
from adx_lab.core.errors import ConfigError, CoreError
from adx_lab.core.settings import Settings
from tests.core.harness import make_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SQL = schema._FOLDER / "migrations"
NUMBERED = """
CREATE TABLE schema_versions (
    version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO schema_versions (version) SELECT generate_series(1, $number);
"""
TENANT = """
INSERT INTO tenants (id, name, plan, config)
VALUES ('00000000-0000-0000-0000-000000000001', 'kept', 'free', '{}')
"""
UNIQUE = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'workflow_runs'::regclass"


@asynccontextmanager
async def database(postgres_url: str, name: str) -> AsyncIterator[tuple[str, asyncpg.Connection]]:
    url = await make_database(postgres_url, name)
    connection = await asyncpg.connect(url)
    try:
        yield url, connection
    finally:
        await connection.close()


async def make_old(connection: asyncpg.Connection, number: int, *, numbered: bool = True) -> None:
    """Make what a core left that numbered its versions by itself, or did not yet."""
    for path in sorted(SQL.glob("*.sql"))[:number]:
        await connection.execute(path.read_text())
    if numbered:
        await connection.execute(NUMBERED.replace("$number", str(number)))
    await connection.execute(TENANT)


async def migrate(url: str) -> None:
    await schema._migrate(Settings(database_url=url))


def test_the_revisions_are_one_line_and_the_last_is_known_without_alembic() -> None:
    config = Config()
    config.set_main_option("script_location", str(SQL))
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert found[::-1] == schema._REVISIONS
    assert [path.name[:4] for path in sorted(SQL.glob("*.sql"))] == schema._REVISIONS


def test_serving_loads_neither_alembic_nor_sqlalchemy() -> None:
    heavy = {"alembic", "sqlalchemy"}
    code = f"import sys, adx_lab.core.server.main; sys.exit(not {heavy}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("number", "numbered"), [(2, True), (1, True), (1, False)])
async def test_a_database_of_an_older_core_is_taken_over_whole(
    postgres_url: str, number: int, numbered: bool
) -> None:
    async with database(postgres_url, "core_old") as (url, connection):
        await make_old(connection, number, numbered=numbered)
        if number == 2:  # its schema is this core's: who serves from it may go on
            await schema.check_schema(connection, QUERIES.values())
        else:
            with pytest.raises(ConfigError, match=r"at version 0001 of 0002; run: .* migrate"):
                await schema.check_schema(connection, QUERIES.values())
        await migrate(url)
        await schema.check_schema(connection, QUERIES.values())
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == schema.LATEST
        assert await connection.fetchval("SELECT name FROM tenants") == "kept"
        unique = {row[0] for row in await connection.fetch(UNIQUE)}
        assert "UNIQUE (tenant_id, user_id, name, idempotency_key)" in unique
        assert "UNIQUE (tenant_id, name, idempotency_key)" not in unique


@pytest.mark.parametrize("told", ["alembic_version", "schema_versions"])
async def test_a_database_of_a_newer_core_is_refused_and_left_alone(postgres_url: str, told: str) -> None:
    async with database(postgres_url, "core_newer") as (url, connection):
        if told == "alembic_version":
            await migrate(url)
            await connection.execute("UPDATE alembic_version SET version_num = '0099'")
        else:
            await make_old(connection, 2)
            await connection.execute("INSERT INTO schema_versions VALUES (99)")
        for refused in (migrate(url), schema.check_schema(connection, QUERIES.values())):
            with pytest.raises(ConfigError, match="at version 0099, newer than 0002; run a newer core"):
                await refused
        tables = "SELECT to_regclass('alembic_version') IS NOT NULL"
        assert await connection.fetchval(tables) == (told == "alembic_version")


async def test_several_migrations_at_once_wait_for_one_another(postgres_url: str) -> None:
    async with database(postgres_url, "core_several") as (url, connection):
        await asyncio.gather(*(migrate(url) for _ in range(4)))
        await schema.check_schema(connection, QUERIES.values())
        indexes = "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'idx_%'"
        assert await connection.fetchval(indexes) == len(schema.index_statements())


async def test_an_index_waits_for_who_is_at_work(postgres_url: str) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE%' AND wait_event_type = 'Lock'"
    async with database(postgres_url, "core_busy") as (url, connection):
        await make_old(connection, 2)
        work = connection.transaction(isolation="repeatable_read")
        await work.start()
        await connection.fetch("SELECT FROM users")
        task = asyncio.create_task(migrate(url))
        admin = await asyncpg.connect(postgres_url)
        try:
            while not (task.done() or await admin.fetchval(waiting)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        finally:
            await admin.close()
        await asyncio.wait({task}, timeout=0.5)  # longer than a start waits for a lock
        assert not task.done()
        await work.rollback()
        await task


async def test_a_revision_that_fails_leaves_nothing(postgres_url: str) -> None:
    async with database(postgres_url, "core_failing") as (url, connection):
        tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        await connection.execute(
            "CREATE TABLE tenant_sizes ()"
        )  # the first revision's last statement makes it
        with pytest.raises(CoreError, match='the database refused: relation "tenant_sizes" already exists'):
            await migrate(url)
        assert [row[0] for row in await connection.fetch(tables)] == ["tenant_sizes"]
        await connection.execute("DROP TABLE tenant_sizes")
        await migrate(url)
        await schema.check_schema(connection, QUERIES.values())


async def test_a_database_that_lets_nobody_make_tables_is_one_line(postgres_url: str) -> None:
    async with database(postgres_url, "core_forbidden") as (url, connection):
        await connection.execute("ALTER DATABASE core_forbidden SET default_transaction_read_only = on")
        with pytest.raises(CoreError, match=r"the database refused: .* read-only transaction") as refused:
            await migrate(url)
        assert "<class" not in str(refused.value)
