"""The run store's database: an index over the journal, caught up whenever it is opened, doubted always.

What is kept goes into the journal first. A database that is locked, damaged, empty or away costs nobody a
report: rows are then read from the journal, and `StoreDatabase.trouble` says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from adx_lab.errors import StoreError, UsageError
from adx_lab.files import make_private_folder
from adx_lab.secrecy import scrub, shown_url
from adx_lab.settings import Settings
from adx_lab.store.journal import Entry, Journal, latest
from adx_lab.store.migrations import bring_up_to_date
from adx_lab.store.tables import JOURNALS, KEPT

_WAIT_S = 5
"""For a lock or a connection."""


class StoreDatabase:
    """The tables of a home's run store.

    Attributes
    ----------
    trouble
        What the database refused, in one line; None while all is well.

    Raises
    ------
    UsageError
        ``store.url`` is no database's, or its driver is not installed.
    """

    def __init__(self, settings: Settings) -> None:
        self._journal = Journal(settings.data_dir / "store.jsonl")
        self._url = settings.store_url
        self.trouble: str | None = None
        try:
            self._engine = sa.create_engine(_with_driver(self._url), **_options(self._url))
        except (sa.exc.ArgumentError, ImportError) as error:
            raise UsageError(
                f"store.url is not a database URL that can be used: {error}", mend="correct it"
            ) from error
        self._own = settings.data_dir / "runs.sqlite" if settings.store.url is None else None
        if self._own is not None:
            _make_private(self._own)

    def close(self) -> None:
        """Let go of the store's connections."""
        self._engine.dispose()

    def require(self) -> None:
        """Bring the database up to date.

        Raises
        ------
        StoreError
            It refuses.
        UsageError
            A newer lab made it.
        """
        with self._guarded():
            self._catch_up()

    def restart(self) -> None:
        """Read all of the journal again, into a fresh database where the home's own is damaged.

        Raises
        ------
        StoreError
            The database refuses.
        UsageError
            A newer lab made it.
        """
        self._adopt()
        try:
            self._read_anew()
        except StoreError:
            if self._own is None:
                raise
            self._set_aside(self._own)
            self._read_anew()

    def _read_anew(self) -> None:
        with self._guarded():
            bring_up_to_date(self._engine)
            with self._engine.begin() as connection:
                connection.execute(sa.delete(JOURNALS).where(JOURNALS.c.journal == self._journal.name))
            self._catch_up()

    def _set_aside(self, file: Path) -> None:
        self.close()
        aside = file.with_name(f"{file.name}.damaged-{int(time.time())}")
        with self._guarded():
            file.rename(aside)
            _make_private(file)

    def _keep(self, table: sa.Table, row: Mapping[str, Any]) -> None:
        self._note([_entry(table, row)])

    def _remove(self, table: sa.Table, key: Mapping[str, Any]) -> None:
        self._note([Entry(str(table.name), dict(key))])

    def _rows(self, table: sa.Table) -> list[dict[str, Any]]:
        """Return a table's rows by their keys; from the journal where the database refuses."""
        try:
            self.require()
        except StoreError as error:
            self.trouble = str(error)
        try:
            with self._guarded(), self._engine.connect() as connection:
                chosen = sa.select(table).order_by(*table.primary_key.columns)
                return [dict(row) for row in connection.execute(chosen).mappings()]
        except StoreError as error:
            self.trouble = str(error)
        own = latest(_sound(table, self._journal.read()[0]))
        names = [str(column.name) for column in table.columns]
        return [
            {name: entry.row.get(name) for name in names}
            for _, entry in sorted(own.items(), key=lambda item: repr(item[0]))
            if entry.row is not None
        ]

    def _note(self, entries: Sequence[Entry]) -> None:
        self._adopt()
        self._journal.append(entries)
        try:
            self.require()
        except (StoreError, UsageError) as error:  # whatever it is, the journal has the row
            self.trouble = str(error)

    def _adopt(self) -> None:
        """Begin the journal with the rows of a store that was made before there were journals."""
        if self._journal.size or not self._url.startswith("sqlite"):
            return
        try:
            bring_up_to_date(self._engine)
            with self._engine.connect() as connection:
                entries = [
                    _entry(table, dict(row))
                    for table in KEPT
                    for row in connection.execute(sa.select(table)).mappings()
                ]
        except sa.exc.SQLAlchemyError as error:  # damaged: what is in it can't be had
            self.trouble = self._refused(error)
            return
        except UsageError as error:
            self.trouble = str(error)
            return
        self._journal.append(entries)

    def _catch_up(self) -> None:
        self._adopt()
        name = self._journal.name
        bring_up_to_date(self._engine)
        if name is None or (known := self._position(name)) == self._journal.size:
            return
        if known is None:
            with (
                suppress(sa.exc.IntegrityError),
                self._engine.begin() as connection,
            ):  # somebody else's is as good
                connection.execute(sa.insert(JOURNALS).values(journal=name, read_bytes=0))
        with self._engine.begin() as connection:
            mine = JOURNALS.c.journal == name
            # A write first: who else catches up just now waits here, and finds the rest done.
            connection.execute(sa.update(JOURNALS).where(mine).values(read_bytes=JOURNALS.c.read_bytes))
            position = connection.execute(sa.select(JOURNALS.c.read_bytes).where(mine)).scalar_one()
            entries, end = self._journal.read(position)
            for table in KEPT:
                _apply(connection, table, entries)
            connection.execute(sa.update(JOURNALS).where(mine).values(read_bytes=end))

    def _position(self, name: str) -> int | None:
        with self._engine.connect() as connection:
            chosen = sa.select(JOURNALS.c.read_bytes).where(JOURNALS.c.journal == name)
            return connection.execute(chosen).scalar()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.SQLAlchemyError, OSError) as error:
            raise StoreError(self._refused(error), mend=_MEND) from error

    def _refused(self, error: BaseException) -> str:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        return f"the run store {shown_url(self._url)} refused: {reason}"


_MEND = "wait for who holds it, or make it anew with adx-lab runs rebuild"


def _make_private(file: Path) -> None:
    # SQLite takes an empty file for an empty database, and so it is nobody else's from the first byte.
    with suppress(OSError):  # a home that can only be read is read
        make_private_folder(file.parent)
        file.touch(mode=0o600)
        file.chmod(0o600)


def _with_driver(url: str) -> sa.URL:
    # The store is read by plain calls: which driver of PostgreSQL somebody named is no matter.
    made = sa.make_url(url)
    if made.get_backend_name() in {"postgresql", "postgres"}:
        return made.set(drivername="postgresql+psycopg")
    return made


def _options(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": _WAIT_S}}
    # A connection that the server's restart cut is found out before it is used.
    return {"pool_pre_ping": True, "connect_args": {"connect_timeout": _WAIT_S}}


def _entry(table: sa.Table, row: Mapping[str, Any]) -> Entry:
    # SQLAlchemy's names are more than texts, which JSON does not know.
    return Entry(str(table.name), _key(table, row), {str(name): _kept(value) for name, value in row.items()})


def _kept(value: Any) -> Any:
    # Half a character, which a name may hold, has no encoding; a secret is nobody's business.
    return scrub(value.encode(errors="backslashreplace").decode()) if isinstance(value, str) else value


def _key(table: sa.Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {str(column.name): row[column.name] for column in table.primary_key.columns}


def _sound(table: sa.Table, entries: Sequence[Entry]) -> list[Entry]:
    """Return a table's entries; one that the table could not hold would keep all others out for ever."""
    keys = {str(column.name) for column in table.primary_key.columns}
    return [
        entry
        for entry in entries
        if entry.table == table.name
        and set(entry.key) == keys
        and (entry.row is None or all(_holds(column, entry.row) for column in table.columns))
    ]


def _holds(column: sa.Column[Any], row: Mapping[str, Any]) -> bool:
    value = row.get(str(column.name))
    if value is None:
        return bool(column.nullable)
    kind = column.type.python_type
    return isinstance(value, (float, int) if kind is float else kind)


def _apply(connection: sa.Connection, table: sa.Table, entries: Sequence[Entry]) -> None:
    own = latest(_sound(table, entries)).values()
    if not own:
        return
    keys = [{f"key_{name}": value for name, value in entry.key.items()} for entry in own]
    same = sa.and_(*(column == sa.bindparam(f"key_{column.name}") for column in table.primary_key.columns))
    connection.execute(sa.delete(table).where(same), keys)
    names = {column.name for column in table.columns}
    rows = [{name: entry.row.get(name) for name in names} for entry in own if entry.row is not None]
    if rows:
        connection.execute(sa.insert(table), rows)
