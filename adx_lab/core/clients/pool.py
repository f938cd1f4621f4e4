"""asyncpg's pool, which one enters by a seat.

asyncpg opens a connection for everybody who finds none idle, and fails whom the server refuses one. So a seat
comes first. There are as many seats as open connections; while somebody waits for one, a few more are put up,
whose takers open a connection each; and a seat is taken away with the connection that it was for.

Giving a connection back sends nothing to the server, so that no statement may leave session state behind; a
test proves that none does.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import msgspec

from adx_lab.core.monitoring.logs import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncpg.pool import PoolConnectionProxy

OPENING_MAX = 4
GROW_AFTER_S = 0.02
"""Most waits are over before a connection could be opened.

Opening one takes both sides milliseconds of the processor, and each of its queries has to be prepared anew: a
burst that opened some at once would slow down what it waits for, and so open more.
"""

GROW_AGAIN_S = 1.0
"""After the server refused one."""

_GIVE_BACK_S = 2.0
_LIFETIME_JITTER = 0.2
_FAILED = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)
_logger = logging.getLogger("adx_lab.core.clients.pool")


class PoolTimeoutError(Exception):
    """No connection came free in time."""


class PoolFigures(msgspec.Struct, frozen=True):
    """What the pool is really doing now."""

    size: int
    idle: int
    active: int
    waiting: int


class Connection(asyncpg.Connection):
    """A connection that is given up at the time ``ends``."""

    __slots__ = ("ends",)
    ends: float


class Pool:
    """Connections made by ``connect``, at most ``size_max`` of them.

    Parameters
    ----------
    acquire_s, idle_s, lifetime_s
        How long to wait for a connection, to keep one that is idle (above ``size_min``), and to keep any.
    """

    def __init__(
        self,
        connect: Callable[..., Awaitable[asyncpg.Connection]],
        *,
        size_max: int,
        size_min: int,
        acquire_s: float,
        idle_s: float,
        lifetime_s: float,
    ) -> None:
        self._connect = connect
        self.size_max = size_max
        self.size_min = size_min
        self._acquire_s = acquire_s
        self._idle_s = idle_s
        self._lifetime_s = lifetime_s
        self._pool: asyncpg.Pool
        self._open = 0
        self._opening = 0
        self._seats = 1
        self._free = asyncio.Semaphore(self._seats)
        self._waiting = 0
        self._growing: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Open the least number of connections; keep none of them idle where the server is away now."""
        try:
            self._pool = await self._create(self.size_min)
        except _FAILED as error:
            log(_logger, logging.WARNING, "the pool can't open a connection", error=str(error))
            self._pool = await self._create(0)

    async def close(self) -> None:
        """Refuse new work, and close every connection when it is given back, or soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GIVE_BACK_S):
                await self._pool.close()

    def figures(self) -> PoolFigures:
        """Return the real figures."""
        size, idle = self._pool.get_size(), self._pool.get_idle_size()
        return PoolFigures(size, idle, size - idle, self._waiting)

    def has_room(self) -> bool:
        """Return whether one gets a connection without waiting."""
        return not self._free.locked()

    async def acquire(self) -> PoolConnectionProxy:
        """Take a connection, opening one or waiting for one.

        Raises
        ------
        PoolTimeoutError
            None came free in time.
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError
            A new one could not be opened, or the pool is closing.
        """
        if self.has_room():  # the common case: it needs no deadline, and pays for none
            await self._free.acquire()
            connection = await self._take()
            if connection is not None:
                return connection
        try:
            async with asyncio.timeout(self._acquire_s):
                return await self._wait()
        except TimeoutError:
            raise PoolTimeoutError(f"no connection came free in {self._acquire_s:g} s") from None

    async def release(self, connection: PoolConnectionProxy, *, clean: bool = False) -> None:
        """Give a connection back; what may still be under way on one that is not ``clean`` is broken off."""
        try:
            # One that fails here is closed, and whoever had it has their answer or their error.
            with suppress(*_FAILED):
                await self._pool.release(connection, timeout=None if clean else _GIVE_BACK_S)
        finally:
            self._stand_up()

    async def _create(self, size_min: int) -> asyncpg.Pool:
        return await asyncpg.create_pool(
            connect=self._open_one,
            connection_class=Connection,
            reset=self._close_old,
            min_size=size_min,
            max_size=self.size_max,
            max_queries=2**63,
            max_inactive_connection_lifetime=self._idle_s,
        )

    async def _open_one(self, *_: Any, **options: Any) -> asyncpg.Connection:
        self._opening += 1
        try:
            connection: Any = await self._connect(**options)
        finally:
            self._opening -= 1
        # Those that were opened together are not given up together.
        aged_s = self._lifetime_s * _LIFETIME_JITTER * random.random()  # noqa: S311
        connection.ends = monotonic() + self._lifetime_s - aged_s
        connection.add_termination_listener(self._one_closed)
        self._open += 1
        if self._seats < min(self._open, self.size_max):
            self._add_seat()
        return cast("asyncpg.Connection", connection)

    async def _one_closed(self, _: object) -> None:
        self._open -= 1
        if self.has_room():
            await self._free.acquire()
            self._stand_up()

    async def _close_old(self, connection: Any) -> None:
        if monotonic() > connection.ends:
            await connection.close(timeout=_GIVE_BACK_S)

    async def _wait(self) -> PoolConnectionProxy:
        while True:
            self._grow_in(GROW_AFTER_S)
            self._waiting += 1
            try:
                await self._free.acquire()
            finally:
                self._waiting -= 1
            connection = await self._take()
            if connection is not None:
                return connection

    def _stand_up(self) -> None:
        """Leave the seat to the next, or take it away with its connection."""
        if self._seats > max(1, self._open + self._opening):
            self._seats -= 1
            if self._waiting:
                self._grow_in(GROW_AFTER_S)
        else:
            self._free.release()

    async def _take(self) -> PoolConnectionProxy | None:
        """Take a connection, or None if the server has no more to give, but somebody will give one back."""
        try:
            return await self._pool.acquire()
        except _FAILED:
            if not self._pool.get_size() or self._pool.is_closing():
                self._stand_up()
                raise
            self._seats -= 1
            if self._growing is not None:
                self._growing.cancel()
                self._growing = None
            self._grow_in(GROW_AGAIN_S)
            return None
        except BaseException:
            self._stand_up()
            raise

    def _grow_in(self, delay_s: float) -> None:
        if self._growing is None and self._seats < self.size_max:
            self._growing = asyncio.get_running_loop().call_later(delay_s, self._grow)

    def _grow(self) -> None:
        """Put up seats for those who still wait, a few at a time."""
        self._growing = None
        for _ in range(min(self._waiting, OPENING_MAX - self._opening, self.size_max - self._seats)):
            self._add_seat()
        if self._waiting:
            self._grow_in(GROW_AFTER_S)

    def _add_seat(self) -> None:
        self._seats += 1
        self._free.release()
