"""The tenant of the user."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from adx_lab.core.auth.access import load_text
from adx_lab.core.auth.fields import Id
from adx_lab.core.cache.cache import Family
from adx_lab.core.server.http import Request, Response
from adx_lab.core.server.problems import Problem

if TYPE_CHECKING:
    from adx_lab.core.service import Service

CONFIG = Family("tenant")


class Tenant(msgspec.Struct):
    """A tenant with its configuration."""

    id: Id
    name: str
    plan: str
    config: dict[str, Any]
    created_at: datetime


async def current(service: Service, request: Request) -> Response:
    """Show the tenant's configuration."""
    tenant_id, timing = request.principal.tenant_id, request.timing
    body = await service.cache.get(
        CONFIG,
        request.principal.tenant_scope,
        lambda: load_text(service, "tenants.config", tenant_id, timing=timing),
        timing,
    )
    if body is None:
        raise Problem(404, "Not found")
    return Response(body)
