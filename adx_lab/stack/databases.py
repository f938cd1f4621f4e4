"""The template database with the data set, and the clones that cores work on."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import asyncpg

from adx_lab.errors import StackError, UsageError
from adx_lab.progress import Progress
from adx_lab.records.run import without_password
from adx_lab.settings import DatasetSettings
from adx_lab.sql import load_queries
from adx_lab.stack.core_server import CorePlan, run_core_command

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
            f"the database at {without_password(url)} can't be reached: {error or type(error).__name__}",
            mend="check the URL, the server and the account's rights",
        ) from error
    try:
        yield connection
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StackError(f"the database at {without_password(url)} refuses: {error}") from error
    finally:
        await connection.close()


async def ensure_template(
    postgres: Cluster,
    plan: CorePlan,
    dataset: DatasetSettings,
    progress: Progress,
    *,
    log: Path,
    keep: Collection[str] = (),
) -> str:
    """Return the name of the template with this data set, making it where it is missing.

    It is built under another name and renamed when complete, so that an interrupted one is never cloned. Of
    the older ones the oldest give way, but for those to ``keep``: another variant is about to be cloned.
    """
    name = f"adx_template_{_fingerprint(plan.source, dataset)}"
    async with connected(postgres.url()) as connection:
        if await connection.fetchval(_QUERIES["databases.exists"].sql, name):
            return name
        progress.step(f"making the {dataset.scale} data set (seed {dataset.seed}), once")
        building = name.replace("template", "building")
        await _drop(connection, building)
        await connection.execute(f'CREATE DATABASE "{building}"')
        await seed(replace(plan, database_url=postgres.url(building)), dataset, log=log)
        await connection.execute(f'ALTER DATABASE "{building}" RENAME TO "{name}"')
        await _prune(connection, {name, *keep})
    return name


async def seed(plan: CorePlan, dataset: DatasetSettings, *, log: Path) -> None:
    """Fill the plan's database with the data set."""
    await run_core_command(
        plan, "seed", "--scale", dataset.scale, "--seed", str(dataset.seed), log=log, seconds=1800
    )


async def clone(postgres: Cluster, template: str, name: str, *, fresh: bool) -> str:
    """Return the URL of a database cloned from a template; an existing clone is kept unless ``fresh``."""
    async with connected(postgres.url()) as connection:
        origin = await connection.fetchval(_QUERIES["databases.origin"].sql, name)
        if fresh or origin != template:
            await _drop(connection, name)
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
            await connection.execute(f"""COMMENT ON DATABASE "{name}" IS '{template}'""")
    return postgres.url(name)


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
                f"the database at {without_password(url)} holds tables that are not ADX Core's",
                mend="name an empty database, or measure your own service with --url",
            )
        if not await connection.fetchval(_QUERIES["databases.may_create"].sql):
            raise UsageError(
                f"the account of {without_password(url)} may not create tables",
                mend="GRANT CREATE ON SCHEMA public to it",
            )
    return False


def _fingerprint(source: Path, dataset: DatasetSettings) -> str:
    # Whatever shapes the rows is in the name, so that a changed schema can't meet an old template.
    folder = source / "adx_lab" / "core"
    whole = hashlib.sha256(f"{dataset.scale} {dataset.seed}".encode())
    for file in sorted([*folder.glob("*.sql"), *folder.glob("dataset*.py"), *folder.glob("dataset/*.py")]):
        whole.update(file.read_bytes())
    return whole.hexdigest()[:12]


async def _drop(connection: asyncpg.Connection, name: str) -> None:
    await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _prune(connection: asyncpg.Connection, keep: Collection[str]) -> None:
    rows = await connection.fetch(_QUERIES["databases.templates"].sql)
    for row in rows[_TEMPLATES_KEPT:]:
        if row["name"] not in keep:
            await _drop(connection, row["name"])
