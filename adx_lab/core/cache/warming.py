"""Warming: what the hot users and active tenants will be asked for next is put into Valkey before they ask.

It lasts until the next warming, not only as long as an ordinary entry: a cache that were warm for ten minutes
of every fifteen would miss in the other five. Invalidation reaches it as it does any other entry.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from adx_lab.core.auth.sessions import PERMISSIONS, ROLES, load_json
from adx_lab.core.auth.tokens import tenant_scope, user_scope
from adx_lab.core.users.tenants import CONFIG

if TYPE_CHECKING:
    from adx_lab.core.service import Service

USERS_A_STEP = 100
_MARGIN = 1.1


async def hot_users(service: Service) -> list[tuple[str, str]]:
    """Return tenant and user of those who used the service last."""
    rows = await service.db.fetch("warming.hot_users", service.settings.warming.users, timing=None)
    return [(str(row["tenant_id"]), str(row["user_id"])) for row in rows]


async def active_tenants(service: Service) -> list[str]:
    """Return the tenants whose users used the service last."""
    rows = await service.db.fetch("warming.active_tenants", service.settings.warming.tenants, timing=None)
    return [str(row["tenant_id"]) for row in rows]


async def warm_users(service: Service, users: list[tuple[str, str]]) -> int:
    """Load permissions and roles of users."""
    ttl_s = service.settings.warming.every_s * _MARGIN
    for tenant_id, user_id in users:
        scope = user_scope(tenant_id, user_id)
        for family, query in ((PERMISSIONS, "users.permissions"), (ROLES, "users.roles")):
            load = partial(load_json, service, query, tenant_id, user_id, timing=None)
            await service.cache.warm(family, scope, load, ttl_s)
    return len(users)


async def warm_tenant(service: Service, tenant_id: str) -> None:
    """Load a tenant's configuration."""
    load = partial(load_json, service, "tenants.config", tenant_id, timing=None)
    ttl_s = service.settings.warming.every_s * _MARGIN
    await service.cache.warm(CONFIG, tenant_scope(tenant_id), load, ttl_s)
