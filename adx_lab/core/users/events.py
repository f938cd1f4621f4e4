"""The events of a tenant: the large table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from adx_lab.core.auth.fields import Id
from adx_lab.core.database.rows import rows_response

if TYPE_CHECKING:
    from adx_lab.core.server.http import Request, Response
    from adx_lab.core.service import Service

Moment = Annotated[datetime, Meta(tz=True)]


class EventQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which events: from ``since`` on, before ``until``, at most ``limit``."""

    since: Moment = datetime(1970, 1, 1, tzinfo=UTC)
    until: Moment = datetime(9999, 1, 1, tzinfo=UTC)
    limit: Annotated[int, Meta(ge=1, le=2_147_483_647)] = 2_147_483_647


class Event(msgspec.Struct):
    """One line of the stream."""

    id: int
    user_id: Id
    kind: str
    data: dict[str, Any]
    created_at: datetime


async def list_events(service: Service, request: Request) -> Response:
    """Stream events, the oldest first, one JSON object a line."""
    asked = request.query(EventQuery)
    return await rows_response(
        service, request, "events.list", request.principal.tenant_id, asked.since, asked.until, asked.limit
    )
