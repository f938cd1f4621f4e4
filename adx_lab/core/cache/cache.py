"""Two layers of cache before the database, and how they stay true.

An entry belongs to a *scope* (`user:…`, `tenant:…`, `session:…`). In Valkey each scope has a version, and an
entry is stored with the version that was current before its data were read. It is good only while both are
equal. So

- an invalidation is one new version and one message, whatever the number of keys;
- a slow reader that stores what it read before a write stores it under a version that is over;
- a scope without a version (never read, or evicted) has no good entries.

Each worker listens for the messages and drops the scope from its own L1. A load that is under way when the
message comes is finished for those who wait, but its result is not kept, and who comes later starts a new
one. Thus a thousand misses of one key cost one query, and none of them a stale answer.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec

from adx_lab.core.cache.l1 import L1
from adx_lab.core.cache.trace import CLEAR, FORGET, HIT, MISS, PUT, Trace
from adx_lab.core.clients.valkey import Link, Valkey, ValkeyUnavailableError

if TYPE_CHECKING:
    from adx_lab.core.monitoring.metrics import Metrics
    from adx_lab.core.monitoring.timing import Timing
    from adx_lab.core.settings import Settings

Load = Callable[[], Awaitable[bytes | None]]
MISSING = b""  # stored for what does not exist


class Family(msgspec.Struct, frozen=True):
    """A kind of entry: its name in metrics, and how its bytes become what L1 keeps."""

    name: str
    decode: Callable[[bytes], Any] = bytes


class Cache:
    """Cache-aside through L1 and L2, with invalidation that reaches every replica."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings.cache
        self._prefix = settings.key_prefix
        self._invalidates = settings.on("cache.invalidation")
        self._l1_on = settings.on("cache.l1")
        self.l1 = L1(settings.cache.l1_scopes, settings.cache.jitter)
        self.channel = f"{settings.key_prefix}invalidate"
        l2_on = bool(settings.valkey_url) and settings.on("cache.l2")
        self.valkey = (
            Valkey(settings.valkey_url, settings.valkey, self._flush) if settings.valkey_url else None
        )
        self._l2 = self.valkey if l2_on else None
        self._flights: dict[str, dict[str, asyncio.Future[bytes]]] = defaultdict(dict)
        self._unsent: set[str] = set()
        self._counts = _Counts(metrics)
        self.trace = Trace(settings.cache) if settings.cache.trace and self._l1_on else None

    async def get(
        self, family: Family, scope: str, load: Load, timing: Timing | None, item: str | None = None
    ) -> Any:
        """Return an entry, decoded, from the nearest layer that has it, or None where nothing exists.

        Parameters
        ----------
        scope, item
            What the entry belongs to, and its name in there (the family's, unless it has several).
        load
            Reads it from the database.
        """
        item = item or family.name
        if self._l1_on:
            value = self.l1.get(scope, item)
            if self.trace is not None:
                self.trace.add(MISS if value is None else HIT, family.name, scope, item)
            if value is not None:
                self._counts.hit("l1", family.name)
                if timing is not None:
                    timing.cache("l1", family.name)
                return None if value is MISSING else value
        raw = await self._fly(family, scope, item, load, timing)
        return None if raw == MISSING else family.decode(raw)

    async def warm(self, family: Family, scope: str, load: Load, ttl_s: float) -> None:
        """Put what the database has now into Valkey, to stay for a given time unless it is invalidated."""
        version, _ = await self._read_l2(scope, family.name, None)
        if version is not None:
            self._write_l2(scope, family.name, version, await load() or MISSING, ttl_s)

    async def invalidate(self, *scopes: str) -> None:
        """Make every replica forget scopes; call it after the commit and before the response."""
        if not self._invalidates:
            return
        self._counts.invalidated(len(scopes))
        for scope in scopes:
            self.forget(scope)
        if self.valkey is None:
            return
        try:
            await self.valkey.ask(*self._invalidation(scopes))
        except ValkeyUnavailableError:
            self._unsent.update(scopes)

    def forget(self, scope: str) -> None:
        """Forget a scope here, and keep no result of the loads under way."""
        self.l1.forget(scope)
        if self.trace is not None:
            self.trace.add(FORGET, "", scope, "")
        self._flights.pop(scope, None)

    def forget_all(self) -> None:
        """Forget everything here: messages may have been missed."""
        self.l1.clear()
        if self.trace is not None:
            self.trace.add(CLEAR, "", "", "")
        self._flights.clear()

    def keep(self, family: Family, scope: str, raw: bytes) -> None:
        """Put into L1 what is known already, such as a session that was opened here."""
        if self._l1_on:
            self.l1.put(scope, family.name, family.decode(raw), self._settings.l1_ttl_s)
            if self.trace is not None:
                self.trace.add(PUT, family.name, scope, family.name)

    async def _fly(self, family: Family, scope: str, item: str, load: Load, timing: Timing | None) -> bytes:
        flight = self._flights.get(scope, {}).get(item)
        if flight is not None:
            # Another request is loading it. Shielded: one client that leaves must not take it from the
            # others.
            raw = await asyncio.shield(flight)
            if timing is not None:
                timing.cache("miss", family.name)
            self._counts.miss(family.name)
            return raw
        flight = asyncio.get_running_loop().create_future()
        self._flights[scope][item] = flight
        work = asyncio.ensure_future(self._load(family, scope, item, load, timing))
        work.add_done_callback(lambda done: self._land(scope, item, family, flight, done))
        return await asyncio.shield(flight)

    def _land(
        self, scope: str, item: str, family: Family, flight: asyncio.Future[bytes], done: asyncio.Task[bytes]
    ) -> None:
        flights = self._flights.get(scope)
        current = flights is not None and flights.get(item) is flight
        if flights is not None and current:
            del flights[item]
            if not flights:
                del self._flights[scope]
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is not None:
            flight.set_exception(RuntimeError("cancelled") if done.cancelled() else error)
            flight.exception()  # its client may have left
            return
        raw = done.result()
        if current and self._l1_on:
            ttl_s = self._settings.l1_ttl_s if raw != MISSING else self._settings.negative_ttl_s
            self.l1.put(scope, item, MISSING if raw == MISSING else family.decode(raw), ttl_s)
        flight.set_result(raw)

    async def _load(self, family: Family, scope: str, item: str, load: Load, timing: Timing | None) -> bytes:
        started = perf_counter()
        version, raw = await self._read_l2(scope, item, timing)
        if raw is not None:
            self._counts.hit("l2", family.name)
            if timing is not None:
                timing.cache("l2", family.name)
            return raw
        if timing is not None:
            timing.cache("miss", family.name)
        self._counts.miss(family.name)
        raw = await load()
        raw = MISSING if raw is None else raw
        if version is not None:
            self._write_l2(scope, item, version, raw, self._settings.l2_ttl_s)
        self._counts.miss_ms((perf_counter() - started) * 1e3)
        return raw

    async def _read_l2(
        self, scope: str, item: str, timing: Timing | None
    ) -> tuple[bytes | None, bytes | None]:
        if self._l2 is None or not self._l2.available:
            return None, None
        started = perf_counter()
        try:
            stored, version = await self._l2.ask(
                ("MGET", self._entry_key(scope, item), self._version_key(scope))
            )
            if version is None:
                version = await self._first_version(scope)
        except ValkeyUnavailableError:
            return None, None
        finally:
            if timing is not None:
                timing.valkey_ms += (perf_counter() - started) * 1e3
        if stored is not None:
            stored_version, _, raw = stored.partition(b"\n")
            if stored_version == version:
                return version, raw
        return version, None

    async def _first_version(self, scope: str) -> bytes:
        assert self._l2 is not None
        key = self._version_key(scope)
        fresh = ("SET", key, secrets.token_hex(8), "NX", "EX", self._version_ttl_s)
        version: bytes = await self._l2.ask(fresh, ("GET", key))
        return version

    def _write_l2(self, scope: str, item: str, version: bytes, raw: bytes, ttl_s: float) -> None:
        assert self._l2 is not None
        ttl_s = ttl_s if raw != MISSING else self._settings.negative_ttl_s
        ttl_ms = int(ttl_s * 1e3 * (1 - self._settings.jitter * random.random()))  # noqa: S311
        # Nobody waits for it: the response does not depend on it.
        self._l2.tell(("SET", self._entry_key(scope, item), version + b"\n" + raw, "PX", ttl_ms))

    async def _flush(self, link: Link) -> None:
        # What could not be sent while Valkey was away goes out before anybody reads from it again.
        if self._unsent:
            scopes = tuple(self._unsent)
            await link.send(*self._invalidation(scopes))[-1]
            self._unsent.difference_update(scopes)

    def _invalidation(self, scopes: tuple[str, ...]) -> list[tuple[str | bytes | int, ...]]:
        version = secrets.token_hex(8)
        commands: list[tuple[str | bytes | int, ...]] = [("MULTI",)]
        for scope in scopes:
            commands.append(("SET", self._version_key(scope), version, "EX", self._version_ttl_s))
            commands.append(("PUBLISH", self.channel, scope))
        return [*commands, ("EXEC",)]

    @property
    def _version_ttl_s(self) -> int:
        return int(self._settings.l2_ttl_s * 2) + 60

    def _entry_key(self, scope: str, item: str) -> str:
        return f"{self._prefix}{scope}:{item}"

    def _version_key(self, scope: str) -> str:
        return f"{self._prefix}ver:{scope}"


class _Counts:
    """Hits by layer and family, misses by family."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._hits: dict[tuple[str, str], Any] = {}
        self._misses: dict[str, Any] = {}
        self._miss_ms = metrics.histogram("cache_miss_duration")
        self._invalidations = metrics.counter("cache_invalidations")

    def hit(self, layer: str, family: str) -> None:
        counter = self._hits.get((layer, family))
        if counter is None:
            counter = self._metrics.counter("cache_hits", layer=layer, family=family)
            self._hits[(layer, family)] = counter
        counter.add()

    def miss(self, family: str) -> None:
        counter = self._misses.get(family)
        if counter is None:
            counter = self._misses[family] = self._metrics.counter("cache_misses", family=family)
        counter.add()

    def invalidated(self, scopes: int) -> None:
        self._invalidations.add(scopes)

    def miss_ms(self, ms: float) -> None:
        self._miss_ms.observe(ms)
