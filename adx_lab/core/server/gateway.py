"""What stands before every endpoint: load shedding, deadlines, and each tenant's rate limit."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, cast

import cachebox

from adx_lab.core.clients.valkey import Valkey, ValkeyUnavailableError
from adx_lab.core.server.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from adx_lab.core.settings import Settings

_LEASES_A_SECOND = 10
_TENANTS_MAX = 10_000


class InFlight:
    """The requests that are being answered: not too many, and none for too long.

    More than ``in_flight_max`` are turned away at once, since a queue would make all of them late. One task
    looks for those that are overdue: a timer for each request would cost a quarter of what a cached answer
    costs.
    """

    def __init__(self, in_flight_max: int, timeout_s: float) -> None:
        self._max = in_flight_max
        self._timeout_s = timeout_s
        self._began: dict[asyncio.Task[object], float] = {}
        self._overdue: set[asyncio.Task[object]] = set()
        self._watcher: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for overdue requests."""
        self._watcher = asyncio.create_task(self._watch())

    def close(self) -> None:
        """Stop looking."""
        if self._watcher is not None:
            self._watcher.cancel()

    def enter(self, *, timed: bool) -> asyncio.Task[object]:
        """Let the request of this task in; its deadline counts from now, if it is timed.

        Raises
        ------
        Problem
            503 with ``Retry-After``.
        """
        if len(self._began) >= self._max:
            raise Problem(503, "Overloaded", "try again in a moment", headers=[("retry-after", "1")])
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._began[task] = monotonic() if timed else math.inf
        return task

    def leave(self, task: asyncio.Task[object]) -> None:
        """Count a request as answered."""
        del self._began[task]

    def took_too_long(self, task: asyncio.Task[object]) -> bool:
        """Return whether a cancelled request was cancelled for its deadline, and clear the cancellation."""
        if task not in self._overdue:
            return False
        self._overdue.remove(task)
        task.uncancel()
        return True

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(0.25, self._timeout_s / 4))
            latest = monotonic() - self._timeout_s
            for task, began in list(self._began.items()):
                if began < latest and task not in self._overdue:
                    self._overdue.add(task)
                    task.cancel()


class _Allowance:
    """What a tenant may still do here in the present second; ``taking`` while more is being asked for."""

    __slots__ = ("left", "refused", "second", "taken", "taking")

    def __init__(self) -> None:
        self.begin(0)
        self.taking: asyncio.Future[None] | None = None

    def begin(self, second: int) -> None:
        """Forget the second before."""
        self.second = second
        self.left = 0
        self.taken = 0
        self.refused = False


class RateLimiter:
    """A tenant's requests a second, over all workers.

    The count is in Valkey. A worker takes a tenth of a second's worth at a time, so that only every so many
    requests pay for the question. While Valkey is away each worker allows its share.
    """

    def __init__(self, settings: Settings, valkey: Valkey | None) -> None:
        self._limit = int(settings.gateway.rate_per_s)
        self._lease = max(1, self._limit // (_LEASES_A_SECOND * settings.workers))
        self._share = max(1, self._limit // settings.workers)
        self._prefix = f"{settings.key_prefix}rate:"
        self._valkey = valkey
        self._allowances: cachebox.LRUCache[str, _Allowance] = cachebox.LRUCache(_TENANTS_MAX)
        self._find: Callable[[str], _Allowance | None] = self._allowances.get

    def try_admit(self, tenant_id: str) -> bool:
        """Let a request in from what was taken already; otherwise ask `admit`."""
        allowance = self._find(tenant_id)
        if allowance is None or allowance.left <= 0 or allowance.second != int(time.time()):
            return self._limit <= 0
        allowance.left -= 1
        return True

    async def admit(self, tenant_id: str) -> None:
        """Take more, and let a request in.

        Raises
        ------
        Problem
            429 with ``Retry-After``: the tenant has used up this second.
        """
        allowance = self._find(tenant_id)
        if allowance is None:
            allowance = self._allowances[tenant_id] = _Allowance()
        while True:
            if allowance.second != (second := int(time.time())):
                allowance.begin(second)
            if allowance.left > 0:
                allowance.left -= 1
                return
            if allowance.refused:
                raise _too_many()
            # One asks for all who wait: a crowd at the turn of a second would take a lease each.
            if allowance.taking is None:
                await self._take_more(tenant_id, allowance)
            else:
                await asyncio.shield(allowance.taking)

    async def _take_more(self, tenant_id: str, allowance: _Allowance) -> None:
        allowance.taking = asyncio.get_running_loop().create_future()
        second = allowance.second
        try:
            granted = await self._take(tenant_id, second, allowance.taken)
        finally:
            allowance.taking.set_result(None)
            allowance.taking = None
        if allowance.second == second:
            allowance.left = max(0, granted)
            allowance.taken += allowance.left
            allowance.refused = granted <= 0

    async def _take(self, tenant_id: str, second: int, taken: int) -> int:
        key = f"{self._prefix}{tenant_id}:{second}"
        if self._valkey is not None:
            with suppress(ValkeyUnavailableError):
                used, _ = await self._valkey.ask_all(("INCRBY", key, self._lease), ("EXPIRE", key, 3))
                return min(self._lease, self._limit - (int(used) - self._lease))
        return max(0, self._share - taken)


class Attempts:
    """Failed logins by account: too many in a row are answered without looking at the password."""

    def __init__(self, settings: Settings, valkey: Valkey | None) -> None:
        self._max = settings.auth.attempts_max
        self._window_s = int(settings.auth.attempts_window_s)
        self._prefix = f"{settings.key_prefix}attempts:"
        self._valkey = valkey
        self._local: cachebox.TTLCache[str, int] = cachebox.TTLCache(
            _TENANTS_MAX, settings.auth.attempts_window_s
        )

    async def count(self, tenant_id: str, email: str) -> None:
        """Count an attempt before the password is looked at, so that many at once don't slip through.

        Raises
        ------
        Problem
            429 with ``Retry-After``.
        """
        key = self._key(tenant_id, email)
        tried = self._local[key] = (self._local.get(key, 0) or 0) + 1
        if self._valkey is not None:
            with suppress(ValkeyUnavailableError):
                tried, _ = await self._valkey.ask_all(("INCR", key), ("EXPIRE", key, self._window_s, "NX"))
        if tried > self._max:
            raise Problem(
                429,
                "Too many attempts",
                "wait before trying again",
                headers=[("retry-after", str(self._window_s))],
            )

    def succeeded(self, tenant_id: str, email: str) -> None:
        """Forget the attempts of somebody who knew the password."""
        key = self._key(tenant_id, email)
        self._local.pop(key, None)
        if self._valkey is not None:
            self._valkey.tell(("DEL", key))

    def _key(self, tenant_id: str, email: str) -> str:
        return self._prefix + hashlib.sha256(f"{tenant_id}:{email}".encode()).hexdigest()


def _too_many() -> Problem:
    return Problem(429, "Too many requests", "the tenant's limit is used up", headers=[("retry-after", "1")])
