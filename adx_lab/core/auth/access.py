"""What every request has to know: whether its session is good, and what its user may do.

One look-up answers both, and with them what the endpoint is going to show, if its route says so: from L1, by
one MGET from Valkey, or by one query. All of it lies in the user's scope, so that one invalidation takes back
a user's sessions, roles and permissions together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from adx_lab.core.auth.tokens import unauthorized, user_scope
from adx_lab.core.cache.cache import MISSING, Entry, Family
from adx_lab.core.server.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import asyncpg

    from adx_lab.core.monitoring.timing import Timing
    from adx_lab.core.server.http import Request
    from adx_lab.core.server.routing import Route
    from adx_lab.core.service import Service

_decode_roles = msgspec.json.Decoder(dict[str, list[str]]).decode
_encode = msgspec.json.Encoder().encode


class Account:
    """A user, for asking what it may do and for showing it.

    Its bytes are two lines: the user as JSON, and an object of its roles' permissions.
    """

    __slots__ = ("_json", "_own_json", "_roles", "_user", "active", "permissions")

    def __init__(self, raw: bytes) -> None:
        self._user, _, text = raw.partition(b"\n")
        self._roles = _decode_roles(text)
        self.active = b'"is_active":true' in self._user
        self.permissions = {name for names in self._roles.values() for name in names}
        self._json = self._own_json = b""  # made when they are shown, which few are

    @property
    def json(self) -> bytes:
        """The user as others see it."""
        if not self._json:
            self._json = self._user[:-1] + b',"roles":' + _encode(sorted(self._roles)) + b"}"
        return self._json

    @property
    def own_json(self) -> bytes:
        """The user as it sees itself."""
        if not self._own_json:
            self._own_json = self.json[:-1] + b',"permissions":' + _encode(sorted(self.permissions)) + b"}"
        return self._own_json


class Shown(NamedTuple):
    """What an endpoint shows: its cache entry, and a query that reads it together with the access.

    The query's first arguments are tenant, user and session, its first columns those of ``auth.access``.
    """

    entry: Entry
    query: str
    args: tuple[object, ...]
    read: Callable[[asyncpg.Record], bytes | None]


SESSION = Family("session")
USER = Family("user", Account)


async def admit(service: Service, request: Request, route: Route) -> None:
    """Refuse a request whose session is over, or whose user is not allowed; keep what the endpoint shows.

    Raises
    ------
    Problem
        401, or 403 naming the permission.
    """
    principal, timing, cache = request.principal, request.timing, service.cache
    session = Entry(SESSION, principal.user_scope, principal.session_item)
    own = Entry(USER, principal.user_scope, USER.name)
    good, account = cache.peek(session, timing), cache.peek(own, timing)
    if good is None or account is None:
        wanted = [entry for entry, value in ((session, good), (own, account)) if value is None]
        shown: Shown | None = route.shows(service, request) if route.shows is not None else None
        if shown is not None and shown.entry != own:
            request.found = cache.peek(shown.entry, timing)
            if request.found is None:
                wanted.append(shown.entry)
        found = await cache.fill(wanted, lambda absent: _load(service, request, shown, absent), timing)
        good, account = found.get(session, good), found.get(own, account)
        if shown is not None:
            request.found = found.get(shown.entry, request.found)
    if good is MISSING or account is MISSING or not account.active:
        raise unauthorized("the session was ended")
    if route.permission and route.permission not in account.permissions:
        raise Problem(
            403, "Forbidden", f"needs the permission {route.permission}", permission=route.permission
        )
    request.account = account


async def _load(
    service: Service, request: Request, shown: Shown | None, absent: Sequence[Entry]
) -> list[bytes | None]:
    """Read what neither layer has, by one query."""
    principal = request.principal
    if shown is not None and shown.entry in absent:
        query, args, read = shown.query, shown.args, shown.read
    else:
        query, args, read = "auth.access", (), _nothing
    ids = (principal.tenant_id, principal.user_id, principal.session_id)
    row = (await service.db.fetch(query, *ids, *args, timing=request.timing))[0]
    known = {SESSION: b"1" if row[0] else None, USER: _bytes(row[1])}
    return [
        read(row) if shown is not None and entry == shown.entry else known[entry.family] for entry in absent
    ]


async def account_of(service: Service, request: Request, user_id: str) -> Account:
    """Return a user of the tenant.

    Raises
    ------
    Problem
        404.
    """
    tenant_id, timing = request.principal.tenant_id, request.timing
    found = request.found
    if found is None:
        found = await service.cache.get(
            USER,
            user_scope(tenant_id, user_id),
            lambda: load_text(service, "users.get", tenant_id, user_id, timing=timing),
            timing,
        )
    if found is None or found is MISSING:
        raise Problem(404, "Not found")
    account: Account = found
    return account


def shown_user(tenant_id: str, user_id: str) -> Shown:
    """Return what an endpoint that shows a user of a tenant asks for."""
    entry = Entry(USER, user_scope(tenant_id, user_id), USER.name)
    return Shown(entry, "auth.access_user", (user_id,), lambda row: _bytes(row[2]))


async def load_text(service: Service, query: str, *args: object, timing: Timing | None) -> bytes | None:
    """Run a query whose answer is one text."""
    return _bytes(await service.db.value(query, *args, timing=timing))


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _nothing(row: asyncpg.Record) -> None:  # noqa: ARG001
    return None
