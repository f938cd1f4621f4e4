from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from adx_lab.core.clients.pool import Pool, PoolClosedError, PoolTimeoutError
from adx_lab.core.database.database import Database, connect
from adx_lab.core.monitoring.metrics import Metrics
from adx_lab.core.settings import PoolSettings, Settings


@asynccontextmanager
async def pools(url: str, **changes: float) -> AsyncIterator[Pool]:
    settings = {"size_max": 3, "size_min": 1, "acquire_s": 0.2, "idle_s": 600, "lifetime_s": 1800, **changes}
    pool = Pool(lambda: connect(url), **settings)  # type: ignore[arg-type]
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


async def pid(link: object) -> int:
    number: int = await link.connection.fetchval("SELECT pg_backend_pid()")  # type: ignore[attr-defined]
    return number


async def test_the_one_used_last_comes_first_and_the_figures_are_real(seeded_url: str) -> None:
    async with pools(seeded_url) as pool:
        assert pool.figures().size == 1
        first, second = await pool.acquire(), await pool.acquire()
        assert (pool.figures().size, pool.figures().active, pool.figures().idle) == (2, 2, 0)
        pool.release(first)
        pool.release(second)
        assert await pool.acquire() is second
        assert (pool.figures().active, pool.figures().idle) == (1, 1)
        pool.release(second)


async def test_a_wait_that_is_soon_over_opens_nothing(
    seeded_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adx_lab.core.clients.pool.GROW_AFTER_S", 60)
    async with pools(seeded_url) as pool:
        link = await pool.acquire()
        waiter = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        assert (pool.figures().size, pool.figures().waiting) == (1, 1)
        pool.release(link)
        assert await waiter is link
        assert pool.figures().size == 1
        pool.release(link)


async def test_those_who_can_wait_are_served_by_a_server_that_has_no_more_connections(
    seeded_url: str,
) -> None:
    admin = await asyncpg.connect(seeded_url)
    await admin.execute("CREATE ROLE limited LOGIN CONNECTION LIMIT 2")
    try:
        async with pools(seeded_url.replace("//adx@", "//limited@"), size_max=20, acquire_s=30) as pool:

            async def use() -> None:
                link = await pool.acquire()
                await link.connection.execute("SELECT pg_sleep(0.05)")
                pool.release(link)

            await asyncio.gather(*(use() for _ in range(40)))
            assert (pool.figures().size, pool.figures().idle) == (2, 2)
            await admin.execute("ALTER ROLE limited CONNECTION LIMIT 5")
            await asyncio.gather(*(use() for _ in range(200)))
            assert pool.figures().size > 2  # it is asked again
    finally:
        await admin.execute("DROP ROLE limited")
        await admin.close()


async def test_who_waits_longest_is_served_first_and_nobody_for_ever(seeded_url: str) -> None:
    async with pools(seeded_url, size_max=1, acquire_s=5) as pool:
        link = await pool.acquire()
        order: list[int] = []

        async def wait(number: int) -> None:
            got = await pool.acquire()
            order.append(number)
            pool.release(got)

        tasks = [asyncio.create_task(wait(number)) for number in range(3)]
        await asyncio.sleep(0.01)
        assert pool.figures().waiting == 3
        tasks[1].cancel()
        pool.release(link)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == [0, 2]
    async with pools(seeded_url, size_max=1, acquire_s=0.05) as pool:
        link = await pool.acquire()
        with pytest.raises(PoolTimeoutError):
            await pool.acquire()
        assert pool.figures().waiting == 0
        pool.release(link)
        pool.release(await pool.acquire())


async def test_a_connection_given_to_one_who_leaves_is_not_lost(seeded_url: str) -> None:
    async with pools(seeded_url, size_max=1, acquire_s=5) as pool:
        link = await pool.acquire()
        waiter = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0.01)
        pool.release(link)  # hands it over, and in the same turn
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert pool.figures().idle == 1


async def test_an_open_transaction_does_not_come_back(seeded_url: str) -> None:
    async with pools(seeded_url) as pool:
        link = await pool.acquire()
        before = await pid(link)
        await link.connection.execute("BEGIN")
        pool.release(link)
        again = await pool.acquire()
        assert await pid(again) != before
        pool.release(again)


async def test_a_query_that_was_left_does_not_leave_its_connection_behind(seeded_url: str) -> None:
    database = Database(Settings(database_url=seeded_url, pool=PoolSettings(max=2, min=1)), Metrics())
    await database.pool.start()
    try:
        link = await database.pool.acquire()
        sleeping = await pid(link)
        task = asyncio.create_task(link.connection.fetchval("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        database.pool.discard(link)
        for _ in range(200):
            other = await database.pool.acquire()
            query = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1"
            running = await other.connection.fetchval(query, sleeping)
            database.pool.release(other)
            if not running:
                break
            await asyncio.sleep(0.02)
        assert not running
        assert database.pool.figures().active == 0
    finally:
        await database.pool.close()


async def test_old_and_idle_connections_are_given_up_but_for_the_least(seeded_url: str) -> None:
    async with pools(seeded_url, idle_s=0.1) as pool:
        links = [await pool.acquire() for _ in range(3)]
        for link in links:
            pool.release(link)
        for _ in range(300):
            if pool.figures().size == 1:
                break
            await asyncio.sleep(0.02)
        assert pool.figures().size == 1
    async with pools(seeded_url, lifetime_s=0.1) as pool:
        link = await pool.acquire()
        before = await pid(link)
        await asyncio.sleep(0.15)
        pool.release(link)
        again = await pool.acquire()
        assert await pid(again) != before
        pool.release(again)


async def test_connections_that_the_server_ended_are_replaced(seeded_url: str) -> None:
    async with pools(seeded_url) as pool:
        links = [await pool.acquire() for _ in range(3)]
        pids = [await pid(link) for link in links]
        for link in links:
            pool.release(link)
        killer = await asyncpg.connect(seeded_url)
        await killer.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid", pids)
        await killer.close()
        await asyncio.sleep(0.1)
        fresh = await pool.acquire()
        assert await pid(fresh) not in pids
        pool.release(fresh)
        assert pool.figures().size <= 3


async def test_a_waiter_gets_a_new_connection_for_one_that_was_discarded(seeded_url: str) -> None:
    async with pools(seeded_url, size_max=1, acquire_s=5) as pool:
        link = await pool.acquire()
        waiter = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0.01)
        pool.discard(link)
        pool.release(await waiter)


async def test_a_server_that_is_away_is_an_error_and_no_leak() -> None:
    pool = Pool(
        lambda: connect("postgresql://x@/x?host=/nowhere"),
        size_max=2, size_min=1, acquire_s=0.2, idle_s=600, lifetime_s=1800,
    )  # fmt: skip
    await pool.start()
    for _ in range(3):
        with pytest.raises(OSError):
            await pool.acquire()
    assert pool.figures().size == 0
    await pool.close()
    with pytest.raises(PoolClosedError):
        await pool.acquire()


async def test_no_query_leaves_session_state_behind(seeded_url: str) -> None:
    # Nothing is sent at release that could clean up: so nothing may have to be.
    database = Database(Settings(database_url=seeded_url, pool=PoolSettings(max=1, min=1)), Metrics())
    await database.pool.start()
    state = """
    SELECT (SELECT count(*) FROM pg_settings WHERE source = 'session'),
        (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
        (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_cursors WHERE is_holdable),
        (SELECT count(*) FROM pg_class WHERE relpersistence = 't')
    """
    try:
        link = await database.pool.acquire()
        before = await link.connection.fetchrow(state)
        database.pool.release(link)
        await database.fetch("health.ping", timing=None)
        async for _ in database.stream("users.export", "0" * 32, rows_a_chunk=10, timing=None):
            pass
        link = await database.pool.acquire()
        assert await link.connection.fetchrow(state) == before
        database.pool.release(link)
    finally:
        await database.pool.close()
