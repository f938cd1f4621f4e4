"""What a variant did during a block besides taking time: the figures that hardly vary.

Each is the difference of two readings, one just before the measured part and one after it, so that nothing is
read while the times are taken.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
from valkey import Valkey
from valkey.exceptions import ValkeyError

from adx_lab.capture.database.statements import connected, is_asked, statement_name, statement_rows
from adx_lab.capture.service.cache import LAYERS
from adx_lab.capture.service.metrics import MetricSample, read_metrics
from adx_lab.errors import UsageError
from adx_lab.sql import Query, load_queries

_QUERIES = load_queries(Path(__file__).parent)
_COUNTERS = ("calls", "plans", "exec_ms", "plan_ms", "rows", "buffers")
_SCHEDULER_CLOCK = 2


@dataclass(frozen=True, slots=True)
class WatchedVariant:
    """Where a variant can be looked at; what is None is somebody else's, or does not exist."""

    pids: tuple[int, ...] = ()
    metrics_url: str | None = None
    database_url: str | None = None
    valkey_url: str | None = None
    tls: ssl.SSLContext | None = None
    """How the certificate of the metrics page is looked at."""


@dataclass(frozen=True, slots=True)
class CompanionReading:
    """Everything that grows, as it stood at one moment."""

    cpu_s: float = 0.0
    rss_mb: float = 0.0
    metrics: Sequence[MetricSample] = ()
    statements: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    valkey_commands: Mapping[int, int] | None = None
    """By connection: the server counts for each connection, and forgets the count when it closes."""


async def read_companions(watched: WatchedVariant) -> CompanionReading:
    """Read a variant's counters."""
    cpu_s, rss_mb = process_usage(watched.pids)
    page: Sequence[MetricSample] = []
    if watched.metrics_url:
        page = await asyncio.to_thread(partial(read_metrics, watched.metrics_url, tls=watched.tls))
    statements: dict[int, Mapping[str, Any]] = {}
    if watched.database_url:
        async with connected(watched.database_url) as connection:
            rows = await connection.fetch(_QUERIES["companions.statements"].sql)
            statements = {row["queryid"]: dict(row) for row in rows}
    commands = await asyncio.to_thread(valkey_commands, watched.valkey_url) if watched.valkey_url else None
    return CompanionReading(cpu_s, rss_mb, page, statements, commands)


async def read_unanalysed(database_url: str) -> list[str]:
    """Return the tables of whose contents the planner knows nothing."""
    async with connected(database_url) as connection:
        return [row["name"] for row in await connection.fetch(_QUERIES["companions.unanalysed"].sql)]


async def execute(database_url: str, statements: str) -> None:
    """Execute statements that a variant brings along.

    Raises
    ------
    UsageError
        The database refused them.
    """
    async with connected(database_url) as connection:
        try:
            await connection.execute(statements)
        except asyncpg.PostgresError as error:
            raise UsageError(f"the database refused a variant's statements: {error}") from error


def companions_between(
    before: CompanionReading, after: CompanionReading, named: Mapping[str, Query]
) -> dict[str, Any]:
    """Return what a variant did between two readings, as the run keeps it.

    Parameters
    ----------
    before, after
        Of one variant, in one block.
    named
        Its own named queries.

    Returns
    -------
    dict
        ``cpu_s``, ``rss_mb`` (before and after), ``cache`` (look-ups by the layer that answered),
        ``invalidations`` (scopes forgotten; None from a core that does not count them), ``lag`` (cumulative
        counts of the event loop's lateness by bucket), ``pool_max``, ``valkey_commands`` (None where a
        connection that had sent some is gone, and its count with it), and ``statements``: by query ``calls``,
        ``plans``, ``exec_ms``, ``plan_ms``, ``rows``, ``buffers``.
    """
    return {
        "cpu_s": after.cpu_s - before.cpu_s,
        "rss_mb": [before.rss_mb, after.rss_mb],
        "cache": _grown(_cache(before.metrics), _cache(after.metrics)),
        "invalidations": _invalidations(before.metrics, after.metrics),
        "lag": _grown(_lag(before.metrics), _lag(after.metrics)),
        "pool_max": max((s.value for s in after.metrics if s.name == "db_connections_max"), default=None),
        "valkey_commands": _commands_between(before.valkey_commands, after.valkey_commands),
        "statements": _statements(before.statements, after.statements, named),
    }


def process_usage(pids: Iterable[int]) -> tuple[float, float]:
    """Return CPU seconds used since they began and resident megabytes, summed over processes.

    From each process's own clock where there is one (Linux), which counts nanoseconds and keeps the time of
    threads that have ended; a process's usual times come in hundredths of a second, which is a few percent of
    a short block.
    """
    cpu_s = rss_mb = 0.0
    for pid in pids:
        try:
            process = psutil.Process(pid)
            rss_mb += process.memory_info().rss / 2**20
            exact = _clock_s(pid)
            times = process.cpu_times()
            cpu_s += times.user + times.system if exact is None else exact
        except psutil.NoSuchProcess:
            continue
    return cpu_s, rss_mb


def with_children(pids: Iterable[int]) -> list[int]:
    """Return processes and all of their descendants, each once."""
    found: list[int] = []
    for pid in pids:
        try:
            found += [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
        except psutil.NoSuchProcess:
            continue
    return list(dict.fromkeys(found))


def _clock_s(pid: int) -> float | None:
    """Return what a process's CPU clock says, or None where the system has no such clocks.

    The clock's number is made as ``clock_getcpuclockid`` of glibc does it, which Python does not offer.
    """
    try:
        return time.clock_gettime((~pid << 3) | _SCHEDULER_CLOCK)
    except OSError:
        return None


def _cache(page: Sequence[MetricSample]) -> dict[str, float]:
    found = dict.fromkeys(("l1", "l2", "miss"), 0.0)
    for sample in page:
        name = sample.name.removesuffix("_total")
        if name == "cache_hits":
            layer = LAYERS.get(sample.labels.get("layer", ""), "l1")
            found[layer] += sample.value
        elif name == "cache_misses":
            found["miss"] += sample.value
    return found


def _lag(page: Sequence[MetricSample]) -> dict[str, float]:
    return {sample.labels["le"]: sample.value for sample in page if sample.name == "event_loop_lag_ms_bucket"}


def _grown(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


def _statements(
    before: Mapping[int, Mapping[str, Any]],
    after: Mapping[int, Mapping[str, Any]],
    named: Mapping[str, Query],
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    names = statement_names(after, named)
    for queryid, now in after.items():
        then = before.get(queryid, {})
        grown = {key: float(now[key]) - float(then.get(key, 0)) for key in _COUNTERS}
        if grown["calls"] > 0 and names.get(queryid) is not None:
            sums = found.setdefault(names[queryid], dict.fromkeys(_COUNTERS, 0.0))
            for key in _COUNTERS:
                sums[key] += grown[key]
    return found


def statement_names(after: Mapping[int, Mapping[str, Any]], named: Mapping[str, Query]) -> dict[int, str]:
    """Return the name of each statement that is a named query, as `statement_rows` finds it."""
    zeros = ("total_ms", "shared_hit", "shared_read", "temp_written", "wal_bytes")
    whole = {queryid: {**row, **dict.fromkeys(zeros, 0)} for queryid, row in after.items()}
    rows = statement_rows({}, whole, named)
    if not named:  # a service that names none: each by its text, but for the lab's own and the transactions'
        asked = (row for row in rows if is_asked(row["text"]))
        return {row["queryid"]: statement_name(row["text"]) for row in asked}
    return {row["queryid"]: row["query"] for row in rows if row["query"]}


def _invalidations(before: Sequence[MetricSample], after: Sequence[MetricSample]) -> float | None:
    counts = [
        [s.value for s in page if s.name.removesuffix("_total") == "cache_invalidations"]
        for page in (before, after)
    ]
    return sum(counts[1]) - sum(counts[0]) if counts[1] else None


def _commands_between(before: Mapping[int, int] | None, after: Mapping[int, int] | None) -> int | None:
    """Return how many commands were sent between two readings, or None where nobody knows any more."""
    if before is None or after is None or not before.keys() <= after.keys():
        return None
    return sum(count - before.get(connection, 0) for connection, count in after.items())


def valkey_commands(url: str) -> dict[int, int] | None:
    """Return how many commands each connection to one of Valkey's databases has sent, our own left out."""
    parts = urlsplit(url)
    number = parse_qs(parts.query).get("db", [parts.path.strip("/") if parts.scheme != "unix" else ""])[0]
    plain = re.sub(r"^valkey", "redis", url) if parts.scheme.startswith("redis") else url
    try:
        with Valkey.from_url(plain, socket_timeout=2) as client:
            own, listed = client.client_id(), client.client_list()
    except (ValkeyError, OSError, ValueError):  # not allowed, or gone: then it is not known
        return None
    counts = {
        int(one["id"]): int(one["tot-cmds"])
        for one in listed
        if one.get("db") == (number or "0") and "tot-cmds" in one and int(one["id"]) != own
    }
    return counts or None
