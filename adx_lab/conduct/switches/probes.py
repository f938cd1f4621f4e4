"""What times under load can't show of a rule: memory, a first byte, a stale permission, a pool that is empty.

A probe is sent to one variant of a block, the other one stands idle meanwhile; it asks the real service for
what the rule is about, and returns figures by name. Both variants get the same.
"""

from __future__ import annotations

import asyncio
import random
import re
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from valkey import Valkey

from adx_lab.conduct.switches.client import Person, Received, admin, log_in
from adx_lab.errors import MeasurementError
from adx_lab.services.starting.start import Running, StartOrder, start_beside, start_service

Figures = dict[str, float]

STALE_CUT_MS = 1_000.0
"""A stale permission is watched so long; with the rule broken it lasts until the entry's time is over."""

_ASIDE = 4
_FILE_BYTES = 48 << 20
_FILES_AT_ONCE = 4
_BATCH, _LARGE_BATCH = 50, 100
_BATCH_LEAD_S = 0.05
_STREAMS = 8
_HELD_S, _BURST, _BURST_S = 1.2, 20, 0.6
_PEOPLE = 12
_TAKEN_FROM = 2
_WARMED_S, _COLD_S = 20.0, 2.0
_EXPORTS = 3


@dataclass(frozen=True, slots=True)
class Ground:
    """One variant of a block, freshly started.

    Attributes
    ----------
    core
        Its processes, and the plan that they were started with.
    sample
        People, files and the password of its data set.
    database_url
        Its own clone.
    logs
        The folder for what further processes print.
    """

    core: Running
    sample: Mapping[str, Any]
    database_url: str
    logs: Path

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.core.url

    @property
    def whale(self) -> Person:
        """An admin of the largest tenant, logged in anew."""
        return admin(self.url, self.sample)

    def in_whale(self, role: str, count: int) -> list[Mapping[str, Any]]:
        """Return some people of the largest tenant."""
        tenant = max(self.sample["tenants"], key=lambda one: int(one["user_count"]))
        return [user for user in tenant["users"] if user["role"] == role][:count]


async def export(ground: Ground) -> Figures:
    """Export the largest tenant's events: when the first byte comes, and what some at once take in memory."""
    return await asyncio.to_thread(_export, ground)


async def large_files(ground: Ground) -> Figures:
    """Store and fetch some large files at once: what that takes in memory."""
    return await asyncio.to_thread(_large_files, ground)


async def batches(ground: Ground) -> Figures:
    """Add many users at once: how long a login waits meanwhile, and what is lost of a larger batch."""
    return await asyncio.to_thread(_batches, ground)


async def slow_readers(ground: Ground) -> Figures:
    """Let some clients hold their exports: how long everybody else waits for the database."""
    return await asyncio.to_thread(_slow_readers, ground)


async def second_replica(ground: Ground) -> Figures:
    """Start a second replica: what its first requests cost, for what the first one has read already."""
    person = await asyncio.to_thread(lambda: ground.whale)
    ids = [user["id"] for user in ground.in_whale("viewer", 100)]
    await asyncio.to_thread(_ask_each, person, ids)
    async with _replica(ground) as url:
        there = person.at(url)
        await asyncio.to_thread(there.must, "GET", "/tenants/current")
        answers = await asyncio.to_thread(_ask_each, there, ids)
    return _first_answers(answers)


async def taken_permission(ground: Ground) -> Figures:
    """Take people's roles away at one replica: for how long another one still lets them in."""
    boss = await asyncio.to_thread(lambda: ground.whale)
    async with _replica(ground) as url:
        stale = [
            await asyncio.to_thread(_stale_ms, ground, boss, url, user)
            for user in ground.in_whale("editor", _TAKEN_FROM)
        ]
    return {"stale_ms": max(ms for ms, _ in stale), "let_in": float(sum(count for _, count in stale))}


async def after_warming(ground: Ground) -> Figures:
    """Let the worker warm the caches: what the first request of people costs who have just logged in."""
    boss = await asyncio.to_thread(lambda: ground.whale)
    # A process's very first request pays for connections and statements, with the rule and without.
    await asyncio.to_thread(boss.must, "GET", "/auth/me")
    users = [*ground.in_whale("editor", _PEOPLE // 2), *ground.in_whale("viewer", _PEOPLE // 2)]
    people = [await asyncio.to_thread(log_in, ground.url, ground.sample, boss.tenant, user) for user in users]
    worker = await start_beside(ground.core.order, "worker", log=ground.logs / "rules-worker.log")
    try:
        await _wait_for_warmth(ground, people)
        # At once, with the worker still up: what it warmed lasts until its next turn, and no longer.
        answers = [await asyncio.to_thread(person.must, "GET", "/auth/me") for person in people]
    finally:
        await worker.stop()
    return _first_answers(answers)


def _export(ground: Ground) -> Figures:
    person = ground.whale
    person.must("GET", "/events?limit=10", kept=False)
    alone = [person.must("GET", "/events", kept=False) for _ in range(_EXPORTS)]
    before = _reset_peak_mb(ground)
    others = [person.at(ground.url) for _ in range(_ASIDE)]
    _at_once([partial(one.must, "GET", "/events", kept=False) for one in others])
    return {
        "first_byte_ms": statistics.median(answer.first_byte_ms for answer in alone),
        "whole_ms": statistics.median(answer.ms for answer in alone),
        "bytes_mb": alone[0].size / 2**20,
        "peak_mb": _peak_mb(ground),
        "grown_mb": _peak_mb(ground) - before,
    }


def _large_files(ground: Ground) -> Figures:
    person = ground.whale
    person.must("POST", "/files?name=small", content=b"small")
    content = random.Random(1).randbytes(_FILE_BYTES)  # noqa: S311
    before = _reset_peak_mb(ground)
    others = [person.at(ground.url) for _ in range(_FILES_AT_ONCE)]
    began = time.perf_counter()
    stored = _at_once([partial(one.must, "POST", "/files?name=large", content=content) for one in others])
    paths = [f"/files/{answer.json()['id']}/content" for answer in stored]
    _at_once([partial(one.must, "GET", path, kept=False) for one, path in zip(others, paths, strict=True)])
    return {
        "peak_mb": _peak_mb(ground),
        "grown_mb": _peak_mb(ground) - before,
        "whole_ms": 1e3 * (time.perf_counter() - began),
    }


def _batches(ground: Ground) -> Figures:
    boss = ground.whale
    user = ground.in_whale("editor", 1)[0]
    waits: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(boss.must, "POST", "/users/batch", body=_people(_BATCH))
        time.sleep(_BATCH_LEAD_S)
        while not running.done():
            began = time.perf_counter()
            log_in(ground.url, ground.sample, boss.tenant, user)
            waits.append(1e3 * (time.perf_counter() - began))
        running.result()
        large = boss.must("POST", "/users/batch", body=_people(_LARGE_BATCH)).json()
    return {"login_ms": statistics.median(waits), "lost": float(large["failed"])}


def _slow_readers(ground: Ground) -> Figures:
    person = ground.whale
    others = [person.at(ground.url) for _ in range(_BURST)]
    _at_once([partial(one.must, "GET", "/files?page_size=5") for one in others])
    with ThreadPoolExecutor(_STREAMS + _BURST) as pool:
        # Where the pool is too small the later streams wait as well: each is asked for in its own thread.
        asked = [pool.submit(person.at(ground.url).hang_on, "/events") for _ in range(_STREAMS)]
        time.sleep(0.3)
        began = time.perf_counter()
        answers = []
        for one in others:
            answers.append(pool.submit(one.must, "GET", "/files?page_size=5"))
            time.sleep(_BURST_S / _BURST)
        time.sleep(max(0.0, _HELD_S - (time.perf_counter() - began)))
        for stream in asked:
            stream.result().close() if stream.done() else stream.add_done_callback(_close)
        told = [answer.result() for answer in answers]
    times = sorted(answer.ms for answer in told)
    return {
        "p95_ms": times[int(0.95 * len(times)) - 1],
        "p50_ms": statistics.median(times),
        "pool_ms": max(answer.split.pool_ms for answer in told),
    }


def _close(stream: Any) -> None:
    if stream.exception() is None:
        stream.result().close()


def _stale_ms(ground: Ground, boss: Person, replica: str, user: Mapping[str, Any]) -> tuple[float, int]:
    """Return for how long somebody was let in after their role was taken, and how often."""
    there = log_in(ground.url, ground.sample, boss.tenant, user).at(replica)
    there.must("GET", "/users?page_size=1")
    boss.must("PUT", f"/users/{user['id']}/roles", body={"roles": []})
    taken = time.perf_counter()
    granted_ms, let_in = 0.0, 0
    while granted_ms < STALE_CUT_MS:
        if there.ask("GET", "/users?page_size=1").status == HTTPStatus.FORBIDDEN:
            return granted_ms, let_in
        let_in += 1
        granted_ms = 1e3 * (time.perf_counter() - taken)
        time.sleep(0.001)
    return STALE_CUT_MS, let_in


async def _wait_for_warmth(ground: Ground, people: Sequence[Person]) -> None:
    """Wait until the worker has warmed everybody; where it never does, for about as long."""
    order = ground.core.order
    if "cache.warming" in order.service.start.switches_off.split(","):
        await asyncio.sleep(_COLD_S)
        return
    deadline = time.monotonic() + _WARMED_S
    while time.monotonic() < deadline:
        warm = await asyncio.to_thread(_scopes_in_valkey, order)
        if all(any(person.user["id"] in key for key in warm) for person in people):
            return
        await asyncio.sleep(0.1)
    raise MeasurementError(f"the worker warmed nothing within {_WARMED_S:g} s")


def _scopes_in_valkey(order: StartOrder) -> list[str]:
    with Valkey.from_url(order.valkey_url, socket_timeout=5) as client:
        return [key.decode() for key in client.scan_iter(match=f"{order.name}:user:*:user", count=1000)]


@asynccontextmanager
async def _replica(ground: Ground) -> AsyncIterator[str]:
    """Have a second replica of the same service: its own process, the same database, keys and files."""
    order = ground.core.order
    own, start = order.environ(), order.service.start
    shared = {name: own[name] for name in ("ADX_CORE_KEY_PREFIX", "ADX_CORE_FILES_URL")}
    start = msgspec.structs.replace(start, env=start.env | shared)
    service = msgspec.structs.replace(order.service, start=start)
    core = await start_service(
        replace(order, name=f"{order.name}-second", service=service), log=ground.logs / "rules-replica.log"
    )
    try:
        yield core.url
    finally:
        await core.stop()


def _ask_each(person: Person, ids: Sequence[str]) -> list[Received]:
    return [person.must("GET", f"/users/{one}") for one in ids]


def _first_answers(answers: Sequence[Received]) -> Figures:
    times = sorted(answer.ms for answer in answers)
    return {
        "p50_ms": statistics.median(times),
        "p95_ms": times[int(0.95 * len(times)) - 1],
        "queries": statistics.mean(len(answer.split.queries) for answer in answers),
    }


def _people(count: int) -> dict[str, Any]:
    names = [uuid.uuid4().hex for _ in range(count)]
    return {
        "users": [
            {"email": f"{name}@probe.test", "name": "Probe", "password": f"pass-{name}"} for name in names
        ]
    }


def _at_once(jobs: Sequence[Callable[[], Received]]) -> list[Received]:
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [job.result() for job in [pool.submit(one) for one in jobs]]


def _reset_peak_mb(ground: Ground) -> float:
    """Let the kernel count the peak of the core's memory anew, and return what it is now."""
    for pid in ground.core.pids:
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
        except OSError as error:
            raise MeasurementError(f"the peak of a process's memory can't be read here: {error}") from error
    return _peak_mb(ground)


def _peak_mb(ground: Ground) -> float:
    total = 0
    for pid in ground.core.pids:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
        total += int(found[1]) if found else 0
    return total / 1024
