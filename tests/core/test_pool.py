from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest
from asyncpg.pool import PoolConnectionProxy

from adx_lab.core.clients.pool import Pool, PoolTimeoutError
from adx_lab.core.database.database import Database, connect
from adx_lab.core.monitoring.metrics import Metrics
from adx_lab.core.settings import PoolSettings, Settings


@asynccontextmanager
async def pools(url: str, **changes: float) -> AsyncIterator[Pool]:
    settings = {"size_max": 3, "size_min": 1, "acquire_s": 0.2, "idle_s": 600, "lifetime_s": 1800, **changes}
    pool = Pool(partial(connect, url), **settings)  # type: ignore[arg-type]
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


async def pid(connection: PoolConnectionProxy) -> int:
    number: int = await connection.fetchval("SELECT pg_backend_pid()")
    return number


async def test_the_one_used_last_comes_first_and_the_figures_are_real(seeded_url: str) -> None:
    async with pools(seeded_url) as pool:
        assert pool.figures().size == 1
        first, second = await pool.acquire(), await pool.acquire()
        assert (pool.figures().size, pool.figures().active, pool.figures().idle) == (2, 2, 0)
        last = await pid(second)
        await pool.release(first)
        await pool.release(second)
        again = await pool.acquire()
        assert await pid(again) == last
        assert (pool.figures().active, pool.figures().idle) == (1, 1)
        await pool.release(again)


async def test_a_wait_that_is_soon_over_opens_nothing(
    seeded_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adx_lab.core.clients.pool.GROW_AFTER_S", 60)
    async with pools(seeded_url) as pool:
        connection = await pool.acquire()
        waiter = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        assert (pool.figures().size, pool.figures().waiting) == (1, 1)
        await pool.release(connection)
        await pool.release(await waiter)
        assert pool.figures().size == 1


async def test_a_burst_opens_few(seeded_url: str) -> None:
    async with pools(seeded_url, size_max=90, acquire_s=20) as pool:

        async def use() -> None:
            connection = await pool.acquire()
            await connection.fetchval("SELECT 1")
            await pool.release(connection)

        for _ in range(3):
            await asyncio.gather(*(use() for _ in range(200)))
        assert pool.figures().size < 30
        held = [await pool.acquire() for _ in range(90)]  # whoever needs more gets more
        assert pool.figures().size == 90
        for connection in held:
            await pool.release(connection)


async def test_those_who_can_wait_are_served_by_a_server_that_has_no_more_connections(
    seeded_url: str,
) -> None:
    admin = await asyncpg.connect(seeded_url)
    await admin.execute("CREATE ROLE limited LOGIN CONNECTION LIMIT 2")
    try:
        async with pools(seeded_url.replace("//adx@", "//limited@"), size_max=20, acquire_s=30) as pool:

            async def use() -> None:
                connection = await pool.acquire()
                await connection.execute("SELECT pg_sleep(0.05)")
                await pool.release(connection)

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
        connection = await pool.acquire()
        order: list[int] = []

        async def wait(number: int) -> None:
            got = await pool.acquire()
            order.append(number)
            await pool.release(got)

        tasks = [asyncio.create_task(wait(number)) for number in range(3)]
        await asyncio.sleep(0.01)
        assert pool.figures().waiting == 3
        tasks[1].cancel()
        await pool.release(connection)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == [0, 2]
    async with pools(seeded_url, size_max=1, acquire_s=0.05) as pool:
        connection = await pool.acquire()
        with pytest.raises(PoolTimeoutError):
            await pool.acquire()
        assert pool.figures().waiting == 0
        await pool.release(connection)
        await pool.release(await pool.acquire())


async def test_a_connection_given_to_one_who_leaves_is_not_lost(seeded_url: str) -> None:
    async with pools(seeded_url, size_max=1, acquire_s=5) as pool:
        connection = await pool.acquire()
        waiter = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0.01)
        await pool.release(connection)  # hands it over, and in the same turn
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        assert pool.figures().idle == 1


async def test_an_open_transaction_does_not_come_back(seeded_url: str) -> None:
    async with pools(seeded_url, size_max=1) as pool:
        connection = await pool.acquire()
        await connection.execute("BEGIN")
        await connection.execute("SET LOCAL application_name = 'left behind'")
        await pool.release(connection)
        again = await pool.acquire()
        assert not again.is_in_transaction()
        assert await again.fetchval("SHOW application_name") == "adx_core"
        await pool.release(again)


async def test_a_query_that_was_left_does_not_leave_its_connection_behind(seeded_url: str) -> None:
    database = Database(Settings(database_url=seeded_url, pool=PoolSettings(max=2, min=1)), Metrics())
    await database.pool.start()
    try:
        connection = await database.pool.acquire()
        sleeping = await pid(connection)
        task = asyncio.create_task(connection.fetchval("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await database.pool.release(connection)
        for _ in range(200):
            other = await database.pool.acquire()
            query = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND query LIKE '%sleep(60)'"
            running = await other.fetchval(query, sleeping)
            await database.pool.release(other)
            if not running:
                break
            await asyncio.sleep(0.02)
        assert not running
        assert database.pool.figures().active == 0
    finally:
        await database.pool.close()


async def test_one_that_no_longer_answers_is_closed_and_replaced(seeded_url: str) -> None:
    async with pools(seeded_url, size_max=1, acquire_s=5) as pool:
        connection = await pool.acquire()
        stuck = await pid(connection)
        os.kill(stuck, signal.SIGSTOP)
        try:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection.fetchval("SELECT 1"), 0.05)
            async with asyncio.timeout(5):
                await pool.release(connection)
                again = await pool.acquire()
            assert await pid(again) != stuck
            await pool.release(again)
        finally:
            os.kill(stuck, signal.SIGCONT)


async def test_old_and_idle_connections_are_given_up_but_for_the_least(seeded_url: str) -> None:
    async with pools(seeded_url, idle_s=0.1) as pool:
        connections = [await pool.acquire() for _ in range(3)]
        for connection in connections:
            await pool.release(connection)
        for _ in range(300):
            if pool.figures().size == 1:
                break
            await asyncio.sleep(0.02)
        assert pool.figures().size == 1
    async with pools(seeded_url, lifetime_s=0.1) as pool:
        connection = await pool.acquire()
        before = await pid(connection)
        await asyncio.sleep(0.15)
        await pool.release(connection)
        again = await pool.acquire()
        assert await pid(again) != before
        await pool.release(again)


async def test_connections_that_the_server_ended_are_replaced(seeded_url: str) -> None:
    async with pools(seeded_url) as pool:
        connections = [await pool.acquire() for _ in range(3)]
        pids = [await pid(connection) for connection in connections]
        for connection in connections:
            await pool.release(connection)
        killer = await asyncpg.connect(seeded_url)
        await killer.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid", pids)
        await killer.close()
        await asyncio.sleep(0.1)
        fresh = await pool.acquire()
        assert await pid(fresh) not in pids
        await pool.release(fresh)
        assert pool.figures().size <= 3


async def test_a_waiter_gets_a_new_connection_for_one_that_was_lost(seeded_url: str) -> None:
    async with pools(seeded_url, size_max=1, acquire_s=5) as pool:
        connection = await pool.acquire()
        waiter = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0.01)
        connection.terminate()
        await pool.release(connection)
        await pool.release(await waiter)


async def test_a_server_that_is_away_is_an_error_and_no_leak() -> None:
    pool = Pool(
        partial(connect, "postgresql://x@/x?host=/nowhere"),
        size_max=2, size_min=1, acquire_s=0.2, idle_s=600, lifetime_s=1800,
    )  # fmt: skip
    await pool.start()
    for _ in range(3):
        with pytest.raises(OSError):
            await pool.acquire()
    assert pool.figures().size == 0
    await pool.close()
    with pytest.raises(asyncpg.InterfaceError):
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
        connection = await database.pool.acquire()
        before = await connection.fetchrow(state)
        await database.pool.release(connection)
        await database.fetch("health.ping", timing=None)
        async for _ in database.stream("users.export", "0" * 32, rows_a_chunk=10, timing=None):
            pass
        connection = await database.pool.acquire()
        assert await connection.fetchrow(state) == before
        await database.pool.release(connection)
    finally:
        await database.pool.close()
