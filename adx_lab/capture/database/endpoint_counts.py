"""What an endpoint asks for: statements, pages, Valkey commands and processor time.

Read between two endpoints, and never while a request is under way. One reading of both variants takes a few
milliseconds; what it asks itself is told apart by its text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from adx_lab.capture.database.companions import WatchedVariant, process_usage, valkey_commands
from adx_lab.errors import StackError
from adx_lab.sql import load_queries

__all__ = ["Counters", "SideCount", "counted_between", "statements_between"]

_QUERIES = load_queries(Path(__file__).parent)
_GROWING = ("calls", "exec_ms", "rows", "pages")


@dataclass(frozen=True, slots=True)
class SideCount:
    """One variant's counters at one moment; what is None could not be read."""

    cpu_s: float = 0.0
    rss_mb: float = 0.0
    backend_s: Mapping[int, float] | None = None
    """Processor time of each of the variant's database connections, by process id."""

    statements: Mapping[int, Mapping[str, Any]] | None = None
    valkey_commands: Mapping[int, int] | None = None


@dataclass
class Counters:
    """Reads the counters of several variants, from a thread that has no event loop of its own.

    Attributes
    ----------
    watched
        Where each variant can be looked at.
    """

    watched: Mapping[str, WatchedVariant]
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _connections: dict[str, asyncpg.Connection] = field(default_factory=dict)

    def __enter__(self) -> Counters:
        """Connect to each variant's database.

        Raises
        ------
        StackError
            One of them refuses us.
        """
        self._loop.run_until_complete(self._connect())
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self._loop.run_until_complete(self._hang_up())
        self._loop.close()

    def read(self) -> dict[str, SideCount]:
        """Return every variant's counters."""
        return {variant: self._read_side(variant, one) for variant, one in self.watched.items()}

    def _read_side(self, variant: str, watched: WatchedVariant) -> SideCount:
        cpu_s, rss_mb = process_usage(watched.pids)
        commands = valkey_commands(watched.valkey_url) if watched.valkey_url else None
        statements = backend_s = None
        if variant in self._connections:
            statements, backends = self._loop.run_until_complete(self._ask(self._connections[variant]))
            backend_s = {pid: process_usage([pid])[0] for pid in backends}
        return SideCount(cpu_s, rss_mb, backend_s, statements, commands)

    async def _ask(self, connection: asyncpg.Connection) -> tuple[dict[int, Mapping[str, Any]], list[int]]:
        rows = await connection.fetch(_QUERIES["endpoint_counts.statements"].sql)
        backends = await connection.fetch(_QUERIES["endpoint_counts.backends"].sql)
        return {row["queryid"]: dict(row) for row in rows}, [row["pid"] for row in backends]

    async def _connect(self) -> None:
        for variant, watched in self.watched.items():
            if watched.database_url is None:
                continue
            try:
                self._connections[variant] = await asyncpg.connect(
                    watched.database_url,
                    timeout=10,
                    server_settings={"application_name": "adx-lab capture"},
                    statement_cache_size=0,
                )
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                raise StackError(f"{variant}'s database can't be read: {error}") from error

    async def _hang_up(self) -> None:
        for connection in self._connections.values():
            await connection.close()


def counted_between(before: SideCount, after: SideCount) -> dict[str, float | None]:
    """Return what one variant did between two readings.

    Returns
    -------
    dict
        ``cpu_ms``, ``database_cpu_ms``, ``rss_mb`` (by how much it grew), ``statements``, ``pages``,
        ``rows``, ``valkey_commands``; None where it could not be read.
    """
    asked = list(statements_between(before, after)) if after.statements is not None else None
    return {
        "cpu_ms": 1000 * (after.cpu_s - before.cpu_s),
        "database_cpu_ms": _backends_ms(before, after),
        "rss_mb": after.rss_mb - before.rss_mb,
        "statements": None if asked is None else sum(one["calls"] for one in asked),
        "pages": None if asked is None else sum(one["pages"] for one in asked),
        "rows": None if asked is None else sum(one["rows"] for one in asked),
        "valkey_commands": _commands(before.valkey_commands, after.valkey_commands),
    }


def statements_between(before: SideCount, after: SideCount) -> Iterator[dict[str, Any]]:
    """Yield each statement that ran between two readings: ``queryid``, ``text`` and what grew."""
    then = before.statements or {}
    for queryid, now in (after.statements or {}).items():
        old = then.get(queryid, {})
        grown = {name: float(now[name]) - float(old.get(name, 0)) for name in _GROWING}
        if grown["calls"] > 0:
            yield {"queryid": queryid, "text": now["text"], **grown}


def _backends_ms(before: SideCount, after: SideCount) -> float | None:
    if before.backend_s is None or after.backend_s is None:
        return None
    # A connection that ended in between takes its count along; the lab's own pool keeps its connections.
    return 1000 * sum(spent - before.backend_s.get(pid, 0.0) for pid, spent in after.backend_s.items())


def _commands(before: Mapping[int, int] | None, after: Mapping[int, int] | None) -> float | None:
    if before is None or after is None or not before.keys() <= after.keys():
        return None
    return float(sum(count - before.get(connection, 0) for connection, count in after.items()))
