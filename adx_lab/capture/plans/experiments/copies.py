"""Indexes tried on an empty copy of a database that must not be touched: its schema, sizes and statistics.

The copy is made on a server of our own, where the planner is told what it knows over there: the statistics of
the columns, and how large each table and index is. It looks at the files' sizes as well, so that these are
made as long, without taking any room. No statement is executed on either side; of an index on an expression
the planner is told what that makes of the values which the statistics name.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import asyncpg

from adx_lab.capture.database.statements import connected
from adx_lab.capture.plans.experiments.trials import (
    PLANNED,
    Proposal,
    compared,
    explain,
    table_of,
    writes_of,
    written,
)
from adx_lab.capture.plans.guarded import quoted_name
from adx_lab.errors import StackError
from adx_lab.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OWN = load_queries(Path(__file__).parent)
_PAGE = 8192
_SEGMENT = 131_072
"""Pages in one file; a larger table has several."""
_FILLED = 0.9
_GUESSED = "there are no statistics of the expression: the planner only guesses"
_POOLED = (
    "a pooler is in between, on whose connections pg_dump would leave its settings: give the address of the "
    "server itself"
)
_ENTRY = 12
"""Bytes that an index's entry takes beside its key."""


@dataclass(frozen=True, slots=True)
class _Size:
    """How large a table or an index is: pages in its file, and what the planner was told."""

    pages_now: int
    pages: int
    rows: float
    visible_pages: int


async def try_on_copy(
    database_url: str, copy_url: str, binaries: Path, proposals: Sequence[Proposal]
) -> list[dict[str, Any]]:
    """Plan each proposal's statement with and without its indexes on an empty copy.

    Parameters
    ----------
    database_url
        The database whose copy is made.
    copy_url
        An empty database on a server of our own, as its superuser; it is thrown away afterwards.
    binaries
        Where ``pg_dump`` and ``psql`` are.

    Returns
    -------
    list of dict
        As `adx_lab.capture.plans.experiments.trials.try_pretended`.

    Raises
    ------
    StackError
        The schema can't be read, or not be made again, or a pooler is in between.
    """
    async with connected(database_url) as source:
        if await source.fetchval(_OWN["copies.process"].sql) != source.get_server_pid():
            raise StackError(_POOLED)
        await _copy_schema(database_url, copy_url, binaries)
        sizes = {
            (row["schema"], row["name"]): _Size(
                row["pages_now"], row["pages"], row["rows"], row["visible_pages"]
            )
            for row in await source.fetch(_OWN["copies.sizes"].sql)
        }
        values = await source.fetch(_OWN["copies.statistics"].sql)
        settings = await source.fetch(_OWN["copies.settings"].sql)
        writes = await writes_of(source)
    async with connected(copy_url) as copy:
        for row in settings:
            with suppress(asyncpg.PostgresError):  # a setting that this server doesn't know
                await copy.execute(_OWN["copies.set"].sql, row["name"], row["value"])
        copied = _Copy(copy, sizes)
        await copied.tell(values)
        return [await copied.tried(proposal) | written(proposal, writes) for proposal in proposals]


async def _copy_schema(database_url: str, copy_url: str, binaries: Path) -> None:
    words = ("--schema-only", "--no-owner", "--no-privileges", "--lock-wait-timeout=500")
    dumped = await _run(binaries / "pg_dump", *words, url=database_url)
    # What the copy can't have (an extension, a language) is left out; what needs it says so when it is tried.
    await _run(binaries / "psql", "-X", "-q", "-f", "-", url=copy_url, given=dumped)


async def _run(program: Path, *words: str, url: str, given: bytes = b"") -> bytes:
    pipe, parts = asyncio.subprocess.PIPE, urlsplit(url)
    # Everybody on the machine can read a command's words: the password is not among them.
    secret = {} if parts.password is None else {"PGPASSWORD": unquote(parts.password)}
    shown = url if parts.password is None else url.replace(f":{parts.password}@", "@", 1)
    command = [str(program), *words, "-d", shown]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, env=os.environ | secret
    )
    out, err = await process.communicate(given)
    if process.returncode != 0:
        said = (err.decode(errors="replace").strip().splitlines() or ["it ended without a word"])[-1]
        raise StackError(f"{program.name} could not copy the schema: {said}")
    return out


class _Copy:
    """The copy, and how large its tables and indexes are said to be."""

    def __init__(self, connection: asyncpg.Connection, sizes: Mapping[tuple[str, str], _Size]) -> None:
        self.connection = connection
        self.sizes = sizes

    async def tell(self, values: Sequence[asyncpg.Record]) -> None:
        """Tell the planner what is known of the columns and of the sizes."""
        for row in values:
            with suppress(asyncpg.PostgresError):  # of a type that the copy lacks: the planner guesses
                await self.connection.execute(_OWN["copies.tell_values"].sql, json.dumps(dict(row)))
        for (schema, name), size in self.sizes.items():
            await self._size(schema, name, size)
        for row in await self.connection.fetch(_OWN["copies.made"].sql):
            if row["unknown"]:  # not everybody may see an index's own statistics
                await self._tell_expression(dict(row))

    async def tried(self, proposal: Proposal) -> dict[str, Any]:
        """Plan a statement before and after its indexes are made."""
        told = {
            "query": proposal.query,
            "indexes": proposal.indexes,
            "how": "on an empty copy with the statistics",
            "error": None,
        }
        made: list[Any] = []
        guessed = False
        try:
            before = await self._plan(proposal)
            made = await self._made(proposal.indexes)
            guessed = not all([await self._tell_expression(row) for row in made if row["unknown"]])
            after = await self._plan(proposal)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            return told | {"error": str(error).splitlines()[0]}
        finally:
            for row in (row for row in made if not row["of_another"]):
                names = {key: quoted_name(row[key]) for key in ("schema", "name")}
                await self.connection.execute(_OWN["copies.unmake"].sql.format(**names))
        found = compared(before, after, {row["name"] for row in made}, sum(r["bytes"] for r in made))
        if guessed and not found["used"]:
            return told | {"error": _GUESSED}
        return told | found | ({"how": f"{told['how']} ({_GUESSED})"} if guessed else {})

    async def _tell_expression(self, row: Mapping[str, Any]) -> bool:
        """Tell the planner of an expression's values as far as its column's are known; False where not."""
        found = await self.connection.fetch(_OWN["copies.expression"].sql, row["oid"])
        if len(found) != 1:
            return False
        item = found[0]
        statement = _OWN["copies.of_expression"].sql.format(
            column=quoted_name(item["column"]), type=item["type"], expression=item["expression"]
        )
        point = self.connection.transaction()
        await point.start()
        try:
            values = await self.connection.fetchrow(statement, row["schema"], row["table"], item["column"])
            if values is not None:
                told = dict(values) | {"table": row["name"], "column": item["name"]}
                await self.connection.execute(_OWN["copies.tell_values"].sql, json.dumps(told))
        except asyncpg.PostgresError:  # a value that the expression fails on, a type that can't be sorted
            await point.rollback()
            return False
        await point.commit()
        return values is not None

    async def _plan(self, proposal: Proposal) -> dict[str, Any]:
        async with self.connection.transaction():
            return await explain(self.connection, proposal, PLANNED)

    async def _made(self, statements: Sequence[str]) -> list[dict[str, Any]]:
        """Make indexes while the files are empty, then say how large they would be."""
        known = {row["oid"] for row in await self.connection.fetch(_OWN["copies.made"].sql)}
        tables = {table_of(statement) for statement in statements}
        for named in tables:
            await self._emptied(named)
        try:
            for statement in statements:
                await self.connection.execute(statement)
        finally:
            for (schema, name), size in self.sizes.items():
                if {name, f"{schema}.{name}"} & {named.replace('"', "") for named in tables}:
                    await self._size(schema, name, size)
        new = [dict(row) for row in await self.connection.fetch(_OWN["copies.made"].sql)]
        new = [row for row in new if row["oid"] not in known]
        for row in new:
            table = self.sizes.get((row["schema"], row["table"]))
            if table is None:
                continue
            await self._size(row["schema"], row["table"], table)
            rows = await self._rows_held(row, table)
            pages = await self._index_pages(row, table, rows)
            await self._size(row["schema"], row["name"], _Size(pages, pages, rows, 0))
            row["bytes"] = pages * _PAGE
        return [row for row in new if "bytes" in row]

    async def _rows_held(self, row: Mapping[str, Any], table: _Size) -> float:
        """Return how many rows an index would hold: of a partial one what the planner thinks."""
        if row["predicate"] is None:
            return max(table.rows, 0.0)
        names = {key: quoted_name(row[key]) for key in ("schema", "table")}
        statement = _OWN["copies.held"].sql.format(**names, predicate=row["predicate"])
        plan = json.loads(await self.connection.fetchval(statement))[0]["Plan"]
        return float(plan["Plan Rows"])

    async def _index_pages(self, row: Mapping[str, Any], table: _Size, rows: float) -> int:
        if row["method"] == "brin":
            return 3 + table.pages_now // 20_000
        width = await self.connection.fetchval(_OWN["copies.width"].sql, row["oid"])
        return max(2, int(rows * (width + _ENTRY) / (_PAGE * _FILLED)))

    async def _emptied(self, table: str) -> None:
        row = await self.connection.fetchrow(_OWN["copies.named"].sql, table)
        if row is not None and row["file"] is not None:
            _stretch(Path(row["data"]) / row["file"], 0, keep=False)

    async def _size(self, schema: str, name: str, size: _Size) -> None:
        """Make a table's or an index's file as long as the original's, and tell the planner."""
        row = await self.connection.fetchrow(_OWN["copies.place"].sql, schema, name)
        if row is None:
            return
        if row["file"] is not None:
            _stretch(Path(row["data"]) / row["file"], size.pages_now, keep=row["is_index"])
        told = {
            "oid": row["oid"],
            "pages": size.pages,
            "rows": size.rows,
            "visible_pages": size.visible_pages,
        }
        await self.connection.execute(_OWN["copies.tell_size"].sql, json.dumps(told))


def _stretch(file: Path, pages: int, *, keep: bool) -> None:
    """Make a table's or an index's files so long; what is not written takes no room on the disk.

    ``keep`` leaves what is there already: an empty index has pages that describe it.
    """
    segment = 0
    while pages > 0 or segment == 0:
        here = file if segment == 0 else file.with_name(f"{file.name}.{segment}")
        descriptor = os.open(here, os.O_RDWR | (os.O_CREAT if segment else 0), 0o600)
        try:
            if segment:
                owner = file.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            least = os.fstat(descriptor).st_size if keep else 0
            os.ftruncate(descriptor, max(least, min(pages, _SEGMENT) * _PAGE))
        finally:
            os.close(descriptor)
        pages -= _SEGMENT
        segment += 1
