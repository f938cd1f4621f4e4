"""The data set: made, not shipped; the same for the same seed; tenants as unlike in size as real ones.

One tenant, the whale, has two users in five; the others follow Zipf's law. What a test or a load generator
has to know can be derived: user ``n`` of tenant ``t`` is ``user{n}@t{t:04}.example``, their role follows from
``n`` (`role_of`), and all have the password `PASSWORD`.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from random import Random
from time import monotonic
from typing import TYPE_CHECKING

import asyncpg
import msgspec

from adx_lab.core.auth.passwords import hash_with_salt
from adx_lab.core.database.schema import (
    drop_tables,
    has_tables,
    make_indexes,
    make_tables,
    open_database,
    take_turn,
)
from adx_lab.core.errors import ConfigError, CoreError
from adx_lab.core.files.blobs import blob_name, blob_sha256
from adx_lab.core.server.ids import make_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adx_lab.core.settings import Settings

PASSWORD = "correct horse battery staple"  # noqa: S105  # of users that exist only here
WHALE_SHARE = 0.4
BLOB_SIZES = (4_096, 65_536, 1_048_576)
_START = datetime(2024, 1, 1, tzinfo=UTC)
_DAYS = 730

_READ = ["users.read", "files.read", "events.read", "tenants.read", "workflows.read"]
_EDIT = [*_READ, "users.write", "files.write", "workflows.run", "users.export"]
ROLES = {
    "viewer": _READ,
    "editor": _EDIT,
    "admin": [*_EDIT, "users.delete", "roles.write", "files.delete"],
}
_FIRST_NAMES = (
    "Ada", "Bela", "Chen", "Dora", "Emre", "Fay", "Goro", "Hana", "Igor", "Jana",
    "Kofi", "Lena", "Mei", "Nils", "Omar", "Pia", "Quin", "Rosa", "Sven", "Tara",
)  # fmt: skip
_LAST_NAMES = (
    "Abe", "Berg", "Cruz", "Diaz", "Ek", "Fuchs", "Gupta", "Hahn", "Ito", "Jung",
    "Kaya", "Lund", "Mori", "Nagy", "Okoye", "Park", "Ruiz", "Sato", "Toth", "Vega",
)  # fmt: skip
_KINDS = ("login", "view", "edit", "upload", "download", "share", "comment", "export")
_TYPES = ("application/pdf", "image/png", "text/plain", "application/zip")


class Scale(msgspec.Struct, frozen=True):
    """How much of everything."""

    tenants: int
    users: int
    files_per_user: float
    events_per_user: int


SCALES = {
    "small": Scale(100, 10_000, 2, 20),
    "standard": Scale(400, 100_000, 2, 20),
    "large": Scale(1_500, 1_000_000, 1, 5),
}


class _User(msgspec.Struct, frozen=True):
    tenant: int
    number: int
    id: str
    created_at: datetime


def tenant_sizes(scale: Scale) -> list[int]:
    """Return the number of users of each tenant, the whale first; they add up to the scale's users."""
    whale = int(scale.users * WHALE_SHARE)
    weights = [1 / rank for rank in range(1, scale.tenants)]
    share = (scale.users - whale - (scale.tenants - 1)) / sum(weights)
    sizes = [1 + int(weight * share) for weight in weights]
    return [scale.users - sum(sizes), *sizes]


def role_of(number: int) -> str:
    """Return the role of a tenant's user by its number: of twenty one is an admin, three are editors."""
    place = number % 20
    return "admin" if place == 0 else "editor" if place in {5, 10, 15} else "viewer"


def active(number: int) -> bool:
    """Return whether a tenant's user is active: the last of twenty is not."""
    return number % 20 != 19


def email_of(tenant: int, number: int) -> str:
    """Return the e-mail address of a tenant's user."""
    return f"user{number}@t{tenant:04}.example"


def seed(settings: Settings, scale: str, seed: int, *, replace: bool) -> None:
    """Make the data set; progress goes to stderr, a summary as JSON to stdout.

    Raises
    ------
    ConfigError
        There is one already, and ``replace`` was not given.
    CoreError
        The database can't be reached, or does not let us.
    """
    started = monotonic()
    try:
        counts = asyncio.run(_seed(settings, SCALES[scale], seed, replace=replace))
    except asyncpg.PostgresError as error:
        raise CoreError(f"the database refused: {error}") from error
    summary = {"scale": scale, "seed": seed, "seconds": round(monotonic() - started, 3), "rows": counts}
    sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")


async def _seed(settings: Settings, scale: Scale, seed: int, *, replace: bool) -> dict[str, int]:
    connection = await open_database(settings.database_url)
    try:
        await take_turn(connection)
        if await has_tables(connection):
            if not replace:
                raise ConfigError("the database has a data set already; --replace drops it first")
            await drop_tables(connection)
        await make_tables(connection, settings.database_url)
        counts = await _load(connection, scale, Random(seed))  # noqa: S311
        _say("indexes")
        await make_indexes(connection, all_of_them=settings.on("db.indexes"))
        _say("statistics")
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()
    return counts


async def _load(connection: asyncpg.Connection, scale: Scale, random: Random) -> dict[str, int]:
    tenants = [make_id(_ms(_START) + number, random.getrandbits(74)) for number in range(scale.tenants)]
    users = list(_users(scale, random))
    roles = {
        (tenant, name): make_id(_ms(_START), random.getrandbits(74))
        for tenant in range(scale.tenants)
        for name in ROLES
    }
    password_hash = hash_with_salt(PASSWORD, b"adx core dataset")
    counts = {"tenants": len(tenants), "users": len(users)}
    await _copy(connection, "tenants", ("id", "name", "plan", "config", "created_at"), _tenant_rows(tenants))
    await _copy(
        connection, "users",
        ("tenant_id", "id", "email", "name", "is_active", "password_hash", "created_at", "updated_at"),
        _user_rows(users, tenants, password_hash),
    )  # fmt: skip
    await _copy(
        connection, "roles", ("tenant_id", "id", "name", "permissions"),
        ((tenants[tenant], role_id, name, ROLES[name]) for (tenant, name), role_id in roles.items()),
    )  # fmt: skip
    await _copy(
        connection, "user_roles", ("tenant_id", "user_id", "role_id"),
        ((tenants[user.tenant], user.id, roles[(user.tenant, role_of(user.number))]) for user in users),
    )  # fmt: skip
    counts["files"] = await _copy(
        connection, "files",
        ("tenant_id", "id", "owner_id", "name", "content_type", "size", "sha256", "blob", "created_at"),
        _file_rows(scale, users, tenants, random),
    )  # fmt: skip
    counts["events"] = await _copy(
        connection, "events", ("tenant_id", "user_id", "kind", "data", "created_at"),
        _event_rows(scale, users, tenants, random),
    )  # fmt: skip
    return counts


def _users(scale: Scale, random: Random) -> Iterator[_User]:
    for tenant, size in enumerate(tenant_sizes(scale)):
        for number in range(size):
            created_at = _START + timedelta(microseconds=random.randrange(_DAYS * 86_400_000_000))
            yield _User(tenant, number, make_id(_ms(created_at), random.getrandbits(74)), created_at)


def _tenant_rows(tenants: list[str]) -> Iterator[tuple[object, ...]]:
    plans = ("enterprise", "team", "free")
    for number, tenant_id in enumerate(tenants):
        plan = plans[0 if number == 0 else 1 if number < 10 else 2]
        config = (
            f'{{"locale": "en", "retention_days": {30 * (3 - plans.index(plan))}, "features": ["{plan}"]}}'
        )
        yield tenant_id, f"Tenant {number:04}", plan, config, _START


def _user_rows(users: list[_User], tenants: list[str], password_hash: str) -> Iterator[tuple[object, ...]]:
    for user in users:
        first, last = _FIRST_NAMES[user.number % 20], _LAST_NAMES[user.number // 20 % 20]
        yield (
            tenants[user.tenant], user.id, email_of(user.tenant, user.number), f"{first} {last}",
            active(user.number), password_hash, user.created_at, user.created_at,
        )  # fmt: skip


def _file_rows(
    scale: Scale, users: list[_User], tenants: list[str], random: Random
) -> Iterator[tuple[object, ...]]:
    for number in range(int(scale.users * scale.files_per_user)):
        owner = users[random.randrange(len(users))]
        created_at = _START + timedelta(microseconds=random.randrange(_DAYS * 86_400_000_000))
        size = BLOB_SIZES[number % len(BLOB_SIZES)]
        yield (
            tenants[owner.tenant], make_id(_ms(created_at), random.getrandbits(74)), owner.id,
            f"document-{number}", _TYPES[number % len(_TYPES)], size, blob_sha256(size), blob_name(size),
            created_at,
        )  # fmt: skip


def _event_rows(
    scale: Scale, users: list[_User], tenants: list[str], random: Random
) -> Iterator[tuple[object, ...]]:
    # In the order of time, as a log grows: a tenant's rows lie scattered all over the table.
    total = scale.users * scale.events_per_user
    step = timedelta(days=_DAYS) / max(1, total)
    for number, user in enumerate(random.choices(users, k=total)):
        kind = _KINDS[number % 7]
        data = f'{{"ip": "10.0.{number % 251}.{number % 241}", "ms": {number % 997}}}'
        yield tenants[user.tenant], user.id, kind, data, _START + step * number


async def _copy(
    connection: asyncpg.Connection, table: str, columns: tuple[str, ...], rows: Iterator[tuple[object, ...]]
) -> int:
    _say(table)
    status = await connection.copy_records_to_table(table, columns=columns, records=rows)
    return int(status.rpartition(" ")[2])


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1e3)


def _say(what: str) -> None:
    sys.stderr.write(f"seeding: {what}\n")
    sys.stderr.flush()
