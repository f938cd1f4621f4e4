"""Named queries on the pool: timed, counted, logged when slow."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import asyncpg

from adx_lab.core.clients.pool import Pool, PoolTimeoutError
from adx_lab.core.monitoring.logs import log
from adx_lab.core.sql import Query, load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from asyncpg.pool import PoolConnectionProxy

    from adx_lab.core.monitoring.metrics import Counter, Histogram, Metrics
    from adx_lab.core.monitoring.timing import Timing
    from adx_lab.core.settings import Settings

QUERIES = load_queries(Path(__file__).parents[1] / "queries")
SLOW_MS = 10.0
UNAVAILABLE = (
    PoolTimeoutError, OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError, asyncpg.InsufficientResourcesError, asyncpg.OperatorInterventionError,
)  # fmt: skip
_POOL_OFF_SIZE = 5
_PING_S = 1.0
_logger = logging.getLogger("adx_lab.core.database.database")


class _Recorder:
    """What is recorded of one named query."""

    __slots__ = ("errors", "histogram", "ok")

    def __init__(self, metrics: Metrics, name: str) -> None:
        self.histogram: Histogram = metrics.histogram("db_query_duration_ms", query=name)
        self.ok: Counter = metrics.counter("db_queries_success", query=name)
        self.errors: Counter = metrics.counter("db_queries_error", query=name)


class Database:
    """Runs named queries, each on a connection of its own unless it is part of a transaction."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._url = settings.database_url
        self._prepared = settings.on("db.prepared")
        self._slow_ms = SLOW_MS if settings.on("db.slow_log") else float("inf")
        self._recorders = (
            {name: _Recorder(metrics, name) for name in QUERIES} if settings.on("metrics.db") else None
        )
        self.pool = _pool(self._connect, settings)
        self._wait = metrics.histogram("db_pool_wait_ms")
        self._pinging = asyncio.Lock()
        self._own: asyncpg.Connection | None = None

    async def fetch(self, name: str, *args: object, timing: Timing | None) -> list[asyncpg.Record]:
        """Run a query and return its rows."""
        connection = await self._acquire(timing)
        try:
            rows = await self._run(connection, QUERIES[name], args, timing)
        except BaseException:
            await self.pool.release(connection)
            raise
        await self.pool.release(connection, clean=True)  # a deadline would cost each query a timer
        return rows

    async def row(self, name: str, *args: object, timing: Timing | None) -> Any:
        """Run a query and return its first row, or None."""
        rows = await self.fetch(name, *args, timing=timing)
        return rows[0] if rows else None

    async def value(self, name: str, *args: object, timing: Timing | None) -> Any:
        """Run a query and return the first column of its first row, or None."""
        rows = await self.fetch(name, *args, timing=timing)
        return rows[0][0] if rows else None

    async def stream(
        self, name: str, *args: object, rows_a_chunk: int, timing: Timing | None
    ) -> AsyncIterator[list[str]]:
        """Yield the first column of a query's rows, some at a time, by a cursor of the server's.

        The execution is recorded with the time that the database took, not the client.
        """
        connection = await self._acquire(timing)
        try:
            async with connection.transaction(readonly=True):
                started = perf_counter()
                cursor = await connection.cursor(QUERIES[name].sql, *args)
                rows = await cursor.fetch(rows_a_chunk)
                spent = perf_counter() - started
                while rows:
                    yield [row[0] for row in rows]
                    started = perf_counter()
                    rows = await cursor.fetch(rows_a_chunk)
                    spent += perf_counter() - started
            self.observe(name, spent * 1e3, None, args)
        finally:
            await self.pool.release(connection)

    async def ping(self) -> bool:
        """Return whether the server answers, on a connection of its own: the pool's may all be busy."""
        async with self._pinging:
            try:
                async with asyncio.timeout(_PING_S):
                    if self._own is None or self._own.is_closed():
                        self._own = await self._connect()
                    await self._own.fetch(QUERIES["health.ping"].sql)
            except (*UNAVAILABLE, asyncpg.PostgresError):
                if self._own is not None:
                    self._own.terminate()
                self._own = None
                return False
            return True

    async def close(self) -> None:
        """Close every connection."""
        if self._own is not None:
            self._own.terminate()
        await self.pool.close()

    def observe(self, name: str, ms: float, timing: Timing | None, args: Sequence[object]) -> None:
        """Record one execution that succeeded."""
        if timing is not None:
            timing.query(name, ms)
        if self._recorders is not None:
            recorder = self._recorders[name]
            recorder.histogram.observe(ms)
            recorder.ok.add()
        if ms > self._slow_ms:
            tenant = _tenant(QUERIES[name], args)
            log(_logger, logging.WARNING, "slow query", query=name, ms=round(ms, 3), tenant=tenant)

    async def _run(
        self, connection: PoolConnectionProxy, query: Query, args: Sequence[object], timing: Timing | None
    ) -> list[asyncpg.Record]:
        started = perf_counter()
        try:
            rows = await connection.fetch(query.sql, *args)
        except BaseException:
            if self._recorders is not None:
                self._recorders[query.name].errors.add()
            raise
        self.observe(query.name, (perf_counter() - started) * 1e3, timing, args)
        return rows

    async def _acquire(self, timing: Timing | None) -> PoolConnectionProxy:
        if self.pool.has_room():
            return await self.pool.acquire()
        started = perf_counter()
        try:
            return await self.pool.acquire()
        finally:
            waited_ms = (perf_counter() - started) * 1e3
            self._wait.observe(waited_ms)
            if timing is not None:
                timing.pool_ms += waited_ms

    async def _connect(self, **options: Any) -> asyncpg.Connection:
        return await connect(self._url, statement_cache_size=100 if self._prepared else 0, **options)


async def connect(url: str, **options: Any) -> asyncpg.Connection:
    """Open a connection that speaks UTC."""
    connection: asyncpg.Connection = await asyncpg.connect(
        url,
        timeout=5,
        max_cached_statement_lifetime=0,  # they are dropped when a table changes
        server_settings={"timezone": "UTC", "application_name": "adx_core"},
        **options,
    )
    return connection


def _pool(connect_one: Any, settings: Settings) -> Pool:
    pool = settings.pool
    if settings.on("pool.config"):
        size_max = max(1, pool.max // settings.workers)
        size_min = min(size_max, -(-pool.min // settings.workers))
    else:
        size_max = size_min = _POOL_OFF_SIZE
    return Pool(
        connect_one,
        size_max=size_max,
        size_min=size_min,
        acquire_s=pool.acquire_s,
        idle_s=pool.idle_s,
        lifetime_s=pool.lifetime_s,
    )


def _tenant(query: Query, args: Sequence[object]) -> str | None:
    named = (str(arg) for (name, _), arg in zip(query.params, args, strict=True) if name == "tenant_id")
    return next(named, None)
