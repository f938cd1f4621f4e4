"""Who somebody is and what they may do: login, sessions, permissions."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from adx_lab.core.auth.tokens import (
    Principal,
    new_refresh_token,
    refresh_hash,
    session_scope,
    unauthorized,
    user_scope,
)
from adx_lab.core.cache.cache import Family
from adx_lab.core.server.http import Request, Response, reply
from adx_lab.core.server.ids import new_id
from adx_lab.core.server.problems import Problem

if TYPE_CHECKING:
    from adx_lab.core.monitoring.timing import Timing
    from adx_lab.core.service import Service

Email = Annotated[str, Meta(min_length=3, max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$")]
Password = Annotated[str, Meta(min_length=8, max_length=200)]
Id = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$")]


class Permissions:
    """What a user may do, for asking and for showing."""

    __slots__ = ("json", "names")

    def __init__(self, raw: bytes) -> None:
        self.json = raw
        self.names = frozenset(msgspec.json.decode(raw, type=list[str]))


USER = Family("user")
ROLES = Family("roles")
PERMISSIONS = Family("permissions", Permissions)
SESSION = Family("session", bytes.decode)


class Login(msgspec.Struct, forbid_unknown_fields=True):
    """Who wants to come in."""

    tenant_id: Id
    email: Email
    password: Annotated[str, Meta(max_length=200)]


class Refresh(msgspec.Struct, forbid_unknown_fields=True):
    """A refresh token that was not used before."""

    refresh_token: Annotated[str, Meta(min_length=1, max_length=200)]


class Tokens(msgspec.Struct):
    """A short-lived access token, and a refresh token that is good for one use."""

    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105


async def authenticate(service: Service, request: Request) -> Principal:
    """Return whom the request's token names, if its session is still good.

    Raises
    ------
    Problem
        401.
    """
    principal = service.tokens.read(request.header("authorization"))
    owner = await service.cache.get(
        SESSION,
        principal.session_scope,
        lambda: _load_session(service, principal, request.timing),
        request.timing,
    )
    # The session names its owner: a token can't move it to somebody else.
    if owner != principal.user_scope:
        raise unauthorized("the session was ended")
    return principal


async def authorize(service: Service, request: Request, permission: str) -> None:
    """Refuse what the user is not allowed.

    Raises
    ------
    Problem
        403, naming the permission.
    """
    granted = await permissions(service, request.principal, request.timing)
    if permission not in granted.names:
        raise Problem(403, "Forbidden", f"needs the permission {permission}", permission=permission)


async def permissions(service: Service, principal: Principal, timing: Timing | None) -> Permissions:
    """Return what a user may do."""
    granted: Permissions = await service.cache.get(
        PERMISSIONS,
        principal.user_scope,
        lambda: load_json(
            service, "users.permissions", principal.tenant_id, principal.user_id, timing=timing
        ),
        timing,
    )
    return granted


async def load_json(service: Service, query: str, *args: object, timing: Timing | None) -> bytes | None:
    """Run a query whose answer is one JSON text."""
    text: str | None = await service.db.value(query, *args, timing=timing)
    return None if text is None else text.encode()


async def login(service: Service, request: Request) -> Response:
    """Check a password and start a session."""
    credentials = await request.read(Login)
    tenant_id, email = credentials.tenant_id.lower(), credentials.email.lower()
    await service.attempts.count(tenant_id, email)
    rows = await service.db.fetch("auth.user_by_email", tenant_id, email, timing=request.timing)
    stored = rows[0]["password_hash"] if rows and rows[0]["is_active"] else None
    if not await service.passwords.verify(stored, credentials.password):
        raise unauthorized("wrong tenant, e-mail or password")
    service.attempts.succeeded(tenant_id, email)
    return await _open_session(service, request, tenant_id, str(rows[0]["id"]))


async def refresh(service: Service, request: Request) -> Response:
    """Exchange a refresh token for new tokens.

    A token that was used before is known to two: the session ends, for the thief and for the owner.
    """
    given = await request.read(Refresh)
    used, new = refresh_hash(given.refresh_token), new_refresh_token()
    async with service.db.transaction(request.timing) as transaction:
        rows = await transaction.fetch("auth.use_refresh_token", used)
        if rows:
            await transaction.fetch("auth.add_refresh_token", refresh_hash(new), rows[0]["id"])
    if not rows:
        session_id = await service.db.value("auth.session_of_token", used, timing=request.timing)
        if session_id is not None:
            await _end_session(service, str(session_id), request.timing)
        raise unauthorized("the refresh token is not valid")
    ids = [str(rows[0][name]) for name in ("tenant_id", "user_id", "id")]
    return _tokens(service, ids[0], ids[1], ids[2], new)


async def logout(service: Service, request: Request) -> Response:
    """End the session of the token: neither it nor its refresh token is good any more."""
    await _end_session(service, request.principal.session_id, request.timing)
    return Response(status=204, headers=[])


async def end_sessions(service: Service, tenant_id: str, user_id: str, timing: Timing | None) -> None:
    """End every session of a user."""
    rows = await service.db.fetch("auth.revoke_user", tenant_id, user_id, timing=timing)
    if rows:
        await service.cache.invalidate(*(session_scope(str(row["id"])) for row in rows))


async def _end_session(service: Service, session_id: str, timing: Timing | None) -> None:
    await service.db.fetch("auth.revoke_session", session_id, timing=timing)
    await service.cache.invalidate(session_scope(session_id))


async def me(service: Service, request: Request) -> Response:
    """Show the user, with roles and permissions."""
    principal = request.principal
    granted = await permissions(service, principal, request.timing)
    body = await user_json(service, principal.tenant_id, principal.user_id, request.timing)
    return Response(body[:-1] + b',"permissions":' + granted.json + b"}")


async def user_json(service: Service, tenant_id: str, user_id: str, timing: Timing | None) -> bytes:
    """Return a user with the names of its roles, as JSON.

    Raises
    ------
    Problem
        404.
    """
    scope = user_scope(tenant_id, user_id)
    user = await service.cache.get(
        USER, scope, lambda: load_json(service, "users.get", tenant_id, user_id, timing=timing), timing
    )
    if user is None:
        raise Problem(404, "Not found")
    roles = await service.cache.get(
        ROLES, scope, lambda: load_json(service, "users.roles", tenant_id, user_id, timing=timing), timing
    )
    body: bytes = user[:-1] + b',"roles":' + roles + b"}"
    return body


async def _load_session(service: Service, principal: Principal, timing: Timing | None) -> bytes | None:
    rows = await service.db.fetch("auth.session_owner", principal.session_id, timing=timing)
    return user_scope(*map(str, rows[0])).encode() if rows else None


async def _open_session(service: Service, request: Request, tenant_id: str, user_id: str) -> Response:
    session_id, refresh = new_id(), new_refresh_token()
    expires_at = datetime.fromtimestamp(time.time() + service.settings.auth.refresh_ttl_s, UTC)
    opened = await service.db.value(
        "auth.open_session", session_id, tenant_id, user_id, expires_at, refresh_hash(refresh),
        timing=request.timing,
    )  # fmt: skip
    if opened is None:
        raise unauthorized("wrong tenant, e-mail or password")
    return _tokens(service, tenant_id, user_id, session_id, refresh)


def _tokens(service: Service, tenant_id: str, user_id: str, session_id: str, refresh: str) -> Response:
    access = service.tokens.make(tenant_id, user_id, session_id)
    return reply(Tokens(access, refresh, int(service.settings.auth.access_ttl_s)))
