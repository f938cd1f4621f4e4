"""Plans of any database, what its clients wait for, and what watching costs; on the real server."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from adx_lab.analysis.plans import read_plans
from adx_lab.analysis.plans.captures.matrix import read_matrix
from adx_lab.analysis.plans.captures.slow import slow_queries
from adx_lab.capture.observing import measure_observing
from adx_lab.capture.plans.anywhere import capture_anywhere
from adx_lab.capture.waits import Waits, read_waits
from adx_lab.errors import StackError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def shop(postgres_url: str) -> AsyncIterator[str]:
    admin = await asyncpg.connect(postgres_url)
    await admin.execute("drop database if exists plans_shop with (force)")
    await admin.execute("create database plans_shop")
    url = postgres_url.replace("/postgres?", "/plans_shop?")
    connection = await asyncpg.connect(url)
    await connection.execute(
        "create extension if not exists pg_stat_statements; create schema goods;"
        "create table goods.items (id int, name text);"
        "insert into goods.items select i, 'item ' || i from generate_series(1, 30000) i; analyze goods.items"
    )
    await connection.fetch("select name from goods.items where id = $1", 5)
    await connection.execute("update goods.items set name = 'x' where id = 7")
    await connection.execute("vacuum goods.items")
    await connection.close()
    yield url
    await admin.execute("drop database if exists plans_shop with (force)")
    await admin.close()


def server_log(state: dict[str, Any]) -> str:
    return (Path(state["logs"]) / "postgres.log").read_text(encoding="utf-8")


async def test_any_database_is_explained_without_executing_anything(shop: str) -> None:
    connection = await asyncpg.connect(shop)
    before = await connection.fetchrow("select xmin, name from goods.items where id = 7")
    document = await capture_anywhere(shop)
    assert await connection.fetchrow("select xmin, name from goods.items where id = 7") == before
    await connection.close()
    matrix = read_matrix(document)
    labels = {node.label for cell in matrix.cells.values() for node in cell.analysis.nodes}
    assert "Seq Scan on items" in labels
    assert "Update on items" in labels
    assert not any(cell.analysis.analysed for cell in matrix.cells.values())
    (finding, *_) = next(cell.analysis.findings for cell in matrix.cells.values() if cell.analysis.findings)
    assert (finding.kind, finding.mend) == ("seq_scan", "CREATE INDEX CONCURRENTLY ON items (id);")
    assert any(fault["error"] == "not a statement that has a plan" for fault in document["faults"])
    assert all("calls" in item["statistics"] for item in document["plans"])


async def test_a_database_without_the_extension_is_refused(postgres_url: str) -> None:
    admin = await asyncpg.connect(postgres_url)
    await admin.execute("drop database if exists plans_bare with (force)")
    await admin.execute("create database plans_bare")
    url = postgres_url.replace("/postgres?", "/plans_bare?")
    bare = await asyncpg.connect(url)
    await bare.execute("drop extension if exists pg_stat_statements")
    await bare.close()
    with pytest.raises(StackError, match="pg_stat_statements"):
        await capture_anywhere(url)
    await admin.execute("drop database plans_bare")
    await admin.close()


async def test_waits_are_sampled(shop: str) -> None:
    watcher, sleeper = await asyncpg.connect(shop), await asyncpg.connect(shop)
    assert await read_waits(watcher) == Counter()
    sleeping = asyncio.create_task(sleeper.execute("select pg_sleep(3)"))
    waits: Waits = Counter()
    # The first thing seen may be another: a backend that still reads its catalogue, or runs on a processor.
    while not sleeping.done() and not waits["Timeout", "PgSleep"]:
        waits.update(await read_waits(watcher))
        await asyncio.sleep(0.02)
    assert waits["Timeout", "PgSleep"] > 0
    await sleeping
    await sleeper.close()
    await watcher.close()


async def test_the_cost_of_observing_is_a_figure(shop: str) -> None:
    cost = await measure_observing(
        shop, "select count(*) from goods.items where id < $1", [500], rounds=3, executions=3
    )
    assert cost.executions == 9
    assert min(cost.bare_ms, cost.observed_ms, cost.timed_ms) > 0


async def test_slow_queries_are_named_from_the_servers_own_log(
    shop: str, stack_state: dict[str, Any]
) -> None:
    text = "select count(*), pg_sleep(0.02) from goods.items where name = $1"
    connection = await asyncpg.connect(shop)
    await connection.fetch(text, "8c2b5d8e-0000-4000-8000-00000000cafe")
    await connection.close()
    await asyncio.sleep(0.1)
    documents = read_plans(server_log(stack_state))
    tenants = {"8c2b5d8e-0000-4000-8000-00000000cafe": 4000.0}
    found = [item for item in slow_queries(documents, {"items.count": text}, tenants) if item.query]
    assert found
    assert found[-1].query == "items.count"
    assert found[-1].tenant_rows == 4000
    assert (found[-1].duration_ms or 0) > 20
    assert found[-1].at is not None
    assert found[-1].analysis.pages
