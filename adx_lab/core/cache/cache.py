"""Two layers of cache before the database, and how they stay true.

An entry belongs to a *scope*: ``user:TENANT:USER``, ``users:TENANT`` or ``tenant:TENANT``. In Valkey each
scope has a version, each tenant has one, and so have all together. An entry is stored with the versions that
were current before its data were read, and is good only while they are. So

- an invalidation deletes one version and sends one message, whatever the number of keys, be it for a user,
  for a tenant (a role has changed, say), or for all;
- a slow reader that stores what it read before a write stores it under versions that are over;
- a scope without a version (never read, invalidated, or evicted) has no good entries.

Each worker listens for the messages and drops what they name from its own L1. A load that is under way when
the message comes is finished for those who wait, but its result is not kept, and who comes later starts a new
one. Thus a thousand misses of one key cost one query, and none of them a stale answer.

While a worker can't reach Valkey, or Valkey refuses to write, invalidations don't reach it: it drops its L1,
and what it keeps then lives for ``deaf_ttl_s``, which bounds how long it may grant what is taken elsewhere.
An invalidation that fails waits until the other workers must have noticed too. Whoever comes back makes all
of L2 void first.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
import msgspec

from adx_lab.core.cache.l1 import L1
from adx_lab.core.cache.trace import CLEAR, FORGET, HIT, MISS, Trace
from adx_lab.core.clients.valkey import Command, Connection, Valkey, ValkeyUnavailableError
from adx_lab.core.server.problems import Problem

if TYPE_CHECKING:
    from adx_lab.core.monitoring.metrics import Counter, Metrics
    from adx_lab.core.monitoring.timing import Timing
    from adx_lab.core.settings import Settings

Load = Callable[[], Awaitable[bytes | None]]
MISSING = b""  # stored for what does not exist
ALL = "*"
_UNKNOWN_AGAIN_S = (0.25, 0.75, 2.0, 7.0, 20.0, 0.0)
_VERSION_TTL_S = 86_400  # renewed by every entry that is stored


class Family(msgspec.Struct, frozen=True):
    """A kind of entry: its name in metrics, and how its bytes become what L1 keeps."""

    name: str
    decode: Callable[[bytes], Any] = bytes


class Entry(NamedTuple):
    """What is asked for: a kind, the scope that it belongs to, and its name in there."""

    family: Family
    scope: str
    item: str


LoadMany = Callable[[Sequence[Entry]], Awaitable[Sequence[bytes | None]]]
Flight = asyncio.Future[bytes | None]


class Cache:
    """Cache-aside through L1 and L2, with invalidation that reaches every replica."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings.cache
        self._prefix = settings.key_prefix
        self._invalidates = settings.on("cache.invalidation")
        self._l1_on = settings.on("cache.l1")
        self.l1 = L1(settings.cache.l1_scopes, settings.cache.jitter)
        self.channel = f"{settings.key_prefix}invalidate"
        self.valkey: Valkey | None = None
        if settings.valkey_url:
            probe: Command = ("SET", f"{self._prefix}probe", 1, "EX", 60)
            self.valkey = Valkey(settings.valkey_url, settings.valkey, probe, self._void, self.forget_all)
        self._l2 = self.valkey if settings.on("cache.l2") else None
        # Others' invalidations reach us by our own listener only; a single worker without Valkey needs none.
        alone = not settings.valkey_url and settings.workers == 1
        self.hears = alone or not self._invalidates
        self._flights: dict[str, dict[str, Flight]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts = _Counts(metrics)
        self.trace = Trace(settings.cache) if settings.cache.trace and self._l1_on else None

    async def get(
        self, family: Family, scope: str, load: Load, timing: Timing | None, item: str | None = None
    ) -> Any:
        """Return an entry, decoded, from the nearest layer that has it, or None where nothing exists."""
        entry = Entry(family, scope, item or family.name)
        value = self.peek(entry, timing)
        if value is None:

            async def load_one(entries: Sequence[Entry]) -> list[bytes | None]:  # noqa: ARG001  # there is one
                return [await load()]

            value = (await self.fill((entry,), load_one, timing))[entry]
        return None if value is MISSING else value

    def peek(self, entry: Entry, timing: Timing | None) -> Any:
        """Return what L1 has (`MISSING` where nothing exists), or None."""
        if not self._l1_on:
            return None
        family, scope, item = entry
        value = self.l1.get(scope, item)
        if self.trace is not None:
            self.trace.add(MISS if value is None else HIT, family.name, scope, item)
        if value is not None:
            self._tell("l1", family.name, timing)
        return value

    async def fill(self, entries: Sequence[Entry], load: LoadMany, timing: Timing | None) -> dict[Entry, Any]:
        """Return entries that L1 does not have, decoded; `MISSING` where nothing exists.

        Valkey is asked once for all of them, and ``load`` once for all that Valkey does not have either.
        """
        raws = await self._fly(entries, load, timing)
        return {entry: _decoded(entry, raw) for entry, raw in zip(entries, raws, strict=True)}

    async def warm(self, entry: Entry, load: Load, ttl_s: float) -> None:
        """Put what the database has now into Valkey, to stay for a given time unless it is invalidated."""
        _, versions = await self._read_l2([entry], None)
        if versions:
            self._write_l2([(entry, await load() or MISSING)], versions, ttl_s)

    async def invalidate(self, *scopes: str) -> None:
        """Make every replica forget scopes; call it after the commit and before the response.

        The scope of a tenant covers all that belongs to it, and `ALL` everything.
        """
        if not self._invalidates:
            return
        self._counts.invalidations.add(len(scopes))
        for scope in scopes:
            self.forget(scope)
        if self.valkey is not None:
            try:
                await self.valkey.ask(
                    ("MULTI",),
                    ("DEL", *map(self._version_key, scopes)),
                    ("PUBLISH", self.channel, "\n".join(scopes)),
                    ("EXEC",),
                )
            except ValkeyUnavailableError:
                # It may be good for nobody any more; when it can be used again, all of it is made void first.
                self.valkey.give_up("an invalidation could not be sent")
                await self.valkey.noticed()

    @asynccontextmanager
    async def changing(self, *scopes: str) -> AsyncIterator[None]:
        """Invalidate scopes after a change, whatever became of it.

        A statement that was given up may still be committed, now or when its connection ends: then they are
        invalidated again and again for a while.
        """
        try:
            yield
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, Problem):
            raise  # the server refused: nothing was changed
        except BaseException:
            task = asyncio.ensure_future(self._invalidate_again(*scopes))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            raise
        await self.invalidate(*scopes)

    async def _invalidate_again(self, *scopes: str) -> None:
        for pause_s in _UNKNOWN_AGAIN_S:
            await self.invalidate(*scopes)
            await asyncio.sleep(pause_s)

    def forget(self, scope: str) -> None:
        """Forget a scope here, and keep no result of the loads under way."""
        if scope == ALL:
            self.forget_all()
            return
        for name in self._covered(scope):
            self.l1.forget(name)
            self._flights.pop(name, None)
            if self.trace is not None:
                self.trace.add(FORGET, "", name, "")

    def _covered(self, scope: str) -> list[str]:
        kind, _, tenant_id = scope.partition(":")
        if kind != "tenant":
            return [scope]
        return [name for name in {*self.l1.scopes(), *self._flights} if name.split(":")[1] == tenant_id]

    def forget_all(self) -> None:
        """Forget everything here: messages may have been missed."""
        self.l1.clear()
        if self.trace is not None:
            self.trace.add(CLEAR, "", "", "")
        self._flights.clear()

    async def _fly(
        self, entries: Sequence[Entry], load: LoadMany, timing: Timing | None
    ) -> list[bytes | None]:
        """Return the bytes of entries: those that nobody is loading are loaded here, the others awaited."""
        under_way = [self._flights.get(entry.scope, {}).get(entry.item) for entry in entries]
        own = [entry for entry, flight in zip(entries, under_way, strict=True) if flight is None]
        loaded = iter(await self._load_for_all(own, load, timing) if own else ())
        return [
            next(loaded) if flight is None else await self._await(flight, entry, load, timing)
            for entry, flight in zip(entries, under_way, strict=True)
        ]

    async def _await(
        self, flight: Flight, entry: Entry, load: LoadMany, timing: Timing | None
    ) -> bytes | None:
        # Shielded: one that leaves must not take the answer from the others.
        try:
            raw = await asyncio.shield(flight)
        except _LeftError:
            return (await self._fly([entry], load, timing))[0]
        self._tell("miss", entry.family.name, timing)
        return raw

    async def _load_for_all(
        self, entries: Sequence[Entry], load: LoadMany, timing: Timing | None
    ) -> Sequence[bytes | None]:
        """Load entries while others who want them wait; what was invalidated meanwhile is not kept."""
        loop = asyncio.get_running_loop()
        flights: list[Flight] = [loop.create_future() for _ in entries]
        for entry, flight in zip(entries, flights, strict=True):
            self._flights.setdefault(entry.scope, {})[entry.item] = flight
        try:
            raws = await self._load(entries, load, timing)
        except BaseException as error:
            # Whoever waits starts anew when this request was given up, and fails with it when the load did.
            gone = isinstance(error, asyncio.CancelledError)
            for entry, flight in zip(entries, flights, strict=True):
                self._land(entry, flight)
                flight.set_exception(_LeftError() if gone else error)
                flight.exception()  # nobody may be waiting
            raise
        for entry, flight, raw in zip(entries, flights, raws, strict=True):
            if self._land(entry, flight) and self._l1_on:
                self.l1.put(entry.scope, entry.item, _decoded(entry, raw), self._l1_ttl_s(raw))
            flight.set_result(raw)
        return raws

    def _land(self, entry: Entry, flight: Flight) -> bool:
        """Take a flight off the list, and return whether it was still on it."""
        flights = self._flights.get(entry.scope)
        if flights is None or flights.get(entry.item) is not flight:
            return False
        del flights[entry.item]
        if not flights:
            del self._flights[entry.scope]
        return True

    async def _load(
        self, entries: Sequence[Entry], load: LoadMany, timing: Timing | None
    ) -> Sequence[bytes | None]:
        started = perf_counter()
        raws, versions = await self._read_l2(entries, timing)
        absent = [entry for entry, raw in zip(entries, raws, strict=True) if raw is None]
        for entry, raw in zip(entries, raws, strict=True):
            self._tell("l2" if raw is not None else "miss", entry.family.name, timing)
        if not absent:
            return raws
        loaded = await load(absent)
        fresh = iter(loaded)
        self._write_l2(list(zip(absent, loaded, strict=True)), versions, self._settings.l2_ttl_s)
        self._counts.miss_ms.observe((perf_counter() - started) * 1e3)
        return [next(fresh) if raw is None else raw for raw in raws]

    def _tell(self, layer: str, family: str, timing: Timing | None) -> None:
        self._counts.add(layer, family)
        if timing is not None:
            timing.cache(layer, family)

    async def _read_l2(
        self, entries: Sequence[Entry], timing: Timing | None
    ) -> tuple[list[bytes | None], dict[str, bytes]]:
        """Return the good entries of Valkey, and the version of each scope; nothing while it is away."""
        none: list[bytes | None] = [None] * len(entries)
        if self._l2 is None or not self._l2.available:
            return none, {}
        started = perf_counter()
        names = dict.fromkeys(name for entry in entries for name in _versioned(entry.scope))
        keys = [*(self._entry_key(entry) for entry in entries), *map(self._version_key, names)]
        try:
            stored = await self._l2.ask(("MGET", *keys))
            known = dict(zip(names, stored[len(entries) :], strict=True))
            if None in known.values():
                known = await self._make_versions(known)
        except ValkeyUnavailableError:
            return none, {}
        finally:
            if timing is not None:
                timing.valkey_ms += (perf_counter() - started) * 1e3
        versions = {
            entry.scope: b"".join(known[name] for name in _versioned(entry.scope)) for entry in entries
        }
        raws = [
            raw[len(versions[entry.scope]) :]
            if raw is not None and raw.startswith(versions[entry.scope])
            else None
            for entry, raw in zip(entries, stored, strict=False)
        ]
        return raws, versions

    async def _make_versions(self, known: dict[str, Any]) -> dict[str, Any]:
        assert self._l2 is not None
        keys = {name: self._version_key(name) for name in known}
        made: list[Command] = [
            ("SET", keys[name], secrets.token_hex(8), "NX", "EX", _VERSION_TTL_S)
            for name, version in known.items()
            if version is None
        ]
        versions = await self._l2.ask(*made, ("MGET", *keys.values()))
        if None in versions:
            raise ValkeyUnavailableError("versions are not kept")
        return dict(zip(known, versions, strict=True))

    def _write_l2(
        self, loaded: list[tuple[Entry, bytes | None]], versions: dict[str, bytes], ttl_s: float
    ) -> None:
        if not versions:
            return
        assert self._l2 is not None
        commands: list[Command] = []
        for entry, raw in loaded:
            kept_s = ttl_s if raw else self._settings.negative_ttl_s
            kept_ms = int(kept_s * 1e3 * (1 - self._settings.jitter * random.random()))  # noqa: S311
            value = versions[entry.scope] + (raw or MISSING)
            commands.append(("SET", self._entry_key(entry), value, "PX", kept_ms))
        names = dict.fromkeys(name for entry, _ in loaded for name in _versioned(entry.scope))
        commands += [("EXPIRE", self._version_key(name), _VERSION_TTL_S) for name in names]
        # Nobody waits for it: the response does not depend on it.
        self._l2.send(*commands)

    async def _void(self, connection: Connection) -> None:
        """Make all of L2 void, and have everybody forget: what happened meanwhile is unknown."""
        await connection.ask(("SET", self._version_key(ALL), secrets.token_hex(8), "EX", _VERSION_TTL_S))
        await connection.ask(("PUBLISH", self.channel, ALL))
        self.forget_all()

    def _l1_ttl_s(self, raw: bytes | None) -> float:
        if not raw:
            return self._settings.negative_ttl_s
        heard = self.hears and (self.valkey is None or self.valkey.available)
        return self._settings.l1_ttl_s if heard or not self._invalidates else self._settings.deaf_ttl_s

    def _entry_key(self, entry: Entry) -> str:
        return f"{self._prefix}{entry.scope}:{entry.item}"

    def _version_key(self, name: str) -> str:
        return f"{self._prefix}ver:{name}"


class _LeftError(Exception):
    """The request that was loading for others was given up."""


def _decoded(entry: Entry, raw: bytes | None) -> Any:
    return entry.family.decode(raw) if raw else MISSING


def _versioned(scope: str) -> tuple[str, ...]:
    """Return what an entry of a scope depends on."""
    kind, _, rest = scope.partition(":")
    tenant = f"tenant:{rest.partition(':')[0]}"
    return (ALL, scope) if kind == "tenant" else (ALL, tenant, scope)


class _Counts:
    """Hits by layer and family, misses by family."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counters: dict[tuple[str, str], Counter] = {}
        self.miss_ms = metrics.histogram("cache_miss_duration")
        self.invalidations = metrics.counter("cache_invalidations")

    def add(self, layer: str, family: str) -> None:
        counter = self._counters.get((layer, family))
        if counter is None:
            if layer == "miss":
                counter = self._metrics.counter("cache_misses", family=family)
            else:
                counter = self._metrics.counter("cache_hits", layer=layer, family=family)
            self._counters[(layer, family)] = counter
        counter.add()
