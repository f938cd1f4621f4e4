"""Shares and deadlines: one tenant, or one peer, takes nothing from the others."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from adx_lab.core.clients.valkey import Valkey
from adx_lab.core.server.gateway import RateLimiter
from adx_lab.core.server.problems import Problem
from adx_lab.core.settings import GatewaySettings, Settings, ValkeySettings
from tests.core.harness import Client, Core, eventually, log_in, log_in_as, metric, run_core
from tests.core.test_gateway import locked
from tests.core.test_streams import open_stream

if TYPE_CHECKING:
    from pathlib import Path

    from adx_lab.core.database.sample import Sample

StartCore = Callable[..., Core]


@contextmanager
def half_sent(core: Core, count: int, head: str) -> Iterator[list[socket.socket]]:
    parts = urlsplit(core.url)
    with ExitStack() as stack:
        sockets = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection((parts.hostname or "", parts.port or 0)))
            one.sendall(f"POST /api/v1{head}\r\nhost: x\r\ncontent-length: 900\r\n".encode() + b"\r\n{")
            sockets.append(one)
        yield sockets


def test_half_sent_logins_keep_nobody_out_and_have_a_deadline(start_core: StartCore, sample: Sample) -> None:
    core = start_core(gateway_in_flight_max=20, gateway_body_timeout_s=1.5)
    client = log_in_as(core.url, sample)
    head = "/auth/login HTTP/1.1\r\ncontent-type: application/json"
    with half_sent(core, 60, head) as sockets:
        assert client.get("/auth/me").status_code == 200
        log_in_as(core.url, sample, "viewer", tenant=2)
        sockets[0].settimeout(20)
        assert sockets[0].recv(12) == b"HTTP/1.1 408"


def test_one_tenants_slow_uploads_leave_the_others_alone(start_core: StartCore, sample: Sample) -> None:
    core = start_core(gateway_in_flight_max=20)
    whale, other = log_in_as(core.url, sample, tenant=0), log_in_as(core.url, sample, tenant=2)
    head = f"/files?name=x HTTP/1.1\r\nauthorization: Bearer {whale.token}\r\ncontent-type: a/b"
    with half_sent(core, 30, head):
        eventually(lambda: whale.get("/auth/me").status_code == 503)
        assert other.get("/auth/me").status_code == 200


def test_a_tenant_alone_has_more_than_its_share(
    start_core: StartCore, sample: Sample, clone_url: str
) -> None:
    core = start_core(database_url=clone_url, gateway_in_flight_max=20)
    whale, other = log_in_as(core.url, sample, tenant=0), log_in_as(core.url, sample, tenant=2)
    with ThreadPoolExecutor(30) as pool, locked(clone_url, "files"):
        many = [pool.submit(whale.at(core.url).get, "/files") for _ in range(25)]
        eventually(lambda: sum(future.done() for future in many) == 10)  # the others wait for the table
        few = [pool.submit(other.at(core.url).get, "/files") for _ in range(5)]
        eventually(lambda: metric(core.url, "db_connections_active") == 20)
    assert sorted(future.result().status_code for future in many) == [200] * 15 + [503] * 10
    assert [future.result().status_code for future in few] == [200] * 5  # what was kept for them


def test_an_upload_that_trickles_is_given_up(start_core: StartCore, sample: Sample) -> None:
    core = start_core(gateway_stream_timeout_s=0.4, gateway_upload_bytes_per_s=1_000)
    client = log_in_as(core.url, sample)
    head = f"/files?name=x HTTP/1.1\r\nauthorization: Bearer {client.token}\r\ncontent-type: a/b"
    with half_sent(core, 1, head) as (trickle,):
        trickle.settimeout(0.1)
        answer = b""
        for _ in range(100):
            try:
                answer = trickle.recv(12)
                break
            except TimeoutError:
                trickle.sendall(b"x")
        assert answer == b"HTTP/1.1 408"


def test_a_flood_of_strangers_lets_an_honest_login_through(start_core: StartCore, sample: Sample) -> None:
    core = start_core(auth_hash_threads=1, auth_hash_waiting_max=16)
    tenant = sample.tenants[1]

    def attempt(number: int) -> int:
        body = {"tenant_id": tenant.id, "email": f"nobody{number}@example.com", "password": "wrong"}
        return httpx.post(f"{core.url}/api/v1/auth/login", json=body, timeout=60).status_code

    with ThreadPoolExecutor(40) as pool:
        flood = [pool.submit(attempt, number) for number in range(200)]
        for user in tenant.users[:5]:
            log_in(core.url, tenant, user, sample.password)
        assert {one.result() for one in flood} == {401}


def test_a_strangers_wrong_passwords_lock_nobody_out(start_core: StartCore, sample: Sample) -> None:
    core = start_core(auth_attempts_max=3, gateway_forwarded=1)
    tenant, url = sample.tenants[1], f"{core.url}/api/v1/auth/login"
    body = {"tenant_id": tenant.id, "email": tenant.users[2].email, "password": "wrong"}

    def ask(peer: str, password: str) -> httpx.Response:
        headers = {"x-forwarded-for": f"{password}, {peer}"}  # only the last one is our proxy's
        return httpx.post(url, json={**body, "password": password}, headers=headers)

    assert [ask("192.0.2.1", f"wrong {n}").status_code for n in range(5)] == [401, 401, 401, 429, 429]
    assert ask("192.0.2.2", sample.password).status_code == 200
    eventually(lambda: ask("192.0.2.1", sample.password).status_code == 200)  # after the wait, there too


def test_a_burst_of_streams_is_bounded_and_ordinary_reads_go_on(
    start_core: StartCore, sample: Sample
) -> None:
    core = start_core(gateway_streams_max=4)
    whale = log_in_as(core.url, sample, tenant=0)

    def begin(_: int) -> socket.socket | None:
        try:
            return open_stream(whale, "/events")
        except AssertionError:
            return None

    with ThreadPoolExecutor(20) as pool:
        streams = [one for one in pool.map(begin, range(20)) if one is not None]
    assert len(streams) == 2  # half of them, of one tenant
    other = log_in_as(core.url, sample, tenant=2)
    assert other.get("/users/export").status_code == 200
    assert whale.get("/users").status_code == 200
    for stream in streams:
        stream.close()
    eventually(lambda: whale.get("/users/export").status_code == 200)


async def test_a_stream_that_waits_for_its_first_rows_has_a_deadline(
    start_core: StartCore, sample: Sample, clone_url: str
) -> None:
    core = start_core(database_url=clone_url, gateway_timeout_s=0.4)
    client = log_in_as(core.url, sample)
    blocker = await asyncpg.connect(clone_url)
    try:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
            assert client.get("/events").status_code == 503
    finally:
        await blocker.close()
    assert client.get("/events?limit=1").status_code == 200


async def test_ready_does_not_wait_for_the_busy_pool(
    start_core: StartCore, sample: Sample, clone_url: str
) -> None:
    core = start_core(database_url=clone_url, pool_max=1, pool_min=1)
    client = log_in_as(core.url, sample)
    blocker = await asyncpg.connect(clone_url)
    with ThreadPoolExecutor(1) as pool:
        async with blocker.transaction():
            await blocker.execute("LOCK TABLE files IN ACCESS EXCLUSIVE MODE")
            waiting = pool.submit(client.at(core.url).get, "/files")
            eventually(lambda: metric(core.url, "db_connections_active") == 1)
            assert Client(core.url).get("/ready").json()["database"] == "up"
        await blocker.close()
        assert waiting.result().status_code == 200


async def test_many_workers_with_a_request_each_leave_enough_for_one_another(
    valkey_url: str, request: pytest.FixtureRequest
) -> None:
    async def nothing(_: object) -> None:
        return None

    valkey = Valkey(valkey_url, ValkeySettings(timeout_s=5), ("PING",), nothing, lambda: None)
    await valkey.start()
    try:
        settings = Settings(key_prefix=f"{request.node.name}:", valkey_url=valkey_url)
        for _ in range(40):
            await RateLimiter(settings, valkey).admit("tenant")
    finally:
        await valkey.close()


@pytest.mark.parametrize(("rate", "let_in"), [(0.5, {1, 2}), (5, {5, 6, 7, 8, 9, 10})])
async def test_a_small_rate_limits(rate: float, let_in: set[int]) -> None:
    limiter = RateLimiter(Settings(gateway=GatewaySettings(rate_per_s=rate)), None)
    count = 0
    with suppress(Problem):
        while count < 100:
            if not limiter.try_admit("tenant"):
                await limiter.admit("tenant")
            count += 1
    assert count in let_in  # a second may turn meanwhile


async def test_a_statement_outlives_a_change_of_its_table(
    start_core: StartCore, sample: Sample, clone_url: str
) -> None:
    core = start_core(database_url=clone_url, rules_off="cache.l1,cache.l2")
    log_in_as(core.url, sample, "viewer")
    connection = await asyncpg.connect(clone_url)
    try:
        await connection.execute("ALTER TABLE users ALTER COLUMN password_hash TYPE varchar(300)")
    finally:
        await connection.close()
    for skip in range(3):
        log_in_as(core.url, sample, "viewer", skip=skip)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER TABLE files DROP COLUMN sha256", "sha256"),
        ("UPDATE alembic_version SET version_num = '0099'", "newer than"),
        ("UPDATE alembic_version SET version_num = '0001'", "run: python -m adx_lab.core migrate"),
    ],
)
async def test_a_schema_that_does_not_fit_is_refused_in_one_line(
    clone_url: str, tmp_path: Path, change: str, words: str
) -> None:
    connection = await asyncpg.connect(clone_url)
    try:
        await connection.execute(change)
    finally:
        await connection.close()
    done = run_core(database_url=clone_url, port=0, files_url=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]


async def test_an_internal_error_leaves_its_traceback_and_its_trace(
    start_core: StartCore, sample: Sample, clone_url: str
) -> None:
    core = start_core(database_url=clone_url)
    client = log_in_as(core.url, sample)
    connection = await asyncpg.connect(clone_url)
    try:
        await connection.execute("ALTER TABLE files RENAME TO gone")
    finally:
        await connection.close()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = client.get("/files", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert answer.status_code == 500
    (told,) = eventually(lambda: core.logged("a request failed"))
    assert "Traceback" in told["exception"]
    assert told["trace_id"] == trace
    assert json.dumps(told)
