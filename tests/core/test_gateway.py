from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from adx_lab.core.database.sample import Sample
from tests.core.harness import Client, Core, eventually, log_in_as, metric

StartCore = Callable[..., Core]


def test_every_answer_has_an_id_and_security_headers(admin: Client, nobody: Client) -> None:
    for answer in (
        admin.get("/users"),
        nobody.get("/users"),
        nobody.get("/nowhere"),
        admin.get("/events?limit=1"),
    ):
        assert answer.headers["x-request-id"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    given = admin.get("/health", headers={"x-request-id": "mine-1"})
    assert given.headers["x-request-id"] == "mine-1"
    assert admin.get("/health", headers={"x-request-id": "x" * 65}).headers["x-request-id"] != "x" * 65


def test_unknown_paths_and_methods(nobody: Client) -> None:
    missing = nobody.get("/nowhere")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
    wrong = nobody.put("/users", json={})
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "GET, HEAD, POST"


def test_paths_that_match_nothing_make_no_series(core: Core, nobody: Client) -> None:
    for number in range(20):
        nobody.get(f"/nowhere/{number}")
    assert "nowhere" not in httpx.get(f"{core.url}/metrics").text


def test_a_tenant_that_asks_too_much_is_limited_and_others_are_not(
    start_core: StartCore, sample: Sample
) -> None:
    core = start_core(gateway_rate_per_s=50, workers=2)
    busy, calm = log_in_as(core.url, sample), log_in_as(core.url, sample, tenant=2)
    answers = []
    started = time.monotonic()
    while time.monotonic() - started < 2.2:
        answers.append(busy.get("/tenants/current"))
        assert len(answers) % 50 or calm.get("/tenants/current").status_code == 200
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {200, 429}
    # Over all workers; the seconds at both ends may be cut.
    assert 50 <= codes.count(200) <= 200
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 429)


def test_without_valkey_the_limit_holds_by_worker(start_core: StartCore, sample: Sample) -> None:
    core = start_core(gateway_rate_per_s=50, valkey_url="")
    client = log_in_as(core.url, sample)
    codes = [client.get("/tenants/current").status_code for _ in range(150)]
    assert 429 in codes or codes.count(200) <= 150


@contextmanager
def locked(url: str, table: str, mode: str = "ACCESS EXCLUSIVE") -> Iterator[None]:
    """Hold a table so that every query of it waits, or with another mode every change."""
    release, held = threading.Event(), threading.Event()

    async def hold() -> None:
        connection = await asyncpg.connect(url)
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN {mode} MODE")
            held.set()
            await asyncio.to_thread(release.wait)
        await connection.close()

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    held.wait()
    try:
        yield
    finally:
        release.set()
        thread.join()


def test_more_than_can_be_answered_is_turned_away_at_once(
    start_core: StartCore, sample: Sample, clone_url: str
) -> None:
    core = start_core(database_url=clone_url, gateway_in_flight_max=5, gateway_share=1)
    client = log_in_as(core.url, sample)
    client.get("/auth/me")
    with ThreadPoolExecutor(20) as pool, locked(clone_url, "files"):
        waiting = [pool.submit(client.at(core.url).get, "/files") for _ in range(20)]
        eventually(lambda: sum(future.done() for future in waiting) == 15)
        refused = [future.result() for future in waiting if future.done()]
        assert {answer.status_code for answer in refused} == {503}
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert httpx.get(f"{core.url}/api/v1/health").status_code == 200
        assert httpx.get(f"{core.url}/api/v1/ready").status_code == 200
    assert sorted(future.result().status_code for future in waiting) == [200] * 5 + [503] * 15
    assert client.get("/files").status_code == 200


def test_a_request_that_takes_too_long_is_given_up_with_its_connection(
    start_core: StartCore, sample: Sample, clone_url: str
) -> None:
    core = start_core(database_url=clone_url, gateway_timeout_s=0.3)
    client = log_in_as(core.url, sample)
    with locked(clone_url, "files"):
        answer = client.get("/files")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        eventually(lambda: metric(core.url, "db_connections_active") == 0)
    assert client.get("/files").status_code == 200


def test_an_exhausted_pool_is_a_503_and_recovers(
    start_core: StartCore, sample: Sample, clone_url: str
) -> None:
    core = start_core(database_url=clone_url, pool_max=2, pool_min=1, pool_acquire_s=0.2)
    client = log_in_as(core.url, sample)
    client.get("/auth/me")
    with ThreadPoolExecutor(10) as pool, locked(clone_url, "files"):
        waiting = [pool.submit(client.at(core.url).get, "/files") for _ in range(10)]
        eventually(lambda: sum(future.done() for future in waiting) == 8)
        assert metric(core.url, "db_connections_active") == 2
    codes = sorted(future.result().status_code for future in waiting)
    assert codes == [200, 200] + [503] * 8
    assert metric(core.url, "db_connections_waiting") == 0
    assert client.get("/files").status_code == 200


def test_a_slow_sender_holds_nobody_up(start_core: StartCore, sample: Sample) -> None:
    core = start_core(gateway_timeout_s=0.5)
    client = log_in_as(core.url, sample)
    parts = urlsplit(core.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0)) as slow:
        head = "POST /api/v1/users HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n"
        head += "content-type: application/json\r\n"
        slow.sendall(f"{head}authorization: Bearer {client.token}\r\n\r\n{{".encode())
        assert client.get("/auth/me").status_code == 200
        slow.settimeout(10)
        assert b"503" in slow.recv(100)


@pytest.mark.parametrize("raw", [b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 100 + b"\r\n\r\n"])
def test_what_is_no_http_does_no_harm(raw: bytes, core: Core, nobody: Client) -> None:
    parts = urlsplit(core.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1000)
    assert nobody.get("/health").status_code == 200
