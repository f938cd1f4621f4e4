"""The application: what every request goes through, in the order in which it does."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from contextlib import suppress
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING, Any

import asyncpg
from granian._granian import RSGIProtocolClosed, RSGIProtocolError

from adx_lab.core.auth.access import admit
from adx_lab.core.database.database import UNAVAILABLE
from adx_lab.core.monitoring.logs import log
from adx_lab.core.monitoring.timing import Timing
from adx_lab.core.routes import ROUTES
from adx_lab.core.server.http import Request, Response, Stream, problem_response
from adx_lab.core.server.problems import Problem
from adx_lab.core.server.routing import Route, Router
from adx_lab.core.server.streams import finish
from adx_lab.core.service import Service, build_service

if TYPE_CHECKING:
    from adx_lab.core.monitoring.metrics import Counter, Histogram, Memory
    from adx_lab.core.monitoring.spans import Spans
    from adx_lab.core.settings import Settings

SLOW_REQUEST_MS = 100.0
_STRANGERS_BODY_MAX = 16 << 10
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?"
).fullmatch
_logger = logging.getLogger("adx_lab.core.server.app")


def build_app(settings: Settings, memory: Memory | None = None) -> App:
    """Put a worker's application together."""
    return App(build_service(settings, memory, ROUTES), Router(ROUTES))


class App:
    """One worker: an RSGI application."""

    def __init__(self, service: Service, router: Router) -> None:
        self.service = service
        self._router = router
        self._timed = service.settings.server_timing
        self._spans = _spans(service) if service.settings.spans else None
        self._limits = service.settings.gateway
        self._request_ids = count()
        self._id_prefix = secrets.token_hex(6)
        self._recorder = Recorder(service) if service.settings.on("metrics.http") else None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start before the first request is accepted."""
        loop.run_until_complete(self.service.start())
        if self._spans is not None:
            self._spans.start()

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close after the last one."""
        loop.run_until_complete(self.service.close())
        if self._spans is not None:
            self._spans.close()

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request: whatever is raised on the way becomes a problem document."""
        started = perf_counter()
        request = Request(scope, protocol)
        request.request_id = self._request_id(request.header("x-request-id"))
        if self._spans is not None:
            request.timing = self._spans.begin(request.header("traceparent"))
        if self._timed and request.timing is None:
            request.timing = Timing()
        route: Route | None = None
        try:
            route, request.args = self._router.find(request.method, request.path)
            response = await self._answer(route, request)
        except Exception as error:  # noqa: BLE001  # the boundary
            response = problem_response(_problem_of(error, request), request.request_id)
        ms = (perf_counter() - started) * 1e3
        headers = [*response.headers, ("x-request-id", request.request_id), *response.security]
        if self._timed and request.timing is not None:
            headers.append(("server-timing", request.timing.header(ms)))
        if request.method == "HEAD":
            await self._head(protocol, response, headers)
        elif isinstance(response, Stream):
            await self._stream(protocol, response, headers)
        else:
            protocol.response_bytes(response.status, headers, response.body)
        if self._spans is not None:
            name = request.method if route is None else f"{route.method} {route.template}"
            self._spans.end(request.timing, name, response.status)
        if self._recorder is not None:
            self._recorder.observe(route, request, response.status, (perf_counter() - started) * 1e3)

    async def _answer(self, route: Route, request: Request) -> Response:
        """Authenticate, shed, limit, authorize, handle."""
        service = self.service
        if route.permission is None:
            if route.always:
                return await route.handler(service, request)
            request.peer = self._peer_of(request)
            request.body_max = _STRANGERS_BODY_MAX
            request.body_timeout_s = self._limits.body_timeout_s
            # Whoever has sent a part of a login takes no place among those who are answered.
            await request.body()
            by = request.peer
        else:
            request.principal = service.tokens.read(request.header("authorization"))
            request.body_max = self._limits.upload_max if route.streams else self._limits.body_max
            request.body_timeout_s = self._limits.body_timeout_s
            by = request.principal.tenant_id
        in_flight = service.in_flight
        task = in_flight.enter(by, timed=route.method == "GET" or not route.streams)
        try:
            if route.permission is not None:
                if not service.limiter.try_admit(by):
                    await service.limiter.admit(by)
                await admit(service, request, route)
            return await route.handler(service, request)
        except asyncio.CancelledError:
            if in_flight.took_too_long(task):
                raise TimeoutError("the request took too long") from None
            raise
        finally:
            in_flight.leave(task, by)

    def _peer_of(self, request: Request) -> str:
        given = request.header("x-forwarded-for") if self._limits.forwarded else None
        return given.rpartition(",")[2].strip() if given else request.peer.rpartition(":")[0]

    async def _head(self, protocol: Any, response: Response, headers: list[tuple[str, str]]) -> None:
        if isinstance(response, Stream):
            response.release()
            await finish(response.chunks)
        elif response.status != 204 and not any(name == "content-length" for name, _ in headers):
            headers.append(("content-length", str(len(response.body))))
        protocol.response_empty(response.status, headers)

    async def _stream(self, protocol: Any, response: Stream, headers: list[tuple[str, str]]) -> None:
        gone = asyncio.ensure_future(protocol.client_disconnect())
        sending = asyncio.ensure_future(self.service.streams.send(protocol, response, headers))
        # A producer that has nothing to send yet would not notice otherwise that nobody is left.
        await asyncio.wait((gone, sending), return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not sending.done():
            sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending

    def _request_id(self, given: str | None) -> str:
        if given is not None and 0 < len(given) <= 64 and given.isascii() and given.isprintable():
            return given
        return f"{self._id_prefix}-{next(self._request_ids):x}"


def _spans(service: Service) -> Spans:
    # Whoever tells no spans need not load what packs them.
    from adx_lab.core.monitoring.spans import Spans  # noqa: PLC0415

    return Spans(service.metrics)


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
                ms=round(ms, 3), status=status, **told_of(request),
            )  # fmt: skip

    def _make(self, route: Route | None, status: int) -> tuple[Histogram, Counter]:
        # Paths that match nothing share one label: outsiders must not be able to make series.
        method, path = (route.method, route.template) if route else ("other", "unmatched")
        return (
            self._metrics.histogram("http_request_duration_ms", method=method, path=path, status=str(status)),
            self._metrics.counter("http_requests_total", method=method, status=str(status)),
        )


def told_of(request: Request) -> dict[str, Any]:
    """Return what a log line says of a request: its id, and the trace (W3C) that it is part of."""
    told = {"request_id": request.request_id}
    trace = _TRACEPARENT(request.header("traceparent") or "")
    if trace is not None:
        told |= {"trace_id": trace[1], "span_id": trace[2]}
    return told


def _problem_of(error: Exception, request: Request) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, RSGIProtocolClosed | RSGIProtocolError):
        return Problem(400, "Incomplete", "the body broke off")
    if isinstance(error, asyncpg.DataError | asyncpg.IntegrityConstraintViolationError | UnicodeError):
        return Problem(422, "Invalid value", "a value can't be stored")
    if isinstance(error, UNAVAILABLE):
        log(_logger, logging.ERROR, "unavailable", error=repr(error), **told_of(request))
        return Problem(503, "Unavailable", "try again in a moment", headers=[("retry-after", "1")])
    log(
        _logger, logging.ERROR, "a request failed", error=repr(error), exc_info=error,
        method=request.method, path=request.path, **told_of(request),
    )  # fmt: skip
    return Problem(500, "Internal error")
