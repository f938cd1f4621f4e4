"""The users of a tenant."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import asyncpg
import msgspec
from msgspec import Meta

from adx_lab.core.auth.access import Account, Shown, account_of, shown_user
from adx_lab.core.auth.fields import ONE_LINE, Email, Id, Password
from adx_lab.core.auth.tokens import user_scope
from adx_lab.core.cache.cache import Entry, Family
from adx_lab.core.database.pages import PAGE_SIZE_MAX, Lister, PageQuery, first_page, page_json
from adx_lab.core.database.rows import rows_response
from adx_lab.core.server.http import JSON, Request, Response
from adx_lab.core.server.ids import checked_id, new_id
from adx_lab.core.server.problems import Problem

if TYPE_CHECKING:
    from adx_lab.core.service import Service

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=ONE_LINE)]
RoleName = Annotated[str, Meta(min_length=1, max_length=60, pattern=ONE_LINE)]

LIST = Family("users.list")
_lister = Lister("users.list")
_FIRST = PageQuery()
_MAY_DEACTIVATE = "users.delete"
_TRIES = 5


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


def shows_page(service: Service, request: Request) -> Shown | None:
    """Return what `list_users` shows of the cache: the first page."""
    asked = request.query(PageQuery) if request.query_string else _FIRST
    if not first_page(asked) or asked.page is not None or not service.settings.on("db.pagination"):
        return None
    size = min(asked.page_size, PAGE_SIZE_MAX)
    entry = Entry(LIST, list_scope(request.principal.tenant_id), f"list:{size}:None")
    return Shown(entry, "auth.access_list", (size,), lambda row: page_json(row[2:6], size))


async def list_users(service: Service, request: Request) -> Response:
    """List the active users, the newest first."""
    if request.found is not None:
        return Response(request.found)
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


def shows_user(_service: Service, request: Request) -> Shown:
    """Return what `get_user` shows of the cache."""
    return shown_user(request.principal.tenant_id, checked_id(request.args[0]))


async def get_user(service: Service, request: Request) -> Response:
    """Show one user."""
    user_id = checked_id(request.args[0])
    return Response((await account_of(service, request, user_id)).json)


async def create_user(service: Service, request: Request) -> Response:
    """Add a user."""
    wanted = await request.read(NewUser)
    user_id, body = await add_user(service, request, wanted)
    return Response(body, 201, [JSON, ("location", f"/api/v1/users/{user_id}")])


async def add_user(service: Service, request: Request, wanted: NewUser) -> tuple[str, bytes]:
    """Add a user and return its id and JSON.

    Raises
    ------
    Problem
        403 (a role holds what the actor does not), 409 (the e-mail address is taken) or 422 (no such role).
    """
    password_hash = await service.passwords.hash(wanted.password, request.principal.tenant_id)
    principal, user_id = request.principal, new_id()
    scopes = (user_scope(principal.tenant_id, user_id), list_scope(principal.tenant_id))
    async with service.cache.changing(*scopes):
        row = await service.db.row(
            "users.create", principal.tenant_id, user_id, principal.user_id, wanted.email, wanted.name,
            password_hash, wanted.roles, timing=request.timing,
        )  # fmt: skip
    return user_id, _changed(row, wanted.roles).json


async def update_user(service: Service, request: Request) -> Response:
    """Change a user; deactivated, it loses its sessions."""
    wanted = await request.read(UserChange)
    if wanted.is_active is not None and _MAY_DEACTIVATE not in request.account.permissions:
        detail = f"needs the permission {_MAY_DEACTIVATE}"
        raise Problem(403, "Forbidden", detail, permission=_MAY_DEACTIVATE)
    return Response((await _update(service, request, wanted)).json)


async def deactivate_user(service: Service, request: Request) -> Response:
    """Take a user out of the lists and end its sessions; what it did stays."""
    await _update(service, request, UserChange(is_active=False))
    return Response(status=204, headers=[])


async def _update(service: Service, request: Request, wanted: UserChange) -> Account:
    user_id, principal = checked_id(request.args[0]), request.principal
    async with service.cache.changing(
        user_scope(principal.tenant_id, user_id), list_scope(principal.tenant_id)
    ):
        try:
            row = await service.db.row(
                "users.update", principal.tenant_id, user_id, principal.user_id, wanted.email, wanted.name,
                wanted.is_active, timing=request.timing,
            )  # fmt: skip
        except asyncpg.UniqueViolationError:
            raise _taken() from None
    return _changed(row, [])


async def set_roles(service: Service, request: Request) -> Response:
    """Replace a user's roles; when the response arrives, no replica grants what was taken away."""
    user_id, principal = checked_id(request.args[0]), request.principal
    wanted = await request.read(Roles)
    async with service.cache.changing(user_scope(principal.tenant_id, user_id)):
        for _ in range(_TRIES):
            row = await service.db.row(
                "users.set_roles", principal.tenant_id, user_id, principal.user_id, wanted.roles,
                timing=request.timing,
            )  # fmt: skip
            if row["outcome"] != "again":
                break
    return Response(_changed(row, wanted.roles).json)


async def export_users(service: Service, request: Request) -> Response:
    """Stream every user of the tenant, one JSON object a line."""
    return await rows_response(service, request, "users.export", request.principal.tenant_id)


def _changed(row: asyncpg.Record, roles: list[str]) -> Account:
    """Return the user that a change left, or raise the problem that it met."""
    match row["outcome"]:
        case "created" | "changed":
            return Account(row["account"].encode())
        case "forbidden":
            raise Problem(403, "Forbidden", "nobody grants, takes or changes what they may not do themselves")
        case "unknown":
            raise Problem(422, "Invalid value", f"not all are roles: {roles}", field="roles", where="body")
        case "taken":
            raise _taken()
        case "again":
            raise Problem(409, "Conflict", "the roles are being changed", headers=[("retry-after", "1")])
    raise Problem(404, "Not found")


def _taken() -> Problem:
    return Problem(409, "Conflict", "the e-mail address is taken", field="email")
