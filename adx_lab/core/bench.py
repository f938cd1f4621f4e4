"""How many requests a second one worker answers: ``python -m adx_lab.core.bench --help``.

Closed loop, a few connections that are always busy: a figure for comparing servers and for profiling, not for
budgets. The client only counts bytes, so that little of the machine goes into it. It logs in as the first
user of the largest tenant, and asks for its own account, for users of the tenant in turn, and for the first
page of them. The core has to be started with a limit that is high enough (``ADX_CORE_GATEWAY_RATE_PER_S``).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import urllib.request
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import msgspec
import uvloop

from adx_lab.core.database.sample import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

_WARM_UP_S = 1.0


class Result(msgspec.Struct):
    """What one endpoint did; times in milliseconds, the worker's CPU in microseconds a request.

    On a machine that others use too, the CPU is the figure that can be trusted.
    """

    endpoint: str
    requests_per_s: float
    cpu_us: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: int


class _Client(asyncio.Protocol):
    """One connection that sends the next request as soon as the last is answered."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float]) -> None:
        self._requests = requests
        self._latencies = latencies
        self._buffer = b""
        self._sent_at = 0.0
        self.errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._buffer.find(b"content-length: ", 0, head) + 16
        length = int(self._buffer[at : self._buffer.find(b"\r\n", at)])
        if len(self._buffer) < head + 4 + length:
            return
        self._latencies.append(time.perf_counter() - self._sent_at)
        self.errors += not self._buffer.startswith(b"HTTP/1.1 200")
        self._buffer = b""
        self._send()

    def close(self) -> None:
        self._transport.abort()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(next(self._requests))


async def measure(
    url: str, endpoint: str, requests: list[bytes], *, pids: list[int], connections: int, seconds: float
) -> Result:
    """Ask for as much as the server gives, and return how much that was."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    order = cycle(requests)
    made = [
        await loop.create_connection(
            lambda: _Client(order, latencies), parts.hostname or "localhost", parts.port or 80
        )
        for _ in range(connections)
    ]
    await asyncio.sleep(_WARM_UP_S)
    latencies.clear()
    started, cpu_started = time.perf_counter(), cpu_s(pids)
    await asyncio.sleep(seconds)
    elapsed, cpu = time.perf_counter() - started, cpu_s(pids) - cpu_started
    ranked = sorted(latencies)
    for _, client in made:
        client.close()
    p50, p95, p99 = (ranked[int(len(ranked) * share)] * 1e3 for share in (0.5, 0.95, 0.99))
    errors = sum(client.errors for _, client in made)
    return Result(
        endpoint,
        requests_per_s=round(len(ranked) / elapsed, 1),
        cpu_us=round(cpu / len(ranked) * 1e6, 1),
        p50_ms=round(p50, 3),
        p95_ms=round(p95, 3),
        p99_ms=round(p99, 3),
        errors=errors,
    )


def cpu_s(pids: list[int]) -> float:
    """Return the CPU time that processes took so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    fields = (
        Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split() for pid in pids
    )
    return float(sum(int(found[11]) + int(found[12]) for found in fields)) / ticks


def plan(url: str, sample: Sample) -> dict[str, list[bytes]]:
    """Log in, and return the requests of each endpoint."""
    tenant = sample.tenants[0]
    credentials = {"tenant_id": tenant.id, "email": tenant.users[0].email, "password": sample.password}
    login = urllib.request.Request(
        f"{url}/api/v1/auth/login", msgspec.json.encode(credentials), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(login, timeout=10) as answer:
        token = msgspec.json.decode(answer.read())["access_token"]
    paths = {
        "GET /auth/me": ["/api/v1/auth/me"],
        "GET /users/{id}": [f"/api/v1/users/{user.id}" for user in tenant.users],
        "GET /users": ["/api/v1/users"],
    }
    head = f"host: {urlsplit(url).netloc}\r\nauthorization: Bearer {token}\r\n\r\n"
    return {
        name: [f"GET {path} HTTP/1.1\r\n{head}".encode() for path in asked] for name, asked in paths.items()
    }


async def _run(asked: argparse.Namespace) -> list[Result]:
    sample = msgspec.json.decode(asked.sample.read_bytes(), type=Sample)
    announced = msgspec.json.decode(asked.announced.read_bytes())
    url, pids = announced["url"], announced["worker_pids"]
    return [
        await measure(url, name, requests, pids=pids, connections=asked.connections, seconds=asked.seconds)
        for name, requests in plan(url, sample).items()
    ]


def main() -> None:
    """Measure each endpoint and print the results as JSON lines."""
    parser = argparse.ArgumentParser(prog="python -m adx_lab.core.bench", description=__doc__)
    parser.add_argument("--announced", type=Path, required=True, help="the core's ADX_CORE_ANNOUNCE file")
    parser.add_argument("--sample", type=Path, required=True, help="what the verb `sample` wrote")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    asked = parser.parse_args()
    for result in uvloop.run(_run(asked)):
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")


if __name__ == "__main__":
    main()
