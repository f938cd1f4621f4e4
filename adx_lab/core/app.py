"""The application: what every request goes through, in the order in which it does."""

from __future__ import annotations

import logging
import secrets
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING, Any

import asyncpg

from adx_lab.core import auth, health, users
from adx_lab.core.errors import CoreError
from adx_lab.core.http import Problem, Request, Response, Stream
from adx_lab.core.logs import log
from adx_lab.core.pages import PageQuery
from adx_lab.core.pool import PoolClosedError, PoolTimeoutError
from adx_lab.core.routing import Route, Router
from adx_lab.core.service import Service, build_service
from adx_lab.core.timing import Timing

if TYPE_CHECKING:
    import asyncio

    from adx_lab.core.metrics import Counter, Histogram, Memory
    from adx_lab.core.settings import Settings

SLOW_REQUEST_MS = 100.0
_SECURITY_HEADERS = [
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("strict-transport-security", "max-age=31536000"),
    ("x-content-type-options", "nosniff"),
]
_logger = logging.getLogger("adx_lab.core.app")

ROUTES = (
    Route("GET", "/health", health.health, "gateway", None, returns=health.Health),
    Route("GET", "/ready", health.ready, "gateway", None, returns=health.Ready, problems=(503,)),
    Route("GET", "/metrics", health.metrics, "metrics", None, prefix=""),
    Route("POST", "/auth/login", auth.login, "auth", None, body=auth.Login, returns=auth.Tokens,
          problems=(401,)),
    Route("GET", "/auth/me", auth.me, "auth", returns=users.User),
    Route("GET", "/users", users.list_users, "users", "users.read", query=PageQuery, returns=users.UserPage),
    Route("POST", "/users", users.create_user, "users", "users.write", body=users.NewUser, returns=users.User,
          status=201, problems=(409,)),
    Route("GET", "/users/{id}", users.get_user, "users", "users.read", returns=users.User, problems=(404,)),
)  # fmt: skip


def build_app(settings: Settings, memory: Memory | None = None) -> App:
    """Put a worker's application together."""
    return App(build_service(settings, memory), Router(ROUTES))


class App:
    """One worker: an RSGI application.

    A request is matched, then authenticated, then authorized, then handled; whatever is raised on the way
    becomes a problem document; then it is timed, counted and sent.
    """

    def __init__(self, service: Service, router: Router) -> None:
        self.service = service
        self._router = router
        self._timed = service.settings.server_timing
        self._request_ids = count()
        self._id_prefix = secrets.token_hex(6)
        self._recorder = Recorder(service) if service.settings.on("metrics.http") else None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start before the first request is accepted."""
        try:
            loop.run_until_complete(self.service.start())
        except CoreError as error:
            raise SystemExit(str(error)) from None

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close after the last one."""
        loop.run_until_complete(self.service.close())

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        started = perf_counter()
        request = Request(scope, protocol, (), self.service.settings.gateway.body_max)
        request.request_id = self._request_id(request.header("x-request-id"))
        if self._timed:
            request.timing = Timing()
        route: Route | None = None
        try:
            route, request.args = self._router.find(request.method, request.path)
            response = await self._handle(route, request)
        except Exception as error:  # noqa: BLE001  # the boundary: every fault becomes a problem document
            response = _problem_of(error, request).response(request.request_id)
        ms = (perf_counter() - started) * 1e3
        headers = [*response.headers, ("x-request-id", request.request_id), *_SECURITY_HEADERS]
        if request.timing is not None:
            headers.append(("server-timing", request.timing.header(ms)))
        if isinstance(response, Stream):
            await _send_stream(protocol, response, headers)
        else:
            protocol.response_bytes(response.status, headers, response.body)
        if self._recorder is not None:
            self._recorder.observe(route, request, response.status, (perf_counter() - started) * 1e3)

    async def _handle(self, route: Route, request: Request) -> Response:
        service = self.service
        if route.permission is not None:
            request.principal = await auth.authenticate(service, request)
            if route.permission:
                await auth.authorize(service, request, route.permission)
        return await route.handler(service, request)

    def _request_id(self, given: str | None) -> str:
        if given is not None and 0 < len(given) <= 64 and given.isascii() and given.isprintable():
            return given
        return f"{self._id_prefix}-{next(self._request_ids):x}"


class Recorder:
    """Counts requests by method, route template and status."""

    def __init__(self, service: Service) -> None:
        self._metrics = service.metrics
        self._known: dict[tuple[Route | None, int], tuple[Histogram, Counter]] = {}

    def observe(self, route: Route | None, request: Request, status: int, ms: float) -> None:
        """Record one request."""
        known = self._known.get((route, status))
        if known is None:
            known = self._known[(route, status)] = self._make(route, status)
        known[0].observe(ms)
        known[1].add()
        if ms > SLOW_REQUEST_MS and route is not None and not route.streams:
            log(
                _logger, logging.WARNING, "slow request", method=route.method, path=route.template,
                ms=round(ms, 3), status=status, request_id=request.request_id,
            )  # fmt: skip

    def _make(self, route: Route | None, status: int) -> tuple[Histogram, Counter]:
        # Paths that match nothing share one label: outsiders must not be able to make series.
        method, path = (route.method, route.template) if route else ("other", "unmatched")
        return (
            self._metrics.histogram("http_request_duration_ms", method=method, path=path, status=str(status)),
            self._metrics.counter("http_requests_total", method=method, status=str(status)),
        )


async def _send_stream(protocol: Any, response: Stream, headers: list[tuple[str, str]]) -> None:
    transport = protocol.response_stream(response.status, headers)
    async for chunk in response.chunks:
        await transport.send_bytes(chunk)


_UNAVAILABLE = (
    PoolTimeoutError, PoolClosedError, OSError, TimeoutError, asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError, asyncpg.InsufficientResourcesError, asyncpg.OperatorInterventionError,
    asyncpg.InternalClientError,
)  # fmt: skip


def _problem_of(error: Exception, request: Request) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, _UNAVAILABLE):
        log(_logger, logging.ERROR, "unavailable", error=repr(error), request_id=request.request_id)
        return Problem(503, "Unavailable", "try again in a moment", headers=[("retry-after", "1")])
    log(
        _logger, logging.ERROR, "a request failed", error=repr(error), request_id=request.request_id,
        method=request.method, path=request.path,
    )  # fmt: skip
    _logger.debug("traceback", exc_info=error)
    return Problem(500, "Internal error")
