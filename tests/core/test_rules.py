"""Each rule of the table can be switched off, and then the service is seen to do without it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import httpx
import pytest

import adx_lab.core
from adx_lab.core.database.database import Database
from adx_lab.core.database.sample import Sample
from adx_lab.core.monitoring.metrics import Metrics
from adx_lab.core.rules import RULES, table
from adx_lab.core.settings import Settings
from tests.core.harness import Client, Core, eventually, log_in_as, metric, run_core, timings
from tests.core.test_gateway import locked
from tests.core.test_memory import peak_bytes
from tests.core.test_streams import open_stream
from tests.core.test_users import new_user

StartCore = Callable[..., Core]
FOLDER = Path(adx_lab.core.__file__).parent


def test_the_package_shows_the_table() -> None:
    assert table() in (adx_lab.core.__doc__ or "")


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_lives_where_the_table_says_and_has_its_test(rule: object) -> None:
    entry = RULES[rule.id]  # type: ignore[attr-defined]
    code = (FOLDER / f"{entry.where.replace('.', '/')}.py").read_text()
    assert f'"{entry.id}"' in code
    path, _, name = entry.test.partition("::")
    assert f"def {name}(" in (Path(__file__).parent / f"{path}.py").read_text()


def test_an_unknown_rule_is_refused_with_the_nearest() -> None:
    done = run_core(rules_off="cache.l3")
    assert done.returncode == 2
    assert re.search(r"did you mean 'cache\.l[12]'", done.stderr)


def test_db_indexes(clone_url: str) -> None:
    async def names() -> set[str]:
        connection = await asyncpg.connect(clone_url)
        try:
            return {row[0] for row in await connection.fetch("SELECT indexname FROM pg_indexes")}
        finally:
            await connection.close()

    assert run_core("migrate", database_url=clone_url, rules_off="db.indexes").returncode == 0
    without = asyncio.run(names())
    assert "idx_users_tenant_email" in without  # it keeps addresses unique
    assert "idx_files_tenant_owner_created" not in without
    assert run_core("migrate", database_url=clone_url).returncode == 0
    added = asyncio.run(names()) - without
    assert {"idx_users_tenant_active", "idx_files_tenant_owner_created", "idx_events_tenant_created"} <= added


def test_db_pagination(start_core: StartCore, sample: Sample) -> None:
    whale = log_in_as(start_core(rules_off="db.pagination").url, sample, tenant=0)
    page = whale.get("/users", params={"page_size": 500})
    assert len(page.json()["items"]) == 500
    following = whale.get("/users", params={"page_size": 500, "cursor": page.json()["next_cursor"]})
    assert "users.list.page" in timings(following)
    assert not {u["id"] for u in page.json()["items"]} & {u["id"] for u in following.json()["items"]}


@pytest.mark.parametrize("off", [False, True])
async def test_db_prepared(off: bool, seeded_url: str) -> None:
    database = Database(Settings(database_url=seeded_url, rules_off="db.prepared" if off else ""), Metrics())
    for _ in range(3):
        await database.fetch("health.ping", timing=None)
    link = await database.pool.acquire()
    kept = await link.connection.fetchval(
        "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT 1'"
    )
    database.pool.release(link)
    await database.pool.close()
    assert kept == (0 if off else 1)


@pytest.mark.parametrize("off", [False, True])
def test_db_slow_log(off: bool, start_core: StartCore, sample: Sample, clone_url: str) -> None:
    core = start_core(database_url=clone_url, rules_off="db.slow_log" if off else "")
    client = log_in_as(core.url, sample)
    client.get("/auth/me")
    with ThreadPoolExecutor(1) as pool, locked(clone_url, "files"):
        waiting = pool.submit(client.get, "/files")
        eventually(lambda: metric(core.url, "db_connections_active") == 1)
        assert not waiting.done()
    waiting.result()
    slow = [entry for entry in core.logged("slow query") if entry["query"] == "files.list.first"]
    assert bool(slow) is not off
    assert off or (slow[0]["ms"] > 10 and slow[0]["tenant"] == sample.tenants[1].id)


@pytest.mark.parametrize(("off", "size"), [("", 100), ("pool.config", 5)])
def test_pool_config(off: str, size: int, start_core: StartCore) -> None:
    assert metric(start_core(rules_off=off).url, "db_connections_max") == size


def test_pool_monitor(start_core: StartCore, sample: Sample, clone_url: str) -> None:
    core = start_core(database_url=clone_url, pool_max=5, pool_min=1)
    client = log_in_as(core.url, sample)
    client.get("/auth/me")
    with ThreadPoolExecutor(8) as pool, locked(clone_url, "files"):
        waiting = [pool.submit(client.at(core.url).get, "/files") for _ in range(8)]
        eventually(lambda: metric(core.url, "db_connections_active") == 5)
        eventually(lambda: metric(core.url, "db_connections_waiting") == 3)
        eventually(lambda: core.logged("database connection pool under pressure"))
    assert {future.result().status_code for future in waiting} == {200}
    eventually(lambda: metric(core.url, "db_connections_idle") == 5)
    silent = httpx.get(f"{start_core(rules_off='pool.monitor').url}/metrics").text
    assert "db_connections" not in silent


def layers(client: Client, path: str = "/auth/me") -> set[str]:
    answers = [timings(client.get(path)) for _ in range(4)]
    return {entry.partition(":")[0] for names in answers for entry in names if ":" in entry}


def test_cache_l1(start_core: StartCore, sample: Sample) -> None:
    assert "l1" in layers(log_in_as(start_core().url, sample))
    without = layers(log_in_as(start_core(rules_off="cache.l1").url, sample))
    assert "l2" in without
    assert "l1" not in without


def test_cache_l2(start_core: StartCore, sample: Sample) -> None:
    first = log_in_as(start_core(rules_off="cache.l2").url, sample)
    assert layers(first) == {"miss", "l1"}
    second = first.at(start_core(rules_off="cache.l2").url)
    assert layers(second) == {"miss", "l1"}


def test_cache_invalidation(start_core: StartCore, sample: Sample) -> None:
    client = log_in_as(start_core(rules_off="cache.invalidation").url, sample)
    user = client.post("/users", json=new_user()).json()
    client.get(f"/users/{user['id']}")
    client.patch(f"/users/{user['id']}", json={"name": "Changed"})
    assert client.get(f"/users/{user['id']}").json()["name"] == "New"  # by time only


@pytest.mark.parametrize("off", [False, True])
def test_async_bounded(off: bool, start_core: StartCore, sample: Sample, clone_url: str) -> None:
    core = start_core(database_url=clone_url, rules_off="async.bounded" if off else "")
    client = log_in_as(core.url, sample)
    client.get("/auth/me")
    batch = {"users": [new_user() for _ in range(25)]}
    with ThreadPoolExecutor(1) as pool, locked(clone_url, "user_roles"):
        waiting = pool.submit(client.post, "/users/batch", json=batch)
        eventually(lambda: metric(core.url, "db_connections_active") >= (25 if off else 10))
        assert metric(core.url, "db_connections_active") == (25 if off else 10)
    assert waiting.result().json()["created"] == 25


@pytest.mark.parametrize(("off", "held"), [("", 1), ("async.streaming", 0)])
def test_async_streaming(off: str, held: int, start_core: StartCore, sample: Sample) -> None:
    core = start_core(rules_off=off)
    with open_stream(log_in_as(core.url, sample, tenant=0), "/events"):
        assert metric(core.url, "db_connections_active") == held


@pytest.mark.parametrize(
    ("off", "content_type"), [("", "application/x-ndjson"), ("json.streaming", "application/json")]
)
def test_json_streaming(off: str, content_type: str, start_core: StartCore, sample: Sample) -> None:
    answer = log_in_as(start_core(rules_off=off).url, sample).get("/users/export")
    assert answer.headers["content-type"] == content_type


@pytest.mark.parametrize("off", [False, True])
def test_files_chunked(off: bool, start_core: StartCore, sample: Sample) -> None:
    core = start_core(rules_off="files.chunked" if off else "")
    client = log_in_as(core.url, sample)
    client.post("/files", content=b"warm")
    before, content = peak_bytes(core), os.urandom(150 << 20)
    file = client.post("/files", content=content).json()
    assert client.get(f"/files/{file['id']}/content").content == content
    grown = peak_bytes(core) - before
    assert grown > len(content) if off else grown < 50 << 20


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("metrics.http", "http_request_duration_ms"),
        ("metrics.db", "db_query_duration_ms"),
        ("metrics.memory", "memory_usage_bytes"),
    ],
)
def test_metrics(rule: str, name: str, start_core: StartCore, core: Core) -> None:
    silent = start_core(rules_off=rule)
    for url in (silent.url, core.url):
        assert httpx.get(f"{url}/api/v1/ready").status_code == 200
    assert name not in httpx.get(f"{silent.url}/metrics").text
    assert name in httpx.get(f"{core.url}/metrics").text
