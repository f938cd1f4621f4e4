"""Memory stays where it is, whatever goes through."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from adx_lab.core.database.sample import Sample
from tests.core.harness import Core, log_in_as

MEGABYTE = 1 << 20
FILE_MEGABYTES = 256
ROWS = 300_000
CONNECTIONS = 2_000


def peak_bytes(core: Core) -> int:
    text = Path(f"/proc/{core.told['worker_pids'][0]}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert match is not None
    return int(match[1]) * 1024


def test_a_large_file_goes_through_in_little_memory(start_core: Callable[..., Core], sample: Sample) -> None:
    core = start_core()
    client = log_in_as(core.url, sample)
    piece = os.urandom(MEGABYTE)

    def content() -> Iterator[bytes]:
        for _ in range(FILE_MEGABYTES):
            yield piece

    client.post("/files", content=piece)
    before = peak_bytes(core)
    length = {"content-length": str(FILE_MEGABYTES * MEGABYTE)}
    file = client.post("/files", content=content(), headers=length).json()
    with client.stream("GET", f"/files/{file['id']}/content") as answer:
        assert sum(map(len, answer.iter_raw())) == file["size"] == FILE_MEGABYTES * MEGABYTE
    assert peak_bytes(core) - before < 50 * MEGABYTE


def test_a_large_export_goes_through_in_little_memory(
    start_core: Callable[..., Core], sample: Sample, clone_url: str
) -> None:
    tenant = sample.tenants[1]

    async def fill() -> None:
        connection = await asyncpg.connect(clone_url)
        await connection.execute(
            """
            INSERT INTO events (tenant_id, user_id, kind, data, created_at)
            SELECT $1, $2, 'bulk', '{"n": 1}', timestamptz '2030-01-01' + n * interval '1 ms'
            FROM generate_series(1, $3::integer) n
            """,
            tenant.id,
            tenant.users[0].id,
            ROWS,
        )
        await connection.close()

    asyncio.run(fill())
    core = start_core(database_url=clone_url)
    client = log_in_as(core.url, sample)
    client.get("/events", params={"limit": 1000})
    before = peak_bytes(core)
    with client.stream("GET", "/events", params={"since": "2030-01-01T00:00:00Z"}) as answer:
        assert sum(chunk.count(b"\n") for chunk in answer.iter_raw()) == ROWS
    assert peak_bytes(core) - before < 50 * MEGABYTE


def test_many_connections_take_little_memory(start_core: Callable[..., Core], sample: Sample) -> None:
    core = start_core(gateway_rate_per_s=0)
    client = log_in_as(core.url, sample)
    client.get("/auth/me")  # or all of them would wait for the first one's queries, and some be shed
    before = peak_bytes(core)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(CONNECTIONS, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 200)), hard))
    # The core raises its own limit: most systems begin with 1,024.
    assert resource.prlimit(core.told["worker_pids"][0], resource.RLIMIT_NOFILE)[0] >= min(hard, 10_000)
    parts = urlsplit(core.url)
    request = (
        f"GET /api/v1/auth/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {client.token}\r\n\r\n".encode()
    )
    connections = [socket.create_connection((parts.hostname or "", parts.port or 0)) for _ in range(count)]
    try:
        for connection in connections:
            connection.sendall(request)
        assert all(connection.recv(12) == b"HTTP/1.1 200" for connection in connections)
        # 10,000 have to fit into 512 MB with what the process takes anyway.
        assert (peak_bytes(core) - before) / count < 35_000
    finally:
        for connection in connections:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
