"""What requests see when something beneath them dies: nothing wrong, nothing lost, nothing stuck."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from adx_lab.core.database.sample import Sample
from adx_lab.settings import DatabaseSettings, ValkeySettings
from adx_lab.stack.accounts import Places, ServerAccount, choose_places, purge, server_account
from adx_lab.stack.postgres import Postgres, start_postgres
from adx_lab.stack.valkey import Valkey, start_valkey
from tests.core.harness import (
    Client,
    Core,
    database_url,
    eventually,
    log_in_as,
    make_database,
    metric,
    read_sample,
    run_core,
)


@dataclass
class Servers:
    """A PostgreSQL and a Valkey that a test may kill, and start again."""

    places: Places
    account: ServerAccount | None
    folder: Path
    postgres: Postgres
    valkey: Valkey

    def start_postgres(self) -> None:
        self.postgres = asyncio.run(
            start_postgres(self.places, self.account, DatabaseSettings(), log=self.folder / "postgres.log")
        )

    def start_valkey(self) -> None:
        self.valkey = asyncio.run(start_valkey(self.places, ValkeySettings(), log=self.folder / "valkey.log"))

    def kill(self, server: Postgres | Valkey) -> None:
        server.child.process.kill()
        server.child.process.wait()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("faults")
    account = server_account()
    places = choose_places(folder / "stack", account)
    postgres = asyncio.run(start_postgres(places, account, DatabaseSettings(), log=folder / "postgres.log"))
    valkey = asyncio.run(start_valkey(places, ValkeySettings(), log=folder / "valkey.log"))
    servers = Servers(places, account, folder, postgres, valkey)
    yield servers
    asyncio.run(servers.postgres.stop())
    asyncio.run(servers.valkey.stop())
    purge(places)


@pytest.fixture(scope="module")
def own_sample(servers: Servers) -> Sample:
    url = asyncio.run(make_database(servers.postgres.url(), "faults"))
    assert run_core("seed", database_url=url).returncode == 0
    return read_sample(url, servers.folder)


@dataclass
class Load:
    """Users who read and write all the time, and what they saw."""

    acknowledged: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    wrong: list[object] = field(default_factory=list)


@contextmanager
def under_load(url: str, token: str, own_id: str) -> Iterator[Load]:
    load, stop = Load(), threading.Event()

    def user() -> None:
        client = Client(url, token)
        while not stop.is_set():
            name = str(uuid.uuid4())
            body = {"email": f"{name}@example.com", "name": name, "password": "long enough"}
            note(client.post("/users", json=body), 201, lambda found: load.acknowledged.append(found["id"]))
            note(client.get("/auth/me"), 200, lambda found: expect(found["id"] == own_id, found))
            note(client.get("/users"), 200, lambda found: expect(len(found["items"]) == 50, found))

    def expect(right: bool, found: object) -> None:
        if not right:
            load.wrong.append(found)

    def note(answer: httpx.Response, good: int, check: Callable[[Any], object]) -> None:
        load.codes.append(answer.status_code)
        if answer.status_code == good:
            check(answer.json())
        elif answer.status_code != 503 or answer.headers["content-type"] != "application/problem+json":
            load.wrong.append((answer.status_code, answer.text))

    threads = [threading.Thread(target=user) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(load.codes) > 50, 30)
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def settings(servers: Servers, name: str) -> dict[str, object]:
    return {
        "database_url": servers.postgres.url("faults"), "valkey_url": servers.valkey.url, "workers": 2,
        "key_prefix": f"{name}:", "valkey_retry_s": 0.1,
    }  # fmt: skip


def all_there(client: Client, ids: list[str]) -> bool:
    exported = {msgspec.json.decode(line)["id"] for line in client.get("/users/export").text.splitlines()}
    return set(ids) <= exported


def test_postgres_killed_and_back(
    servers: Servers, own_sample: Sample, start_core: Callable[..., Core]
) -> None:
    core = start_core(**settings(servers, "postgres"))
    client = log_in_as(core.url, own_sample)
    with under_load(core.url, client.token, client.get("/auth/me").json()["id"]) as load:
        servers.kill(servers.postgres)
        eventually(lambda: load.codes[-200:].count(503) > 5)
        eventually(lambda: client.get("/ready").status_code == 503)
        servers.start_postgres()
        eventually(lambda: client.get("/ready").status_code == 200)
        before = len(load.acknowledged)
        eventually(lambda: len(load.acknowledged) > before + 20, 20)
    assert not load.wrong
    assert all_there(client, load.acknowledged)
    eventually(lambda: metric(core.url, "db_connections_active") == 0)
    assert metric(core.url, "db_connections_waiting") == 0


def test_valkey_killed_and_back(
    servers: Servers, own_sample: Sample, start_core: Callable[..., Core]
) -> None:
    core = start_core(**settings(servers, "valkey"))
    client = log_in_as(core.url, own_sample)
    with under_load(core.url, client.token, client.get("/auth/me").json()["id"]) as load:
        servers.kill(servers.valkey)
        eventually(lambda: client.get("/ready").json()["status"] == "degraded")
        before = len(load.acknowledged)
        eventually(lambda: len(load.acknowledged) > before + 20, 20)
        servers.start_valkey()
        eventually(lambda: client.get("/ready").json()["status"] == "ok")
        before = len(load.acknowledged)
        eventually(lambda: len(load.acknowledged) > before + 20, 20)
    assert not load.wrong
    assert set(load.codes) == {200, 201}  # nobody noticed
    assert all_there(client, load.acknowledged)


def test_without_valkey_a_permission_is_over_when_l1_is(
    servers: Servers, own_sample: Sample, start_core: Callable[..., Core]
) -> None:
    options = settings(servers, "ttl") | {"workers": 1, "cache_l1_ttl_s": 1.0}
    here, there = start_core(**options), start_core(**options)
    admin = log_in_as(here.url, own_sample)
    editor = log_in_as(here.url, own_sample, "editor", skip=1)
    body = {"email": "x", "name": "X", "password": "12345678"}
    elsewhere = editor.at(there.url)
    assert elsewhere.post("/users", json=body).status_code == 422
    user_id = editor.get("/auth/me").json()["id"]
    servers.kill(servers.valkey)
    try:
        assert admin.put(f"/users/{user_id}/roles", json={"roles": ["viewer"]}).status_code == 200
        assert editor.post("/users", json=body).status_code == 403  # at once where it was taken
        time.sleep(1.1)
        assert elsewhere.post("/users", json=body).status_code == 403
    finally:
        servers.start_valkey()


def test_a_worker_that_is_killed_is_replaced(
    servers: Servers, own_sample: Sample, start_core: Callable[..., Core]
) -> None:
    core = start_core(**settings(servers, "worker"))
    client = log_in_as(core.url, own_sample)
    victim = core.worker_pids[0]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(core.worker_pids) == 2 and victim not in core.worker_pids)

    def answers() -> bool:
        try:
            return bool(client.at(core.url).get("/auth/me").status_code == 200)
        except httpx.TransportError:
            return False

    assert all(eventually(answers) for _ in range(10))
    # The new one goes on counting where the dead one was.
    assert metric(core.url, "http_requests_total") >= 10


def test_the_core_starts_when_valkey_is_away_and_uses_it_when_it_comes(
    servers: Servers, own_sample: Sample, start_core: Callable[..., Core]
) -> None:
    servers.kill(servers.valkey)
    try:
        core = start_core(**settings(servers, "late"))
        client = log_in_as(core.url, own_sample)
        assert client.get("/ready").json()["status"] == "degraded"
    finally:
        servers.start_valkey()
    eventually(lambda: client.get("/ready").json()["status"] == "ok")


@pytest.mark.parametrize("verb", ["serve", "worker", "migrate", "seed"])
def test_a_database_that_is_away_at_the_start_is_one_line(verb: str) -> None:
    done = run_core(verb, database_url=database_url("postgresql://x@/x?host=/nowhere", "x"))
    assert done.returncode == 3
    assert len([line for line in done.stderr.splitlines() if not line.startswith("{")]) == 1
