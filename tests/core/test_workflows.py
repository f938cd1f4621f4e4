from __future__ import annotations

import asyncio
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from adx_lab.core.clients.valkey import open_connection
from adx_lab.core.workflows.worker import cron
from tests.core.harness import Client, Core, eventually, log_in_as, make_database, running_core, timings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from adx_lab.core.database.sample import Sample


@pytest.fixture(scope="module")
def settings(postgres_url: str, seeded_url: str, valkey_url: str) -> dict[str, Any]:
    url = asyncio.run(make_database(postgres_url, "core_workflows", "core_seeded"))
    return {
        "database_url": url, "valkey_url": valkey_url, "key_prefix": "workflows:", "warming_every_s": 2,
        "server_timing": 1,
    }  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workflows")


@pytest.fixture(scope="module")
def api(settings: dict[str, Any], folder: Path) -> Iterator[Core]:
    with running_core(folder, **settings) as core:
        yield core


@pytest.fixture
def worker(api: Core, settings: dict[str, Any], folder: Path) -> Iterator[Core]:
    with running_core(folder, "worker", **settings) as worker:
        yield worker


@pytest.fixture(scope="module")
def client(api: Core, sample: Sample) -> Client:
    return log_in_as(api.url, sample)


def ended(client: Client, run_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        run: dict[str, Any] = client.get(f"/workflows/runs/{run_id}").json()
        return run if run["status"] in {"done", "failed", "cancelled"} else None

    found: dict[str, Any] = eventually(look, 25)
    return found


def start(client: Client, key: str | None = None, **given: object) -> Any:
    headers = {"idempotency-key": key} if key else {}
    return client.post("/workflows/tenant-report/runs", json={"input": given}, headers=headers)


def test_runs_that_are_asked_for_take_place(client: Client, worker: Core, sample: Sample) -> None:
    answer = start(client)
    assert answer.status_code == 202
    run = ended(client, answer.json()["id"])
    assert (run["status"], run["steps_done"]) == ("done", 3)
    assert 0 < run["result"]["users"] <= sample.tenants[1].user_count + 5
    assert sum(run["result"]["events"].values()) > 100


def test_a_later_report_counts_what_was_appended_meanwhile(
    client: Client, worker: Core, sample: Sample, settings: dict[str, Any]
) -> None:
    tenant = sample.tenants[1].id
    append = "insert into events (tenant_id, user_id, kind, data, created_at) values ($1, $1, $2, '{}', $3)"

    async def appended(kind: str, at: datetime) -> None:
        connection = await asyncpg.connect(settings["database_url"])
        await connection.execute(append, tenant, kind, at)
        await connection.close()

    def counted(since: str | None = None) -> dict[str, int]:
        found: dict[str, int] = ended(client, start(client, since=since).json()["id"])["result"]["events"]
        return found

    first = counted()
    asyncio.run(appended("test.now", datetime.now(UTC)))
    second = counted()
    assert second == {**first, "test.now": 1}
    # A transaction that began half a minute ago ends only now: its event stands before the newest one.
    asyncio.run(appended("test.late", datetime.now(UTC) - timedelta(seconds=30)))
    assert counted() == {**second, "test.late": 1}
    assert counted(since="2100-01-01T00:00:00Z") == {}


def test_a_file_is_processed_in_chunks(client: Client, worker: Core) -> None:
    file = client.post("/files", content=b"a line\n" * 100_000).json()
    answer = client.post(f"/files/{file['id']}/process")
    run = ended(client, answer.json()["id"])
    assert run["result"] == {"bytes": 700_000, "lines": 100_000, "sha256": file["sha256"]}


def test_a_key_makes_one_run_however_often_and_at_once(client: Client, worker: Core) -> None:
    key = str(uuid.uuid4())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: start(client.at(client.url), key), range(16)))
    # The loser of a race may be told to ask again.
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
    assert start(client, key).json()["id"] == next(a.json()["id"] for a in answers if a.status_code == 202)
    assert start(client, key, pause_s=1).status_code == 422
    assert start(client, "new\tkey").status_code == 422


def test_a_run_is_cancelled_between_its_steps(client: Client, worker: Core) -> None:
    run_id = start(client, pause_s=30).json()["id"]
    eventually(lambda: client.get(f"/workflows/runs/{run_id}").json()["steps_done"] == 1, 20)
    assert client.post(f"/workflows/runs/{run_id}/cancel").status_code == 202
    assert ended(client, run_id)["status"] == "cancelled"
    finished = ended(client, start(client).json()["id"])
    assert client.post(f"/workflows/runs/{finished['id']}/cancel").status_code == 409


def test_a_killed_worker_goes_on_where_it_was(client: Client, settings: dict[str, Any], folder: Path) -> None:
    run_ids = []
    with running_core(folder / "first", "worker", **settings) as first:
        run_ids = [start(client, pause_s=1).json()["id"] for _ in range(3)]
        eventually(lambda: client.get(f"/workflows/runs/{run_ids[0]}").json()["steps_done"] >= 1, 20)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    # What was asked for while nobody worked is not lost either.
    run_ids.append(start(client).json()["id"])
    with running_core(folder / "second", "worker", **settings):
        for run_id in run_ids:
            run = ended(client, run_id)
            assert (run["status"], run["steps_done"]) == ("done", 3)


def test_two_workers_of_one_name_are_one_too_many(worker: Core, settings: dict[str, Any]) -> None:
    from tests.core.harness import run_core  # noqa: PLC0415

    done = run_core("worker", **settings)
    assert done.returncode == 2
    assert "is running" in done.stderr.splitlines()[-1]


def test_unknown_workflows_runs_and_inputs(client: Client) -> None:
    assert client.post("/workflows/unknown/runs", json={}).status_code == 404
    assert client.get(f"/workflows/runs/{uuid.uuid4()}").status_code == 404
    assert client.post(f"/workflows/runs/{uuid.uuid4()}/cancel").status_code == 404
    assert start(client, pause_s=-1).status_code == 422
    assert start(client, other=1).status_code == 422
    missing = client.post("/workflows/file-process/runs", json={"input": {"file_id": str(uuid.uuid4())}})
    assert missing.status_code == 404


async def exist(url: str, *keys: str) -> bool:
    link = await open_connection(url, 1)
    try:
        return bool(await link.ask(("EXISTS", *keys)) == len(keys))
    finally:
        link.close()


def test_warming_puts_hot_users_and_tenants_into_valkey(
    worker: Core, api: Core, settings: dict[str, Any], sample: Sample, folder: Path
) -> None:
    hot = log_in_as(api.url, sample, "viewer", tenant=4)  # asked for nothing yet
    tenant = sample.tenants[4]
    user = next(user for user in tenant.users if user.role == "viewer")
    scope = f"workflows:user:{tenant.id}:{user.id}"
    keys = (f"{scope}:user", f"workflows:tenant:{tenant.id}:tenant")
    eventually(lambda: asyncio.run(exist(settings["valkey_url"], *keys)), 30)
    with running_core(folder / "replica", **settings) as replica:
        names = timings(hot.at(replica.url).get("/tenants/current"))
    assert {"l2:session", "l2:user", "l2:tenant"} <= set(names)  # not one query


def test_sessions_that_are_over_are_deleted(
    api: Core, settings: dict[str, Any], sample: Sample, folder: Path
) -> None:
    async def sessions(statement: str) -> Any:
        connection = await asyncpg.connect(settings["database_url"])
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    log_in_as(api.url, sample, "viewer", tenant=2)
    live = asyncio.run(sessions("SELECT count(*) FROM sessions"))
    asyncio.run(
        sessions(
            "WITH made AS (INSERT INTO sessions (id, tenant_id, user_id, expires_at)"
            " SELECT gen_random_uuid(), tenant_id, user_id, now() - interval '1 hour'"
            " FROM sessions, generate_series(1, 500) ORDER BY 1 LIMIT 500 RETURNING id)"
            " INSERT INTO refresh_tokens (hash, session_id) SELECT uuid_send(id), id FROM made"
        )
    )
    assert asyncio.run(sessions("SELECT count(*) FROM sessions")) == live + 500
    with running_core(folder / "purging", "worker", **settings, purge_every_s=1):
        eventually(lambda: asyncio.run(sessions("SELECT count(*) FROM sessions")) == live, 30)
    orphans = "SELECT count(*) FROM refresh_tokens WHERE session_id NOT IN (SELECT id FROM sessions)"
    assert asyncio.run(sessions(orphans)) == 0


def test_cache_warming(settings: dict[str, Any], folder: Path) -> None:
    async def schedules() -> list[str]:
        connection = await asyncpg.connect(settings["database_url"])
        try:
            rows = await connection.fetch("SELECT schedule_name FROM dbos.workflow_schedules ORDER BY 1")
            return [row[0] for row in rows]
        finally:
            await connection.close()

    with running_core(folder / "warm", "worker", **settings):
        assert asyncio.run(schedules()) == ["purging", "warming"]
    with running_core(folder / "cold", "worker", **settings, rules_off="cache.warming"):
        assert asyncio.run(schedules()) == ["purging"]


@pytest.mark.parametrize(
    ("every_s", "expression"),
    [
        (2, "*/2 * * * * *"), (7, "*/6 * * * * *"), (59, "*/30 * * * * *"), (90, "0 */1 * * * *"),
        (420, "0 */6 * * * *"), (900, "0 */15 * * * *"), (2_700, "0 */30 * * * *"), (3_540, "0 */30 * * * *"),
        (3_600, "0 0 */1 * * *"), (50_000, "0 0 */12 * * *"), (86_400, "0 0 0 * * *"), (10**6, "0 0 0 * * *"),
    ],
)  # fmt: skip
def test_an_interval_fires_evenly(every_s: float, expression: str) -> None:
    assert cron(every_s) == expression
