"""The users of a tenant."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # read by msgspec at run time
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from adx_lab.core.auth import Email, Id, Password, user_json
from adx_lab.core.cache import Family
from adx_lab.core.http import Problem, Request, Response
from adx_lab.core.ids import checked_id, new_id
from adx_lab.core.pages import PAGE_SIZE_MAX, Lister, PageQuery, first_page
from adx_lab.core.tokens import user_scope

if TYPE_CHECKING:
    from adx_lab.core.service import Service

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
RoleName = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]

LIST = Family("users.list")
_lister = Lister("users.list")
_FIRST = PageQuery()


class User(msgspec.Struct):
    """A user as others see it."""

    id: Id
    tenant_id: Id
    email: str
    name: str
    is_active: bool
    created_at: datetime
    updated_at: datetime
    roles: list[str]


class UserPage(msgspec.Struct):
    """A page of users, without their roles."""

    items: list[dict[str, object]]
    next_cursor: str | None


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
    tenant_id = request.principal.tenant_id
    await _check_roles(service, request, wanted.roles)
    password_hash = await service.passwords.hash(wanted.password)
    user_id = new_id()
    created = await service.db.value(
        "users.create", tenant_id, user_id, wanted.email.lower(), wanted.name, password_hash, wanted.roles,
        timing=request.timing,
    )  # fmt: skip
    if created is None:
        raise Problem(409, "Conflict", "the e-mail address is taken", field="email")
    await service.cache.invalidate(user_scope(tenant_id, user_id), list_scope(tenant_id))
    roles = msgspec.json.encode(sorted(set(wanted.roles)))
    body = created.encode()[:-1] + b',"roles":' + roles + b"}"
    return Response(
        body, 201, [("content-type", "application/json"), ("location", f"/api/v1/users/{user_id}")]
    )


async def _check_roles(service: Service, request: Request, names: list[str]) -> None:
    if not names:
        return
    known = await service.db.value("tenants.roles", request.principal.tenant_id, timing=request.timing)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise Problem(422, "Invalid value", f"no role is called {unknown[0]!r}", field="roles", where="body")
