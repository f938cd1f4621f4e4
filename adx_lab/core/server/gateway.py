"""What stands before every endpoint: load shedding, deadlines, and each tenant's rate limit."""

from __future__ import annotations

import asyncio
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

    from adx_lab.core.settings import GatewaySettings, Settings

_FIRST_LEASE, _LARGEST_LEASE = 1_000, 20
_TENANTS_MAX = 10_000


class InFlight:
    """The requests that are being answered: not too many, none for too long, and a share for each.

    More than ``in_flight_max`` are turned away at once, since a queue would make all of them late. The last
    ``share`` of the places is kept for tenants, and peers without a token, that have less than their share
    under way. One task looks for those that are overdue: a timer for each request would cost a quarter of
    what a cached answer costs.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._max = settings.in_flight_max
        self._share = max(1, int(settings.in_flight_max * settings.share))
        self._common = self._max - self._share
        self._timeout_s = settings.timeout_s
        self._began: dict[asyncio.Task[object], float] = {}
        self._by: dict[str, int] = {}
        self._overdue: set[asyncio.Task[object]] = set()
        self._watcher: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for overdue requests."""
        self._loop = asyncio.get_running_loop()
        self._watcher = asyncio.create_task(self._watch())

    def close(self) -> None:
        """Stop looking."""
        if self._watcher is not None:
            self._watcher.cancel()

    def enter(self, by: str, *, timed: bool) -> asyncio.Task[object]:
        """Let the request of this task in; its deadline counts from now, if it is timed.

        Raises
        ------
        Problem
            503 with ``Retry-After``.
        """
        count, total = self._by.get(by, 0), len(self._began)
        if total >= self._max or (total >= self._common and count >= self._share):
            raise Problem(503, "Overloaded", "try again in a moment", headers=[("retry-after", "1")])
        # Told which loop, it need not ask for it, which takes longer than all else here.
        task = cast("asyncio.Task[object]", asyncio.current_task(self._loop))
        self._began[task] = monotonic() if timed else math.inf
        self._by[by] = count + 1
        return task

    def leave(self, task: asyncio.Task[object], by: str) -> None:
        """Count a request as answered."""
        del self._began[task]
        count = self._by[by]
        if count == 1:
            del self._by[by]
        else:
            self._by[by] = count - 1

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
    """What a tenant may still do here in the present window."""

    __slots__ = ("asking", "lease", "left", "taken", "window")

    def __init__(self) -> None:
        self.asking = asyncio.Lock()
        self.begin(0)

    def begin(self, window: int) -> None:
        """Forget the window before."""
        self.window = window
        self.left = 0
        self.taken = 0
        self.lease = 0


class RateLimiter:
    """A tenant's requests a second, over all workers; a rate below one is counted over several seconds.

    The count is in Valkey. A worker takes some at once, first a few and then more and more, so that only
    every so many requests pay for the question, and many workers with a request each leave enough for one
    another. While Valkey is away each worker allows its share.
    """

    def __init__(self, settings: Settings, valkey: Valkey | None) -> None:
        rate = settings.gateway.rate_per_s
        self._off = rate == 0
        self._window_s = math.ceil(1 / rate) if 0 < rate < 1 else 1
        self._limit = int(rate * self._window_s)
        self._share = max(1, self._limit // settings.workers)
        self._prefix = f"{settings.key_prefix}rate:"
        self._valkey = valkey
        self._allowances: cachebox.LRUCache[str, _Allowance] = cachebox.LRUCache(_TENANTS_MAX)
        self._find: Callable[[str], _Allowance | None] = self._allowances.get

    def try_admit(self, tenant_id: str) -> bool:
        """Let a request in from what was taken already; otherwise ask `admit`."""
        if self._off:
            return True
        allowance = self._find(tenant_id)
        if allowance is None or allowance.left <= 0 or allowance.window != int(time.time()) // self._window_s:
            return False
        allowance.left -= 1
        return True

    async def admit(self, tenant_id: str) -> None:
        """Take more, and let a request in.

        Raises
        ------
        Problem
            429 with ``Retry-After``: the tenant has used up this window.
        """
        allowance = self._find(tenant_id)
        if allowance is None:
            allowance = self._allowances[tenant_id] = _Allowance()
        # One asks for all who wait: a crowd at the turn of a second would take a lease each.
        async with allowance.asking:
            window = int(time.time()) // self._window_s
            if allowance.window != window:
                allowance.begin(window)
            if allowance.left <= 0 and allowance.lease >= 0:
                await self._take_more(tenant_id, allowance)
            if allowance.left <= 0:
                detail, wait = "the tenant's limit is used up", ("retry-after", str(self._window_s))
                raise Problem(429, "Too many requests", detail, headers=[wait])
            allowance.left -= 1

    async def _take_more(self, tenant_id: str, allowance: _Allowance) -> None:
        """Take the next lease; the first that is not granted in full is the window's last."""
        lease = min(max(1, self._limit // _FIRST_LEASE) if not allowance.lease else allowance.lease * 2,
                    max(1, self._limit // _LARGEST_LEASE))  # fmt: skip
        granted = self._share - allowance.taken
        if self._valkey is not None:
            key = f"{self._prefix}{tenant_id}:{allowance.window}"
            with suppress(ValkeyUnavailableError):
                used = await self._valkey.ask(
                    ("SET", key, 0, "EX", self._window_s + 2, "NX"), ("INCRBY", key, lease)
                )
                granted = lease - max(0, int(used) - self._limit)
        allowance.left = max(0, min(lease, granted))
        allowance.taken += allowance.left
        allowance.lease = lease if allowance.left else -1
