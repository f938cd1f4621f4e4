from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg

from tests.core.harness import Client, Core, eventually, log_in_as, metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from adx_lab.core.database.sample import Sample


def test_events_come_in_order_within_their_period(admin: Client) -> None:
    answer = admin.get("/events", params={"since": "2024-06-01T00:00:00Z", "until": "2024-09-01T00:00:00Z"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    moments = [line["created_at"] for line in lines]
    assert moments == sorted(moments)
    assert moments[0] >= "2024-06-01"
    assert moments[-1] < "2024-09-01"
    limited = admin.get("/events", params={"since": "2024-06-01T00:00:00Z", "limit": 7})
    assert [json.loads(line) for line in limited.text.splitlines()] == lines[:7]


def test_a_period_without_events_is_an_empty_stream(admin: Client) -> None:
    answer = admin.get("/events", params={"since": "2090-01-01T00:00:00Z"})
    assert (answer.status_code, answer.text) == (200, "")


def test_what_ends_soon_is_an_ordinary_response(sample: Sample, core: Core) -> None:
    short = log_in_as(core.url, sample, tenant=2).get("/users/export")
    assert short.headers["content-length"] == str(len(short.content))
    assert len(short.text.splitlines()) == len({json.loads(line)["id"] for line in short.text.splitlines()})
    whale = log_in_as(core.url, sample, tenant=0)
    long = whale.get("/users/export")
    assert "content-length" not in long.headers
    assert len(long.content) > 1 << 17


def test_streams_that_were_left_leave_no_pipe_open(start_core: Callable[..., Core], sample: Sample) -> None:
    core = start_core(workers=1)
    whale = log_in_as(core.url, sample, tenant=0)

    def pipes() -> list[str]:
        held = Path(f"/proc/{core.worker_pids[0]}/fd").iterdir()
        return [to for to in (str(one.readlink()) for one in held if one.exists()) if "adx-core-pipes-" in to]

    (own,) = pipes()  # the folder itself
    for _ in range(3):
        opened = [open_stream(whale, "/users/export") for _ in range(4)]
        for one in opened:
            one.close()
        eventually(lambda: pipes() == [own])
    assert len(whale.get("/users/export").content) > 1 << 17
    eventually(lambda: pipes() == [own])


def test_a_moment_needs_a_zone(admin: Client) -> None:
    assert admin.get("/events", params={"since": "2024-06-01T00:00:00"}).status_code == 422


def open_stream(client: Client, path: str) -> socket.socket:
    """Ask for a stream and read only its beginning."""
    parts = urlsplit(client.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    connection.connect((parts.hostname or "", parts.port or 0))
    head = f"GET /api/v1{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {client.token}\r\n\r\n"
    connection.sendall(head.encode())
    begun = connection.recv(12)
    if begun != b"HTTP/1.1 200":
        connection.close()
    assert begun == b"HTTP/1.1 200"
    return connection


def active(core: Core) -> float:
    return metric(core.url, "db_connections_active")


def test_a_client_that_leaves_gives_its_connection_back(
    start_core: Callable[..., Core], sample: Sample, core_url: str
) -> None:
    core = start_core()
    whale = log_in_as(core.url, sample, tenant=0)
    streams = [open_stream(whale, "/events") for _ in range(3)]
    eventually(lambda: active(core) >= 3)
    for stream in streams:
        stream.close()
    eventually(lambda: active(core) == 0)
    assert asyncio.run(_open_transactions(core_url)) == 0
    assert whale.get("/users").status_code == 200


async def _open_transactions(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state ~ '^idle in'"
        )
        count: int = await connection.fetchval(query)
        return count
    finally:
        await connection.close()


def test_a_client_that_takes_nothing_is_cut(start_core: Callable[..., Core], sample: Sample) -> None:
    core = start_core(gateway_stream_timeout_s=0.5)
    whale = log_in_as(core.url, sample, tenant=0)
    with open_stream(whale, "/events"):
        eventually(
            lambda: (
                active(core) == 0 and core.logged("a client took nothing for too long; its stream was cut")
            )
        )


def test_streams_are_bounded(start_core: Callable[..., Core], sample: Sample) -> None:
    core = start_core(gateway_streams_max=2, gateway_share=1)
    whale = log_in_as(core.url, sample, tenant=0)
    with open_stream(whale, "/events"), open_stream(whale, "/events"):
        refused = whale.get("/events")
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert whale.get("/users").status_code == 200
    eventually(lambda: whale.get("/users/export").status_code == 200)


def test_a_stream_that_breaks_off_says_so(
    start_core: Callable[..., Core], sample: Sample, core_url: str
) -> None:
    core = start_core()
    whale = log_in_as(core.url, sample, tenant=0)
    with open_stream(whale, "/events") as stream:
        eventually(lambda: active(core) == 1)
        asyncio.run(_cut_cursors(core_url))
        received = b""
        while chunk := stream.recv(1 << 16):
            received += chunk
            if b"0\r\n\r\n" in chunk[-7:]:
                break
    assert b"the stream broke off" in received[-600:]


async def _cut_cursors(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        query = """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND state = 'idle in transaction'
        """
        for _ in range(500):
            if await connection.fetch(query):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the cursor's transaction was never idle")
    finally:
        await connection.close()


def test_without_the_rules_results_are_the_same_but_whole(
    start_core: Callable[..., Core], sample: Sample, admin: Client
) -> None:
    query = {"since": "2024-06-01T00:00:00Z", "limit": "2000"}
    expected = [json.loads(line) for line in admin.get("/events", params=query).text.splitlines()]
    no_cursor = log_in_as(start_core(rules_off="async.streaming").url, sample)
    answer = no_cursor.get("/events", params=query)
    assert [json.loads(line) for line in answer.text.splitlines()] == expected
    no_lines = log_in_as(start_core(rules_off="json.streaming").url, sample)
    answer = no_lines.get("/events", params=query)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == expected
