"""Whose requests are sent: many users of all tenants, each with a session and a token of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from adx_lab.core.auth.tokens import Tokens, new_refresh_token, refresh_hash
from adx_lab.core.database.database import QUERIES
from adx_lab.core.database.pages import page_json
from adx_lab.core.database.schema import open_database
from adx_lab.core.server.ids import new_id

if TYPE_CHECKING:
    import asyncpg

    from adx_lab.core.database.sample import Sample, SampleTenant, SampleUser

_SESSION_S = 7_200


class Person(NamedTuple):
    """A user with a token, and another user, a page and a file that it asks for."""

    tenant: SampleTenant
    user: SampleUser
    token: str
    other: SampleUser
    cursor: str
    file_id: str


Asks = Callable[[Person], tuple[str, bytes]]


def _get(path: Callable[[Person], str]) -> Asks:
    return lambda person: (f"GET /api/v1{path(person)}", b"")


def _rename(person: Person) -> tuple[str, bytes]:
    return f"PATCH /api/v1/users/{person.other.id}", b'{"name":"Renamed by the bench"}'


def _set_roles(person: Person) -> tuple[str, bytes]:
    roles = msgspec.json.encode({"roles": [person.other.role]})
    return f"PUT /api/v1/users/{person.other.id}/roles", roles


ENDPOINTS: dict[str, Asks] = {
    "GET /health": _get(lambda _: "/health"),
    "GET /auth/me": _get(lambda _: "/auth/me"),
    "GET /users/{id}": _get(lambda person: f"/users/{person.other.id}"),
    "GET /users": _get(lambda _: "/users"),
    "GET /users?cursor": _get(lambda person: f"/users?cursor={person.cursor}"),
    "GET /files/{id}": _get(lambda person: f"/files/{person.file_id}"),
    "PATCH /users/{id}": _rename,
    "PUT /users/{id}/roles": _set_roles,
}
_WRITES = {"PATCH /users/{id}", "PUT /users/{id}/roles"}


def requests_of(endpoint: str, people: list[Person]) -> list[bytes]:
    """Return a request of each person who may make one."""
    asking = [person for person in people if endpoint not in _WRITES or person.user.role == "admin"]
    return [_request(*ENDPOINTS[endpoint](person), person.token) for person in asking]


def _request(line: str, body: bytes, token: str) -> bytes:
    head = f"{line} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n"
    if body:
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


async def sign_in(database_url: str, secret: str, sample: Sample, count: int) -> list[Person]:
    """Open a session for so many users as logins would: every tenant's admin, then those of the largest."""
    everybody = [(tenant, user) for tenant in sample.tenants for user in tenant.users]
    chosen = sorted(everybody, key=lambda one: one[1] is not one[0].users[0])[:count]
    sessions = [new_id() for _ in chosen]
    over = datetime.now(UTC) + timedelta(seconds=_SESSION_S)
    connection = await open_database(database_url)
    try:
        rows = [
            (session, tenant.id, user.id, over, refresh_hash(new_refresh_token()))
            for session, (tenant, user) in zip(sessions, chosen, strict=True)
        ]
        await connection.executemany(QUERIES["auth.open_session"].sql, rows)
        cursors = {tenant.id: await _middle(connection, tenant) for tenant in sample.tenants}
    finally:
        await connection.close()
    tokens = Tokens(secret, _SESSION_S)
    return [
        Person(
            tenant,
            user,
            tokens.make(tenant.id, user.id, session),
            tenant.users[(number + 1) % len(tenant.users)],
            cursors[tenant.id],
            tenant.file_ids[number % len(tenant.file_ids)],
        )
        for number, (session, (tenant, user)) in enumerate(zip(sessions, chosen, strict=True))
    ]


async def _middle(connection: asyncpg.Connection, tenant: SampleTenant) -> str:
    """Return the cursor of the page that begins in the middle of a tenant's list of users."""
    size = max(1, tenant.user_count // 2)
    (row,) = await connection.fetch(QUERIES["users.list.first"].sql, tenant.id, size)
    return str(msgspec.json.decode(page_json(tuple(row), size))["next_cursor"])
