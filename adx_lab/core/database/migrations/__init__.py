"""The tables' history, as revisions of Alembic's: each carries out the `.sql` file of its name.

Nothing that serves imports this: Alembic is for `migrate` and `seed` alone, and only where there is something
to do.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import command, op
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine

from adx_lab.core.database.database import connect
from adx_lab.core.errors import CoreError

if TYPE_CHECKING:
    import asyncpg

_FOLDER = Path(__file__).parent


async def upgrade(url: str, *, reached: str | None) -> None:
    """Carry out the revisions that a database lacks, all of them or none.

    Parameters
    ----------
    reached
        The revision of a database that has tables, but none of Alembic's to tell.

    Raises
    ------
    CoreError
        The database does not let us.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=partial(connect, url), poolclass=sa.NullPool
    )
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, reached)
    except sa.exc.DBAPIError as error:
        raise CoreError(f"the database refused: {error.driver_exception}") from error


def execute(name: str) -> None:
    """Carry out all statements of a file of ours; for revisions."""
    text = (_FOLDER / name).read_text(encoding="utf-8")

    async def run(connection: asyncpg.Connection) -> None:
        await connection.execute(text)

    # The driver's own way: a statement that SQLAlchemy prepares can't be several.
    op.get_bind().connection.run_async(run)


def _upgrade(connection: sa.Connection, reached: str | None) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", f"{__package__.rpartition('.')[0]}:{_FOLDER.name}")
    if reached is not None:
        command.stamp(config, reached)
    command.upgrade(config, "head")
