"""A tenant that grows: its rows copied, so that what plans of today promise for tomorrow can be measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adx_lab.capture.database.statements import connected
from adx_lab.capture.plans.guarded import quoted_name
from adx_lab.sql import load_queries

if TYPE_CHECKING:
    import asyncpg

_OWN = load_queries(Path(__file__).parent)


async def grow_tenant(clone_url: str, tenant_id: str, times: int) -> None:
    """Copy every row of a tenant until it has ``times`` as many, and let the planner know.

    For a clone that is thrown away. Keys are made anew, in the same way wherever they are mentioned, so that
    a copied user has its own files and sessions; what an index keeps unique is told apart.
    """
    async with connected(clone_url) as connection:
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")  # copies keep references
            for row in await connection.fetch(_OWN["growth.tables"].sql):
                columns = [
                    (quoted_name(name), _copied(name, kind, unique=unique))
                    for name, kind, made, unique in _columns(row)
                    if not made
                ]
                statement = _OWN["growth.copy"].sql.format(
                    table=row["table"],
                    columns=", ".join(name for name, _ in columns),
                    values=", ".join(value for _, value in columns),
                    copies=times - 1,
                )
                await connection.execute(statement, tenant_id)
        await connection.execute("VACUUM (ANALYZE)")


def _columns(row: asyncpg.Record) -> zip[tuple[str, str, bool, bool]]:
    return zip(row["columns"], row["types"], row["made"], row["kept_unique"], strict=True)


def _copied(name: str, kind: str, *, unique: bool) -> str:
    """Return what a copy has in a column, as SQL."""
    column = f"old.{quoted_name(name)}"
    if name == "tenant_id":
        return column
    if kind == "uuid":
        return f"md5({column}::text || copy.n)::uuid"
    return f"copy.n || '.' || {column}" if unique and kind == "text" else column
