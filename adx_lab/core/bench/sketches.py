"""The three performance tests that the rules sketch, by their names, as benchmarks of a running core.

The sketches time their own client, ask for pages of a tenant that does not exist, and watch the memory of a
process that does nothing. Here a hundred connections are open before they all ask at once, again and again;
pages are those of every tenant of the sample, at any depth, each timed by itself; and the memory is the
worker's own, before, during and after a thousand requests at once.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from adx_lab.core.bench.client import ask_together
from adx_lab.core.bench.requests import requests_of
from adx_lab.core.database.database import QUERIES
from adx_lab.core.database.schema import open_database

if TYPE_CHECKING:
    from adx_lab.core.bench.requests import Person
    from adx_lab.core.bench.servers import Announced
    from adx_lab.core.database.sample import Sample

_BURSTS = 20
_AT_ONCE, _MANY_AT_ONCE, _MANY_TIMES = 100, 1_000, 3
_PAGES = ("users.list.first", "users.list.after", "users.list.page")
_PAGE_SIZE = 50
_SAMPLING_S = 0.01
_MEMORY_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


class Figure(NamedTuple):
    """One figure of a benchmark, and the rules' limit for it."""

    benchmark: str
    what: str
    value: float
    limit: float
    unit: str


async def api_response_time(server: Announced, people: list[Person]) -> list[Figure]:
    """Have a hundred ask at the same moment: health, and what needs a token and the database."""
    figures = []
    for endpoint in ("GET /health", "GET /auth/me", "GET /users/{id}", "GET /users"):
        requests = requests_of(endpoint, people)
        bursts = [
            await ask_together(server.url, _part(requests, number, _AT_ONCE)) for number in range(_BURSTS)
        ]
        times = [ms for taken, _ in bursts for ms in taken]
        figures += [
            Figure("test_api_response_time", f"{endpoint}, mean", sum(times) / len(times), 50, "ms"),
            Figure("test_api_response_time", f"{endpoint}, p95", _p95(times), 100, "ms"),
            Figure("test_api_response_time", f"{endpoint}, refused", sum(bad for _, bad in bursts), 0, ""),
        ]
    return figures


async def database_query_performance(database_url: str, sample: Sample) -> list[Figure]:
    """Time pages of users of every tenant, the whale's too: the first, by cursor, and by number."""
    times: dict[str, list[float]] = {query: [] for query in _PAGES}
    connection = await open_database(database_url)
    try:
        ask = {query: (await connection.prepare(QUERIES[query].sql)).fetch for query in _PAGES}
        for tenant in sample.tenants:
            for share in (0.0, 0.25, 0.5, 0.9):
                skipped = int(tenant.user_count * share)
                (row,) = await ask["users.list.first"](tenant.id, max(1, skipped))
                for query, place in zip(_PAGES, ((), row[2:4], (skipped,)), strict=True):
                    started = time.perf_counter()
                    (page,) = await ask[query](tenant.id, _PAGE_SIZE, *place)
                    if page[1]:  # a page without users says nothing
                        times[query].append((time.perf_counter() - started) * 1e3)
    finally:
        await connection.close()
    return [
        Figure("test_database_query_performance", f"{query}, p95 of {len(taken)}", _p95(taken), 10, "ms")
        for query, taken in times.items()
    ]


async def memory_usage_under_load(server: Announced, people: list[Person]) -> list[Figure]:
    """Watch the worker's memory while a thousand ask at once, several times, and after it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each connection is an open file
    requests = requests_of("GET /users", people)
    before = peak = _rss_mb(server)
    for number in range(_MANY_TIMES):
        part = _part(requests, number, _MANY_AT_ONCE)
        asking = asyncio.ensure_future(ask_together(server.url, part))
        while not asking.done():
            await asyncio.wait([asking], timeout=_SAMPLING_S)
            peak = max(peak, _rss_mb(server))
    return [
        Figure("test_memory_usage_under_load", "increase", _rss_mb(server) - before, 100, "MB"),
        Figure("test_memory_usage_under_load", "peak", peak, 512, "MB"),
    ]


def _part(requests: list[bytes], number: int, size: int) -> list[bytes]:
    return [requests[(number * size + at) % len(requests)] for at in range(size)]


def _p95(values: list[float]) -> float:
    return sorted(values)[len(values) * 95 // 100]


def _rss_mb(server: Announced) -> float:
    paths = (Path(f"/proc/{pid}/statm") for pid in server.worker_pids)
    return sum(int(path.read_text(encoding="ascii").split()[1]) for path in paths) * _MEMORY_PAGE_MB
