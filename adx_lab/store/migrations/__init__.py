"""The history of the run store's tables, as revisions of Alembic's, for SQLite and for PostgreSQL.

A store is asked for its revision whenever it is opened; Alembic is loaded only where one is missing.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from adx_lab.errors import UsageError

_REVISIONS = [
    path.stem.removeprefix("revision_")
    for path in sorted((Path(__file__).parent / "versions").glob("revision_*.py"))
]
LATEST = _REVISIONS[-1]
VERSION_TABLE = "store_version"
"""Not Alembic's usual name: a team's database may be another program's, too."""

_VERSION = sa.select(sa.column("version_num", sa.String)).select_from(sa.table(VERSION_TABLE))
_LOCK = 0x_AD_57_0E


def bring_up_to_date(engine: sa.Engine) -> None:
    """Carry out the revisions that a store lacks, all of them or none; several at once wait for one another.

    Raises
    ------
    UsageError
        A newer lab made the store.
    SQLAlchemyError
        The database refuses.
    """
    with engine.connect() as connection:
        if _is_latest(connection):
            return
    from alembic import command  # noqa: PLC0415  # verbs start without it
    from alembic.config import Config  # noqa: PLC0415

    with engine.begin() as connection:
        _take_turn(connection)
        if not _is_latest(connection):
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", "adx_lab.store:migrations")
            command.upgrade(config, "head")


def _is_latest(connection: sa.Connection) -> bool:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return False
    version = connection.execute(_VERSION).scalar()
    if version is not None and version not in _REVISIONS:
        raise UsageError(
            f"a newer ADX Lab made the run store: it is at version {version}, newer than {LATEST}",
            mend="use that version of ADX Lab",
        )
    return version == LATEST


def _take_turn(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        # The driver begins no transaction before a table is made; in this one nobody else may write.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
