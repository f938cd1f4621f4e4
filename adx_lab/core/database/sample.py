"""What a load generator has to know of the data set: tenants by size, some of their users and files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import msgspec

from adx_lab.core.database.dataset import PASSWORD
from adx_lab.core.database.schema import open_database
from adx_lab.core.errors import CoreError

if TYPE_CHECKING:
    from pathlib import Path

    from adx_lab.core.settings import Settings

_TENANTS_MAX = 100
_USERS_MAX, _WHALE_USERS_MAX, _FILES_MAX = 50, 500, 50
_TENANTS = """
SELECT tenants.id, tenants.name, tenant_sizes.users
FROM tenants JOIN tenant_sizes ON tenant_sizes.tenant_id = tenants.id
ORDER BY tenant_sizes.users DESC, tenants.id
"""
# The first user is an admin; the others are a choice that does not favour the old.
_USERS = """
SELECT users.id, users.email, min(roles.name) AS role
FROM users
JOIN user_roles ON user_roles.tenant_id = users.tenant_id AND user_roles.user_id = users.id
JOIN roles ON roles.tenant_id = user_roles.tenant_id AND roles.id = user_roles.role_id
WHERE users.tenant_id = $1 AND users.is_active
GROUP BY users.id, users.email ORDER BY users.email NOT LIKE 'user0@%', md5(users.id::text) LIMIT $2
"""
_FILES = "SELECT id FROM files WHERE tenant_id = $1 ORDER BY id LIMIT $2"


class SampleUser(msgspec.Struct):
    """A user that can log in."""

    id: str
    email: str
    role: str


class SampleTenant(msgspec.Struct):
    """A tenant, how many users it has, and some of them."""

    id: str
    name: str
    user_count: int
    users: list[SampleUser]
    file_ids: list[str]


class Sample(msgspec.Struct):
    """The document: tenants from the largest to the smallest."""

    password: str
    tenants: list[SampleTenant]


def write_sample(settings: Settings, out: Path) -> None:
    """Write the sample of a database.

    Raises
    ------
    CoreError
        The database can't be reached or has no data set, or the file can't be written.
    """
    try:
        sample = asyncio.run(read_sample(settings))
        out.write_bytes(msgspec.json.encode(sample))
    except asyncpg.PostgresError as error:
        raise CoreError(f"the database has no data set: {error}") from error
    except OSError as error:
        raise CoreError(f"can't write {out}: {error.strerror}") from error


async def read_sample(settings: Settings) -> Sample:
    """Read the sample of a database."""
    connection = await open_database(settings.database_url)
    try:
        rows = await connection.fetch(_TENANTS)
        # Of many tenants an even choice, the whale always first.
        chosen = rows[:: max(1, len(rows) // _TENANTS_MAX)]
        return Sample(PASSWORD, [await _tenant(connection, row, first=row is rows[0]) for row in chosen])
    finally:
        await connection.close()


async def _tenant(connection: asyncpg.Connection, row: asyncpg.Record, *, first: bool) -> SampleTenant:
    limit = _WHALE_USERS_MAX if first else _USERS_MAX
    users = await connection.fetch(_USERS, row["id"], limit)
    files = await connection.fetch(_FILES, row["id"], _FILES_MAX)
    return SampleTenant(
        str(row["id"]),
        row["name"],
        row["users"],
        [SampleUser(str(user["id"]), user["email"], user["role"]) for user in users],
        [str(file["id"]) for file in files],
    )
