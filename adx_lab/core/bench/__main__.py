"""The command line of the bench: its settings are the core's, in the environment."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import uvloop

from adx_lab.core.bench.client import Result, measure, measure_once
from adx_lab.core.bench.proxy import delaying
from adx_lab.core.bench.requests import ENDPOINTS, Person, requests_of, sign_in
from adx_lab.core.bench.servers import CORE, Announced, read_announced, running
from adx_lab.core.bench.sketches import (
    api_response_time,
    database_query_performance,
    memory_usage_under_load,
)
from adx_lab.core.database.sample import Sample, read_sample
from adx_lab.core.errors import CoreError
from adx_lab.core.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_UNCACHED = "cache.l1,cache.l2"
_COLUMNS = ("requests_per_s", "queries", "cpu_us", "p50_ms", "p95_ms", "p99_ms", "errors")


class Row(msgspec.Struct):
    """One line of the table."""

    server: str
    round_trip_ms: float
    result: Result


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a line as each part is done, and return the exit code."""
    asked = _parser().parse_args(argv)
    try:
        settings = load_settings(os.environ)
        settings = msgspec.structs.replace(
            settings, token_secret=settings.token_secret or secrets.token_hex(32)
        )
        sample = asyncio.run(read_sample(settings))
        people = asyncio.run(sign_in(settings.database_url, settings.token_secret, sample, asked.users))
        if asked.rules:
            return _rules(settings, sample, people)
        if not asked.json:
            sys.stdout.write(_head())
        for row in _rows(asked, settings, people):
            sys.stdout.write(_line(row) if not asked.json else msgspec.json.encode(row).decode() + "\n")
            sys.stdout.flush()
    except CoreError as error:
        print(f"adx_lab.core.bench: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m adx_lab.core.bench",
        description="Requests a second of one worker on the database (with a data set) and Valkey that "
        "ADX_CORE_DATABASE_URL and ADX_CORE_VALKEY_URL name. It opens sessions and renames users there.",
    )
    parser.add_argument("--users", type=int, default=2_000, help="each with a session and a token of its own")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each endpoint, after a warm-up")
    parser.add_argument("--only", nargs="+", choices=list(ENDPOINTS), default=list(ENDPOINTS))
    parser.add_argument("--parts", nargs="+", choices=["cold", "warm", "uncached"],
                        default=["cold", "warm", "uncached"], help="of the core itself")  # fmt: skip
    parser.add_argument("--round-trip-ms", nargs="+", type=float, default=[0.0],
                        help="to PostgreSQL and to Valkey, by a proxy that delays")  # fmt: skip
    parser.add_argument("--peer", nargs="+", action="append", default=[], metavar="WORD",
                        help="a command that starts a server as the core is started")  # fmt: skip
    parser.add_argument("--announced", nargs="+", type=Path, default=[], metavar="FILE",
                        help="what a server that is up, with our token secret, has announced")  # fmt: skip
    parser.add_argument("--rules", action="store_true", help="the three benchmarks that the rules sketch")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    return parser


def _rules(settings: Settings, sample: Sample, people: list[Person]) -> int:
    """Run the benchmarks of the rules; 1 when a figure is beyond its limit."""
    with running(CORE, {"TOKEN_SECRET": settings.token_secret, "GATEWAY_IN_FLIGHT_MAX": "2000"}) as server:
        figures = [
            *uvloop.run(api_response_time(server, people)),
            *uvloop.run(database_query_performance(settings.database_url, sample)),
            *uvloop.run(memory_usage_under_load(server, people)),
        ]
    for figure in figures:
        kept = "kept" if figure.value <= figure.limit else "BROKEN"
        sys.stdout.write(
            f"{figure.benchmark:<34} {figure.what:<34}"
            f"{figure.value:>9.2f} of {figure.limit:g} {figure.unit:<2}  {kept}\n"
        )
    return int(any(figure.value > figure.limit for figure in figures))


def _rows(asked: argparse.Namespace, settings: Settings, people: list[Person]) -> Iterator[Row]:
    urls = (settings.database_url, settings.valkey_url)
    for round_trip_ms in asked.round_trip_ms:
        with delaying(urls, round_trip_ms / 1e3) as (database_url, valkey_url):
            there = {"DATABASE_URL": database_url, "VALKEY_URL": valkey_url}
            there |= {"TOKEN_SECRET": settings.token_secret, "GATEWAY_RATE_PER_S": "0"}
            for endpoint in asked.only:
                for part, result in _of_endpoint(asked, endpoint, requests_of(endpoint, people), there):
                    yield Row(part, round_trip_ms, result)
    for path in asked.announced:
        server = read_announced(path)
        for endpoint in asked.only:
            yield Row(path.stem, 0.0, _warm(asked, server, endpoint, requests_of(endpoint, people)))


def _of_endpoint(
    asked: argparse.Namespace, endpoint: str, requests: list[bytes], there: dict[str, str]
) -> Iterator[tuple[str, Result]]:
    """Measure one endpoint of each server, every part with a new process and keys of its own."""
    if {"cold", "warm"} & set(asked.parts):
        with running(CORE, there | {"KEY_PREFIX": f"bench-{time.time_ns()}:"}) as server:
            if "cold" in asked.parts:
                yield "core, cold", _cold(asked, server, endpoint, requests)
            if "warm" in asked.parts:
                yield "core, warm", _warm(asked, server, endpoint, requests)
    if "uncached" in asked.parts:
        with running(CORE, there | {"RULES_OFF": _UNCACHED}) as server:
            yield "core, uncached", _warm(asked, server, endpoint, requests)
    for command in asked.peer:
        with running(command, there) as server:
            yield Path(command[-1]).stem, _warm(asked, server, endpoint, requests)


def _cold(asked: argparse.Namespace, server: Announced, endpoint: str, requests: list[bytes]) -> Result:
    return uvloop.run(
        measure_once(server.url, endpoint, requests, pids=server.worker_pids, connections=asked.connections)
    )


def _warm(asked: argparse.Namespace, server: Announced, endpoint: str, requests: list[bytes]) -> Result:
    return uvloop.run(
        measure(
            server.url, endpoint, requests, pids=server.worker_pids, connections=asked.connections,
            seconds=asked.seconds,
        )
    )  # fmt: skip


def _head() -> str:
    return f"{'server':<16} {'rtt ms':>6} {'endpoint':<22}{''.join(f'{name:>15}' for name in _COLUMNS)}\n"


def _line(row: Row) -> str:
    figures = (getattr(row.result, name) for name in _COLUMNS)
    shown = "".join(f"{'-' if value is None else f'{value:,}':>15}" for value in figures)
    return f"{row.server:<16} {row.round_trip_ms:>6g} {row.result.endpoint:<22}{shown}\n"


if __name__ == "__main__":
    sys.exit(main())
