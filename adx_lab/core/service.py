"""The parts of a worker that endpoints use, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adx_lab.core.auth.attempts import Attempts
from adx_lab.core.auth.passwords import Passwords
from adx_lab.core.auth.tokens import Tokens
from adx_lab.core.cache.cache import Cache
from adx_lab.core.cache.invalidation import Listener
from adx_lab.core.database.database import Database
from adx_lab.core.files.store import FileStore
from adx_lab.core.monitoring.metrics import Metrics
from adx_lab.core.monitoring.monitor import Monitor
from adx_lab.core.server.gateway import InFlight, RateLimiter
from adx_lab.core.server.streams import Streams
from adx_lab.core.workflows.waking import Waker

if TYPE_CHECKING:
    from adx_lab.core.monitoring.metrics import Memory
    from adx_lab.core.server.routing import Route
    from adx_lab.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """What a worker is made of; made before the loop runs, started in it."""

    settings: Settings
    metrics: Metrics
    db: Database
    cache: Cache
    listener: Listener | None
    tokens: Tokens
    passwords: Passwords
    attempts: Attempts
    limiter: RateLimiter
    in_flight: InFlight
    streams: Streams
    files: FileStore
    waker: Waker
    monitor: Monitor
    routes: tuple[Route, ...]

    async def start(self) -> None:
        """Connect to what the service needs; what is away now is tried again later."""
        await self.db.pool.start()
        if self.cache.valkey is not None:
            await self.cache.valkey.start()
        if self.listener is not None:
            await self.listener.start()
        self.streams.start()
        self.in_flight.start()
        self.monitor.start()
        if self.cache.trace is not None:
            self.cache.trace.start()

    async def close(self) -> None:
        """Let go of everything."""
        self.monitor.close()
        self.in_flight.close()
        self.streams.close()
        if self.listener is not None:
            await self.listener.close()
        if self.cache.valkey is not None:
            await self.cache.valkey.close()
        if self.cache.trace is not None:
            self.cache.trace.close()
        await self.db.close()
        self.passwords.close()


def build_service(
    settings: Settings, memory: Memory | None = None, routes: tuple[Route, ...] = ()
) -> Service:
    """Make a worker's parts from the settings."""
    metrics = Metrics(memory)
    db = Database(settings, metrics)
    cache = Cache(settings, metrics)
    listens = bool(settings.valkey_url) and settings.on("cache.invalidation") and settings.on("cache.l1")
    return Service(
        settings=settings,
        metrics=metrics,
        db=db,
        cache=cache,
        listener=Listener(settings.valkey_url, cache, settings.valkey.retry_s) if listens else None,
        tokens=Tokens(settings.token_secret, settings.auth.access_ttl_s),
        passwords=Passwords(settings.auth),
        attempts=Attempts(settings, cache.valkey),
        limiter=RateLimiter(settings, cache.valkey),
        in_flight=InFlight(settings.gateway),
        streams=Streams(settings),
        files=FileStore(settings.files_url),
        waker=Waker(db),
        monitor=Monitor(settings, metrics, db.pool),
        routes=routes,
    )
