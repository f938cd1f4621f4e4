"""A client that takes little of the machine: it sends what was made before, and only counts what comes."""

from __future__ import annotations

import asyncio
import os
import time
import urllib.error
import urllib.request
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_WARM_UP_S = 1.0


class Result(msgspec.Struct):
    """What one endpoint did; times in milliseconds, the worker's CPU in microseconds a request.

    ``queries`` is what the database was asked, a request, by the core's own count; a peer has none. On a
    machine that others use too, the CPU is the figure that can be trusted.
    """

    endpoint: str
    requests_per_s: float
    queries: float | None
    cpu_us: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: int


class _Client(asyncio.Protocol):
    """One connection that sends the next request as soon as the last is answered, until there is none."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float]) -> None:
        self._requests = requests
        self._latencies = latencies
        self._buffer = b""
        self._sent_at = 0.0
        self.errors = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0 or len(self._buffer) < head + 4 + self._length(head):
            return
        self._latencies.append(time.perf_counter() - self._sent_at)
        self.errors += not self._buffer.startswith(b"HTTP/1.1 2")
        self._buffer = b""
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol has it
        if not self.done.done():
            self.errors += 1
            self.done.set_result(None)

    def close(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        self._transport.abort()

    def _length(self, head: int) -> int:
        at = self._buffer.find(b"content-length: ", 0, head)
        return int(self._buffer[at + 16 : self._buffer.find(b"\r\n", at)]) if at >= 0 else 0

    def send(self) -> None:
        """Send the next request."""
        request = next(self._requests, None)
        if request is None:
            self.close()
        else:
            self._sent_at = time.perf_counter()
            self._transport.write(request)


async def measure(
    url: str, endpoint: str, requests: list[bytes], *, pids: list[int], connections: int, seconds: float
) -> Result:
    """Ask again and again for as much as the server gives, and return how much that was."""
    latencies: list[float] = []
    clients = await _connect(url, cycle(requests), latencies, connections)
    await asyncio.sleep(_WARM_UP_S)
    before = await asyncio.to_thread(_read, url, pids)
    first = len(latencies)
    await asyncio.sleep(seconds)
    took = latencies[first:]
    after = await asyncio.to_thread(_read, url, pids)
    for client in clients:
        client.close()
    return _result(endpoint, took, clients, before, after)


async def measure_once(
    url: str, endpoint: str, requests: list[bytes], *, pids: list[int], connections: int
) -> Result:
    """Send each request once, and nothing before: what it costs when nothing is cached yet."""
    latencies: list[float] = []
    before = await asyncio.to_thread(_read, url, pids)
    clients = await _connect(url, iter(requests), latencies, connections)
    await asyncio.wait([client.done for client in clients])
    after = await asyncio.to_thread(_read, url, pids)
    return _result(endpoint, latencies, clients, before, after)


async def ask_together(url: str, requests: list[bytes]) -> tuple[list[float], int]:
    """Send every request at the same moment, each on a connection of its own.

    Returns
    -------
    tuple of list of float, int
        How long each took, in milliseconds, and how many were refused.
    """
    latencies: list[float] = []
    clients = await _connect(url, iter(requests), latencies, len(requests))
    await asyncio.wait([client.done for client in clients])
    return [latency * 1e3 for latency in latencies], sum(client.errors for client in clients)


class _Reading(NamedTuple):
    """What a server has used and asked so far."""

    at_s: float
    cpu_s: float
    queries: float | None


def _read(url: str, pids: list[int]) -> _Reading:
    return _Reading(time.perf_counter(), cpu_s(pids), _queries(url))


async def _connect(
    url: str, order: Iterator[bytes], latencies: list[float], connections: int
) -> list[_Client]:
    """Open connections, and then begin on all of them at once."""
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    made = [
        await loop.create_connection(
            lambda: _Client(order, latencies), parts.hostname or "localhost", parts.port or 80
        )
        for _ in range(connections)
    ]
    clients = [client for _, client in made]
    for client in clients:
        client.send()
    return clients


def _result(
    endpoint: str, took: list[float], clients: list[_Client], before: _Reading, after: _Reading
) -> Result:
    ranked = sorted(took)
    p50, p95, p99 = (round(ranked[int(len(ranked) * share)] * 1e3, 3) for share in (0.5, 0.95, 0.99))
    asked = None if before.queries is None or after.queries is None else after.queries - before.queries
    return Result(
        endpoint,
        requests_per_s=round(len(took) / (after.at_s - before.at_s), 1),
        queries=None if asked is None else round(asked / len(took), 2),
        cpu_us=round((after.cpu_s - before.cpu_s) / len(took) * 1e6, 1),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        errors=sum(client.errors for client in clients),
    )


def cpu_s(pids: list[int]) -> float:
    """Return the CPU time that processes took so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    fields = (
        Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split() for pid in pids
    )
    return float(sum(int(found[11]) + int(found[12]) for found in fields)) / ticks


def _queries(url: str) -> float | None:
    """Return how often the core has asked the database, or None for a server that does not say."""
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    except urllib.error.HTTPError:
        return None
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("db_queries_success"))
