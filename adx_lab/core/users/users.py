"""The users of a tenant."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import asyncpg
import msgspec
from msgspec import Meta

from adx_lab.core.auth.sessions import Email, Id, Password, end_sessions, user_json
from adx_lab.core.auth.tokens import user_scope
from adx_lab.core.cache.cache import Family
from adx_lab.core.database.pages import PAGE_SIZE_MAX, Lister, PageQuery, first_page
from adx_lab.core.database.rows import rows_response
from adx_lab.core.server.http import JSON, Request, Response
from adx_lab.core.server.ids import checked_id, new_id
from adx_lab.core.server.problems import Problem

if TYPE_CHECKING:
    from adx_lab.core.monitoring.timing import Timing
    from adx_lab.core.service import Service

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
RoleName = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]

LIST = Family("users.list")
_lister = Lister("users.list")
_FIRST = PageQuery()


class UserRow(msgspec.Struct):
    """A user in a list."""

    id: Id
    tenant_id: Id
    email: str
    name: str
    is_active: bool
    created_at: datetime
    updated_at: datetime


class User(UserRow):
    """A user as others see it."""

    roles: list[str]


class Me(User):
    """The user itself, with what it may do."""

    permissions: list[str]


class UserPage(msgspec.Struct):
    """A page of users."""

    items: list[UserRow]
    next_cursor: str | None


class UserChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is to change; what is left out, or null, stays."""

    email: Email | None = None
    name: Name | None = None
    is_active: bool | None = None


class Roles(msgspec.Struct, forbid_unknown_fields=True):
    """A user's roles, by name."""

    roles: Annotated[list[RoleName], Meta(max_length=20)]


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    """A user to be."""

    email: Email
    name: Name
    password: Password
    roles: Annotated[list[RoleName], Meta(max_length=20)] = []


def list_scope(tenant_id: str) -> str:
    """Return the cache scope of a tenant's lists of users."""
    return f"users:{tenant_id}"


async def list_users(service: Service, request: Request) -> Response:
    """List the active users, the newest first."""
    asked = request.query(PageQuery) if request.query_string else _FIRST
    tenant_id, timing = request.principal.tenant_id, request.timing
    if not first_page(asked) or not service.settings.on("db.pagination"):
        return Response(await _lister.read(service, asked, (tenant_id,), timing))
    size = min(asked.page_size, PAGE_SIZE_MAX)
    body: bytes = await service.cache.get(
        LIST,
        list_scope(tenant_id),
        lambda: _lister.read(service, asked, (tenant_id,), timing),
        timing,
        f"list:{size}:{asked.page}",
    )
    return Response(body)


async def get_user(service: Service, request: Request) -> Response:
    """Show one user."""
    user_id = checked_id(request.args[0])
    return Response(await user_json(service, request.principal.tenant_id, user_id, request.timing))


async def create_user(service: Service, request: Request) -> Response:
    """Add a user."""
    wanted = await request.read(NewUser)
    user_id, body = await add_user(service, request.principal.tenant_id, wanted, request.timing)
    return Response(body, 201, [JSON, ("location", f"/api/v1/users/{user_id}")])


async def add_user(
    service: Service, tenant_id: str, wanted: NewUser, timing: Timing | None
) -> tuple[str, bytes]:
    """Add a user and return its id and JSON.

    Raises
    ------
    Problem
        409 (the e-mail address is taken) or 422 (there is no such role).
    """
    await check_roles(service, tenant_id, wanted.roles, timing)
    password_hash = await service.passwords.hash(wanted.password)
    user_id = new_id()
    created = await service.db.value(
        "users.create", tenant_id, user_id, wanted.email.lower(), wanted.name, password_hash, wanted.roles,
        timing=timing,
    )  # fmt: skip
    if created is None:
        raise _taken()
    await service.cache.invalidate(user_scope(tenant_id, user_id), list_scope(tenant_id))
    roles = msgspec.json.encode(sorted(set(wanted.roles)))
    return user_id, created.encode()[:-1] + b',"roles":' + roles + b"}"


async def update_user(service: Service, request: Request) -> Response:
    """Change a user; deactivated, it loses its sessions."""
    user_id, tenant_id = checked_id(request.args[0]), request.principal.tenant_id
    wanted = await request.read(UserChange)
    email = wanted.email.lower() if wanted.email else None
    try:
        found = await service.db.value(
            "users.update", tenant_id, user_id, email, wanted.name, wanted.is_active, timing=request.timing
        )
    except asyncpg.UniqueViolationError:
        raise _taken() from None
    if not found:
        raise Problem(404, "Not found")
    await service.cache.invalidate(user_scope(tenant_id, user_id), list_scope(tenant_id))
    if wanted.is_active is False:
        await end_sessions(service, tenant_id, user_id, request.timing)
    return Response(await user_json(service, tenant_id, user_id, request.timing))


async def deactivate_user(service: Service, request: Request) -> Response:
    """Take a user out of the lists and end its sessions; what it did stays."""
    user_id, tenant_id = checked_id(request.args[0]), request.principal.tenant_id
    if not await service.db.value("users.deactivate", tenant_id, user_id, timing=request.timing):
        raise Problem(404, "Not found")
    await service.cache.invalidate(user_scope(tenant_id, user_id), list_scope(tenant_id))
    await end_sessions(service, tenant_id, user_id, request.timing)
    return Response(status=204, headers=[])


async def set_roles(service: Service, request: Request) -> Response:
    """Replace a user's roles; when the response arrives, no replica grants what was taken away."""
    user_id, tenant_id = checked_id(request.args[0]), request.principal.tenant_id
    wanted = await request.read(Roles)
    await check_roles(service, tenant_id, wanted.roles, request.timing)
    async with service.db.transaction(request.timing) as transaction:
        if not await transaction.value("users.lock", tenant_id, user_id):
            raise Problem(404, "Not found")
        await transaction.fetch("users.take_roles", tenant_id, user_id, wanted.roles)
        await transaction.fetch("users.give_roles", tenant_id, user_id, wanted.roles)
    await service.cache.invalidate(user_scope(tenant_id, user_id))
    return Response(await user_json(service, tenant_id, user_id, request.timing))


async def export_users(service: Service, request: Request) -> Response:
    """Stream every user of the tenant, one JSON object a line."""
    return await rows_response(service, request, "users.export", request.principal.tenant_id)


def _taken() -> Problem:
    return Problem(409, "Conflict", "the e-mail address is taken", field="email")


async def check_roles(service: Service, tenant_id: str, names: list[str], timing: Timing | None) -> None:
    """Refuse roles that the tenant does not have.

    Raises
    ------
    Problem
        422, naming the first.
    """
    if not names:
        return
    known = await service.db.value("tenants.roles", tenant_id, timing=timing)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise Problem(422, "Invalid value", f"no role is called {unknown[0]!r}", field="roles", where="body")
