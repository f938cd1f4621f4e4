"""Sessions: opened by a password, carried on by refresh tokens, ended by logging out."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from adx_lab.core.auth.fields import Email, Id
from adx_lab.core.auth.tokens import new_refresh_token, refresh_hash, unauthorized, user_scope
from adx_lab.core.server.http import Request, Response, reply
from adx_lab.core.server.ids import new_id

if TYPE_CHECKING:
    from adx_lab.core.service import Service


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


async def login(service: Service, request: Request) -> Response:
    """Check a password and start a session."""
    credentials = await request.read(Login)
    tenant_id, email = credentials.tenant_id.lower(), credentials.email.lower()
    await service.attempts.count(tenant_id, email, request.peer)
    rows = await service.db.fetch("auth.user_by_email", tenant_id, credentials.email, timing=request.timing)
    stored = rows[0]["password_hash"] if rows and rows[0]["is_active"] else None
    if not await service.passwords.verify(stored, credentials.password, request.peer):
        raise unauthorized("wrong tenant, e-mail or password")
    service.attempts.succeeded(tenant_id, email, request.peer)
    return await _open_session(service, request, tenant_id, str(rows[0]["id"]))


async def refresh(service: Service, request: Request) -> Response:
    """Exchange a refresh token for new tokens.

    A token that was used before is known to two: the session ends, for the thief and for the owner.
    """
    given = await request.read(Refresh)
    new = refresh_hash(token := new_refresh_token())
    grace_s = service.settings.auth.refresh_grace_s
    row = await service.db.row(
        "auth.refresh", refresh_hash(given.refresh_token), new, grace_s, timing=request.timing
    )
    if row is None or not row["good"]:
        if row is not None:
            await service.cache.invalidate(user_scope(str(row["tenant_id"]), str(row["user_id"])))
        raise unauthorized("the refresh token is not valid")
    return _tokens(service, str(row["tenant_id"]), str(row["user_id"]), str(row["id"]), token)


async def logout(service: Service, request: Request) -> Response:
    """End the session of the token: neither it nor its refresh token is good any more."""
    async with service.cache.changing(request.principal.user_scope):
        await service.db.fetch("auth.revoke_session", request.principal.session_id, timing=request.timing)
    return Response(status=204, headers=[])


async def me(service: Service, request: Request) -> Response:  # noqa: ARG001
    """Show the user, with roles and permissions."""
    return Response(request.account.own_json)


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
