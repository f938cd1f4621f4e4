"""Named queries on the pool: timed, counted, logged when slow."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import asyncpg

from adx_lab.core.clients.pool import Link, Pool, PoolClosedError, PoolTimeoutError
from adx_lab.core.monitoring.logs import log
from adx_lab.core.sql import Query, load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from adx_lab.core.monitoring.metrics import Counter, Histogram, Metrics
    from adx_lab.core.monitoring.timing import Timing
    from adx_lab.core.settings import Settings

QUERIES = load_queries(Path(__file__).parents[1] / "queries")
SLOW_MS = 10.0
UNAVAILABLE = (
    PoolTimeoutError, PoolClosedError, OSError, TimeoutError, asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError, asyncpg.InsufficientResourcesError, asyncpg.OperatorInterventionError,
    asyncpg.InternalClientError,
)  # fmt: skip
_OUTDATED = (
    asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError,
    asyncpg.InvalidSQLStatementNameError,
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
        link = self.pool.try_acquire() or await self._acquire(timing)
        try:
            rows = await self._run(link, QUERIES[name], args, timing)
        except asyncpg.PostgresError:
            self.pool.release(link)  # the server answered: the connection is sound
            raise
        except BaseException:
            self.pool.discard(link)
            raise
        self.pool.release(link)
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
        link = self.pool.try_acquire() or await self._acquire(timing)
        clean = False
        try:
            async with link.connection.transaction(readonly=True):
                started = perf_counter()
                cursor = await link.connection.cursor(QUERIES[name].sql, *args)
                rows = await cursor.fetch(rows_a_chunk)
                spent = perf_counter() - started
                while rows:
                    yield [row[0] for row in rows]
                    if len(rows) < rows_a_chunk:
                        break
                    started = perf_counter()
                    rows = await cursor.fetch(rows_a_chunk)
                    spent += perf_counter() - started
            clean = True
            self.observe(name, spent * 1e3, None, args)
        finally:
            # A stream that was left in its middle has a portal and a transaction open.
            if clean:
                self.pool.release(link)
            else:
                self.pool.discard(link)

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
        self, link: Link, query: Query, args: Sequence[object], timing: Timing | None
    ) -> list[asyncpg.Record]:
        started = perf_counter()
        try:
            rows = await self._ask(link, query, args)
        except BaseException:
            if self._recorders is not None:
                self._recorders[query.name].errors.add()
            raise
        self.observe(query.name, (perf_counter() - started) * 1e3, timing, args)
        return rows

    async def _ask(self, link: Link, query: Query, args: Sequence[object]) -> list[asyncpg.Record]:
        if not self._prepared:
            return await link.connection.fetch(query.sql, *args)
        statement = link.statements.get(query.name)
        if statement is not None:
            try:
                return await statement.fetch(*args)
            except _OUTDATED:
                link.statements.clear()  # a table has changed since; nothing was carried out
        statement = link.statements[query.name] = await link.connection.prepare(query.sql)
        return await statement.fetch(*args)

    async def _acquire(self, timing: Timing | None) -> Link:
        started = perf_counter()
        try:
            return await self.pool.acquire()
        finally:
            waited_ms = (perf_counter() - started) * 1e3
            self._wait.observe(waited_ms)
            if timing is not None:
                timing.pool_ms += waited_ms

    async def _connect(self) -> asyncpg.Connection:
        return await connect(self._url, statement_cache_size=100 if self._prepared else 0)


async def connect(url: str, *, statement_cache_size: int = 100) -> asyncpg.Connection:
    """Open a connection that speaks UTC."""
    return await asyncpg.connect(
        url,
        timeout=5,
        statement_cache_size=statement_cache_size,
        server_settings={"timezone": "UTC", "application_name": "adx_core"},
    )


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
