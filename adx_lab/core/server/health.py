"""Whether the service lives, whether it can work, and its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from adx_lab.core.clients.valkey import ValkeyUnavailableError
from adx_lab.core.monitoring.metrics import render
from adx_lab.core.server.http import Request, Response, reply

if TYPE_CHECKING:
    from adx_lab.core.service import Service

_OK = b'{"status":"ok"}'


class Health(msgspec.Struct):
    """The process answers."""

    status: str


class Ready(msgspec.Struct):
    """Whether what the service needs answers: without Valkey it works, but slower."""

    status: str
    database: str
    valkey: str


async def health(service: Service, request: Request) -> Response:  # noqa: ARG001
    """Answer."""
    return Response(_OK)


async def ready(service: Service, request: Request) -> Response:  # noqa: ARG001
    """Ask the database and Valkey."""
    database = "up" if await service.db.ping() else "down"
    valkey = await _valkey_state(service)
    if database == "down":
        return reply(Ready("down", database, valkey), 503, [("retry-after", "1")])
    return reply(Ready("degraded" if valkey == "down" else "ok", database, valkey))


async def metrics(service: Service, request: Request) -> Response:  # noqa: ARG001
    """Show the metrics of all workers."""
    service.monitor.refresh()
    text = render(service.metrics.memory)
    return Response(text.encode(), 200, [("content-type", "text/plain; version=0.0.4; charset=utf-8")])


async def _valkey_state(service: Service) -> str:
    if service.cache.valkey is None:
        return "off"
    try:
        await service.cache.valkey.ask(("PING",))
    except ValkeyUnavailableError:
        return "down"
    return "up"
