"""Warming: what the hot users and active tenants will be asked for next is put into Valkey before they ask.

It lasts until the next warming, not only as long as an ordinary entry: a cache that were warm for ten minutes
of every fifteen would miss in the other five. Invalidation reaches it as it does any other entry.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from adx_lab.core.auth.access import SESSION, USER, load_text
from adx_lab.core.auth.tokens import tenant_scope, user_scope
from adx_lab.core.cache.cache import Entry
from adx_lab.core.users.tenants import CONFIG

if TYPE_CHECKING:
    from adx_lab.core.service import Service

USERS_A_STEP = 100
_MARGIN = 1.1


async def hot_users(service: Service) -> list[tuple[str, str, list[str]]]:
    """Return tenant, user and sessions of those who used the service last."""
    rows = await service.db.fetch("warming.hot_users", service.settings.warming.users, timing=None)
    return [(str(row["tenant_id"]), str(row["user_id"]), list(map(str, row["session_ids"]))) for row in rows]


async def active_tenants(service: Service) -> list[str]:
    """Return the tenants whose users used the service last."""
    rows = await service.db.fetch("warming.active_tenants", service.settings.warming.tenants, timing=None)
    return [str(row["tenant_id"]) for row in rows]


async def warm_users(service: Service, users: list[tuple[str, str, list[str]]]) -> int:
    """Load users with roles and permissions, and their sessions: all that their next request has to know."""
    ttl_s = service.settings.warming.every_s * _MARGIN
    for tenant_id, user_id, session_ids in users:
        scope = user_scope(tenant_id, user_id)
        load = partial(load_text, service, "users.get", tenant_id, user_id, timing=None)
        await service.cache.warm(Entry(USER, scope, USER.name), load, ttl_s)
        for session_id in session_ids:
            await service.cache.warm(Entry(SESSION, scope, f"session:{session_id}"), _good, ttl_s)
    return len(users)


async def warm_tenant(service: Service, tenant_id: str) -> None:
    """Load a tenant's configuration."""
    load = partial(load_text, service, "tenants.config", tenant_id, timing=None)
    ttl_s = service.settings.warming.every_s * _MARGIN
    await service.cache.warm(Entry(CONFIG, tenant_scope(tenant_id), CONFIG.name), load, ttl_s)


async def _good() -> bytes:
    return b"1"
