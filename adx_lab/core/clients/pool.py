"""A pool of PostgreSQL connections with nothing on the hot path but a deque.

Taking an idle connection is a synchronous pop, and giving it back sends nothing to the server, so that no
statement may leave session state behind: a transaction that is still open at release closes its connection,
and a test proves that nothing else stays. The connection used last is taken first, so that the others get
idle and can be given up.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from typing import TYPE_CHECKING

import asyncpg
import msgspec

from adx_lab.core.monitoring.logs import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

OPENING_MAX = 4
GROW_AFTER_S = 0.02
GROW_AGAIN_S = 1.0
_LIFETIME_JITTER = 0.2
_logger = logging.getLogger("adx_lab.core.clients.pool")


class PoolTimeoutError(Exception):
    """No connection came free in time."""


class PoolClosedError(Exception):
    """The pool is shutting down."""


class PoolFigures(msgspec.Struct, frozen=True):
    """What the pool is really doing now."""

    size: int
    idle: int
    active: int
    waiting: int


class Link:
    """A connection of the pool, with the statements that were prepared on it."""

    __slots__ = ("born", "connection", "idle_since", "statements")

    def __init__(self, connection: asyncpg.Connection, now: float) -> None:
        self.connection = connection
        self.statements: dict[str, asyncpg.prepared_stmt.PreparedStatement] = {}
        self.born = now
        self.idle_since = now


class Pool:
    """Connections made by ``connect``, at most ``size_max`` of them.

    Parameters
    ----------
    acquire_s, idle_s, lifetime_s
        How long to wait for a connection, to keep one that is idle (above ``size_min``), and to keep any.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
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
        self._idle: deque[Link] = deque()
        self._waiters: deque[asyncio.Future[Link]] = deque()
        self._size = 0  # open, being opened, or being closed
        self._opening = 0
        self._growing: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """Begin to keep the pool: at least ``size_min`` connections, none too old or too long idle."""
        await self._keep_once()
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Close idle connections now and the others as they are given back; refuse new work."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(PoolClosedError())
        while self._idle:
            self._retire(self._idle.popleft())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)

    def figures(self) -> PoolFigures:
        """Return the real figures."""
        waiting = sum(not waiter.done() for waiter in self._waiters)
        return PoolFigures(self._size, len(self._idle), self._size - len(self._idle), waiting)

    def try_acquire(self) -> Link | None:
        """Take an idle connection, or None: the hot path, without a task or a timer."""
        while self._idle:
            link = self._idle.pop()
            if not link.connection.is_closed():
                return link
            self._size -= 1
        return None

    async def acquire(self) -> Link:
        """Take a connection, opening one or waiting for one.

        Raises
        ------
        PoolTimeoutError
            None came free in time.
        OSError, asyncpg.PostgresError
            A new one could not be opened.
        """
        link = self.try_acquire()
        if link is not None:
            return link
        if self._closed:
            raise PoolClosedError
        waiter: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._grow_soon()
        try:
            async with asyncio.timeout(self._acquire_s):
                return await waiter
        except TimeoutError:
            self._hand_back(waiter)
            raise PoolTimeoutError(f"no connection came free in {self._acquire_s:g} s") from None
        except asyncio.CancelledError:
            self._hand_back(waiter)
            raise

    def release(self, link: Link) -> None:
        """Give a connection back to whoever has waited longest, or to the idle ones."""
        connection = link.connection
        if connection.is_closed():
            self._gone()
        elif (
            self._closed or connection.is_in_transaction() or time.monotonic() - link.born > self._lifetime_s
        ):
            self.discard(link)
        else:
            self._offer(link)

    def discard(self, link: Link) -> None:
        """Close a connection that must not be used again; whoever waits gets a new one."""
        self._retire(link)

    async def _open(self) -> Link:
        self._size += 1
        try:
            return await self._connected()
        except BaseException:
            self._gone()
            raise

    async def _connected(self) -> Link:
        # Those that were opened together are not given up together.
        aged_s = self._lifetime_s * _LIFETIME_JITTER * random.random()  # noqa: S311
        return Link(await self._connect(), time.monotonic() - aged_s)

    def _offer(self, link: Link) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(link)
                return
        link.idle_since = time.monotonic()
        self._idle.append(link)

    def _hand_back(self, waiter: asyncio.Future[Link]) -> None:
        # The connection may have been given in the very moment in which the waiter gave up.
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self.release(waiter.result())
        else:
            waiter.cancel()

    def _gone(self) -> None:
        self._size -= 1
        self._grow()

    def _grow_soon(self) -> None:
        """Open connections, above the least number only if somebody still waits in a moment.

        Most waits are over before a connection could be opened. Opening one takes both sides milliseconds of
        the processor, and each of its queries has to be prepared anew: a burst that opened some at once would
        slow down what it waits for, and so open more.
        """
        if self._size < max(1, self.size_min):
            self._grow()
        elif self._growing is None:
            self._growing = asyncio.get_running_loop().call_later(GROW_AFTER_S, self._grow_now)

    def _grow_now(self) -> None:
        self._growing = None
        self._grow()

    def _grow(self) -> None:
        """Open connections for those who wait, a few at a time.

        Opening one takes longer than most queries, so that in a burst many get one that was given back
        meanwhile.
        """
        waiting = sum(not waiter.done() for waiter in self._waiters)
        while self._opening < min(waiting, OPENING_MAX) and self._size < self.size_max and not self._closed:
            self._opening += 1
            self._size += 1
            self._spawn(self._open_for_waiter())

    async def _open_for_waiter(self) -> None:
        try:
            link = await self._connected()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            self._size -= 1
            self._opening -= 1
            self._fail_first(error)
        else:
            self._opening -= 1
            self.release(link)
            self._grow()

    def _fail_first(self, error: Exception) -> None:
        if self._size > self._opening:
            # There are others, which will come free; the server may have no more of them to give.
            if self._growing is None:
                self._growing = asyncio.get_running_loop().call_later(GROW_AGAIN_S, self._grow_now)
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)
                break
        self._grow()

    def _retire(self, link: Link) -> None:
        self._spawn(self._close_link(link))

    async def _close_link(self, link: Link) -> None:
        # Closing politely also cancels a query that is still running for somebody who left.
        try:
            await link.connection.close(timeout=2)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            link.connection.terminate()
        finally:
            self._gone()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._idle_s / 4, self._lifetime_s / 4))
            await self._keep_once()

    async def _keep_once(self) -> None:
        now = time.monotonic()
        kept: deque[Link] = deque()
        spare = self._size - self.size_min
        for link in self._idle:  # those longest idle come first
            old = now - link.born > self._lifetime_s
            if link.connection.is_closed():
                self._size -= 1
            elif old or (spare > 0 and now - link.idle_since > self._idle_s):
                self._retire(link)
            else:
                kept.append(link)
                continue
            spare -= 1
        self._idle = kept
        while self._size < self.size_min and not self._closed:
            try:
                self.release(await self._open())
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                log(_logger, logging.WARNING, "the pool can't open a connection", error=str(error))
                return
