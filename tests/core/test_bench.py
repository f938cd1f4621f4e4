"""The bench runs, and measures what it says; its figures are for people to judge, on a quiet machine."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from adx_lab.core.bench.proxy import address, delaying, through
from tests.core.harness import core_environ

if TYPE_CHECKING:
    from collections.abc import Sequence

PEER = Path(__file__).parents[2] / "examples/peer/fastapi_peer.py"


def bench(words: Sequence[str], **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "adx_lab.core.bench", "--users", "40", *words],
        env=core_environ(**settings), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def rows(words: Sequence[str], **settings: object) -> list[dict[str, Any]]:
    done = bench(["--json", "--seconds", "0.3", "--connections", "4", *words], **settings)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_request_costs_one_query_or_none(clone_url: str, valkey_url: str) -> None:
    reads = ["GET /auth/me", "GET /users/{id}", "GET /users"]
    measured = rows(["--only", *reads], database_url=clone_url, valkey_url=valkey_url)
    asked = {(row["server"], row["result"]["endpoint"]): row["result"] for row in measured}
    assert len(asked) == 9
    assert not any(result["errors"] for result in asked.values())
    for endpoint in reads:
        assert asked["core, cold", endpoint]["queries"] == 1.0
        assert asked["core, warm", endpoint]["queries"] < 0.1
        # A few that are under way when it begins and ends are counted on one side only.
        assert asked["core, uncached", endpoint]["queries"] == pytest.approx(1.0, abs=0.1)


def test_pages_files_writes_and_a_peer_answer_through_a_delay(clone_url: str, valkey_url: str) -> None:
    words = ["--only", "GET /users?cursor", "GET /files/{id}", "PATCH /users/{id}", "PUT /users/{id}/roles",
             "--parts", "warm", "--round-trip-ms", "3"]  # fmt: skip
    for row in rows(words, database_url=clone_url, valkey_url=valkey_url):
        assert row["result"]["errors"] == 0, row
        assert row["result"]["p50_ms"] >= 3, row  # each of them asks the database


def test_a_peer_is_measured_in_the_same_run(clone_url: str, valkey_url: str) -> None:
    words = [
        "--only",
        "GET /auth/me",
        "GET /users/{id}",
        "--parts",
        "warm",
        "--peer",
        sys.executable,
        str(PEER),
    ]
    measured = rows(words, database_url=clone_url, valkey_url=valkey_url)
    assert {row["server"] for row in measured} == {"core, warm", "fastapi_peer"}
    assert not any(row["result"]["errors"] for row in measured)


def test_the_benchmarks_that_the_rules_sketch_have_their_names(clone_url: str, valkey_url: str) -> None:
    done = bench(["--rules"], database_url=clone_url, valkey_url=valkey_url)
    assert done.returncode in {0, 1}, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()} == {
        "test_api_response_time", "test_database_query_performance", "test_memory_usage_under_load",
    }  # fmt: skip
    refused = re.findall(r"refused +(\S+) of 0", done.stdout)
    assert refused == ["0.00"] * 4


async def test_the_proxy_delays_a_round_trip(seeded_url: str) -> None:
    with delaying((seeded_url,), 0.05) as (url,):
        connection = await asyncpg.connect(url)
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert await connection.fetchval("SELECT 1") == 1
        assert loop.time() - started >= 0.05
        await connection.close()


def test_urls_lead_through_the_proxy() -> None:
    assert address("postgresql://me@/db?host=/run/pg&port=5433") == "/run/pg/.s.PGSQL.5433"
    assert address("valkey://:secret@cache:7000/2") == ("cache", 7000)
    assert through("postgresql://me@/db?host=/run/pg", 9) == "postgresql://me@127.0.0.1:9/db"
    assert through("unix://:secret@/run/v.sock?db=3", 9) == "valkey://:secret@127.0.0.1:9/3"
