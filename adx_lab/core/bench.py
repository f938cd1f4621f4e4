"""How many requests a second one worker answers: ``python -m adx_lab.core.bench --help``.

Closed loop, a few connections that are always busy: a figure for comparing servers and for profiling, not for
budgets. The client only counts bytes, so that little of the machine goes into it. It logs in as ``--users``
users of all tenants in turn, so that each request has a token of its own and single flight shares nothing.
The core has to be started with a limit that is high enough (``ADX_CORE_GATEWAY_RATE_PER_S=0``), and for the
uncached part with ``ADX_CORE_RULES_OFF=cache.l1,cache.l2``. ``queries`` is what the database was asked, a
request, by the core's own count.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import urllib.error
import urllib.request
from itertools import chain, cycle, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import msgspec
import uvloop

from adx_lab.core.database.sample import Sample, SampleUser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WARM_UP_S = 1.0


class Result(msgspec.Struct):
    """What one endpoint did; times in milliseconds, the worker's CPU in microseconds a request.

    On a machine that others use too, the CPU is the figure that can be trusted.
    """

    endpoint: str
    queries: float
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
    asked = await asyncio.to_thread(queries, url)
    begun = len(latencies)
    started, cpu_started = time.perf_counter(), cpu_s(pids)
    await asyncio.sleep(seconds)
    elapsed, cpu = time.perf_counter() - started, cpu_s(pids) - cpu_started
    latencies = latencies[begun:]
    asked = await asyncio.to_thread(queries, url) - asked
    ranked = sorted(latencies)
    for _, client in made:
        client.close()
    p50, p95, p99 = (ranked[int(len(ranked) * share)] * 1e3 for share in (0.5, 0.95, 0.99))
    errors = sum(client.errors for _, client in made)
    return Result(
        endpoint,
        queries=round(asked / len(ranked), 2),
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


def queries(url: str) -> float:
    """Return how often the core has asked the database; 0 for a server that has no such count."""
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    except urllib.error.HTTPError:
        return 0.0
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("db_queries_success"))


def plan(url: str, sample: Sample, users: int) -> dict[str, list[bytes]]:
    """Log in as so many users, and return the requests of each endpoint."""
    everybody = zip_longest(*([(tenant, user) for user in tenant.users] for tenant in sample.tenants))
    people = list(islice(filter(None, chain.from_iterable(everybody)), users))
    paths: dict[str, Callable[[SampleUser], str]] = {
        "GET /auth/me": lambda _: "/api/v1/auth/me",
        "GET /users/{id}": lambda user: f"/api/v1/users/{user.id}",
        "GET /users": lambda _: "/api/v1/users",
    }
    made: dict[str, list[bytes]] = {name: [] for name in paths}
    for number, (tenant, user) in enumerate(people):
        token = _log_in(url, tenant.id, user.email, sample.password)
        head = f"host: {urlsplit(url).netloc}\r\nauthorization: Bearer {token}\r\n\r\n"
        for name, path in paths.items():
            asked = path(tenant.users[(number + 1) % len(tenant.users)])
            made[name].append(f"GET {asked} HTTP/1.1\r\n{head}".encode())
    return made


def _log_in(url: str, tenant_id: str, email: str, password: str) -> str:
    credentials = msgspec.json.encode({"tenant_id": tenant_id, "email": email, "password": password})
    login = urllib.request.Request(
        f"{url}/api/v1/auth/login", credentials, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(login, timeout=10) as answer:
        return str(msgspec.json.decode(answer.read())["access_token"])


async def _run(asked: argparse.Namespace) -> list[Result]:
    sample = msgspec.json.decode(asked.sample.read_bytes(), type=Sample)
    announced = msgspec.json.decode(asked.announced.read_bytes())
    url, pids = announced["url"], announced["worker_pids"]
    return [
        await measure(url, name, requests, pids=pids, connections=asked.connections, seconds=asked.seconds)
        for name, requests in plan(url, sample, asked.users).items()
    ]


def main() -> None:
    """Measure each endpoint and print the results as JSON lines."""
    parser = argparse.ArgumentParser(prog="python -m adx_lab.core.bench", description=__doc__)
    parser.add_argument("--announced", type=Path, required=True, help="the core's ADX_CORE_ANNOUNCE file")
    parser.add_argument("--sample", type=Path, required=True, help="what the verb `sample` wrote")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    asked = parser.parse_args()
    for result in uvloop.run(_run(asked)):
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")


if __name__ == "__main__":
    main()
