"""What the cache promises, seen from outside: two replicas, one database, one Valkey."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from adx_lab.core.database.sample import Sample
from tests.core.harness import Client, Core, eventually, log_in, log_in_as, metric, timings

StartCore = Callable[..., Core]


@pytest.fixture
def replicas(start_core: StartCore) -> tuple[Core, Core]:
    return start_core(), start_core()


def new_editor(admin: Client, sample: Sample) -> dict[str, str]:
    body = {
        "email": f"{uuid.uuid4()}@example.com", "name": "E", "password": sample.password, "roles": ["editor"],
    }  # fmt: skip
    user: dict[str, str] = admin.post("/users", json=body).json()
    return user


def test_a_permission_that_was_taken_away_is_granted_nowhere(
    replicas: tuple[Core, Core], sample: Sample
) -> None:
    admin = log_in_as(replicas[0].url, sample)
    body = {
        "email": "x",
        "name": "X",
        "password": "12345678",
    }  # refused for its address, once it may be tried
    for _ in range(3):
        user = new_editor(admin, sample)
        credentials = {"tenant_id": user["tenant_id"], "email": user["email"], "password": sample.password}
        token = admin.post("/auth/login", json=credentials).json()["access_token"]
        editors = [Client(core.url, token) for core in replicas]
        body = {
            "email": "x",
            "name": "X",
            "password": "12345678",
        }  # refused for its address, once it may be tried
        assert [editor.post("/users", json=body).status_code for editor in editors] == [422, 422]
        assert admin.put(f"/users/{user['id']}/roles", json={"roles": ["viewer"]}).status_code == 200
        eventually(partial(_refused, editors[1], body))
        for _ in range(20):
            assert [editor.post("/users", json=body).status_code for editor in editors] == [403, 403]
            assert [e.get(f"/users/{user['id']}").json()["roles"] for e in editors] == [["viewer"]] * 2


def _refused(editor: Client, body: dict[str, str]) -> bool:
    code: int = editor.post("/users", json=body).status_code
    return code == 403


def test_lists_and_users_change_on_both(replicas: tuple[Core, Core], sample: Sample) -> None:
    admin = log_in_as(replicas[0].url, sample)
    other = admin.at(replicas[1].url)
    other.get("/users")
    user = new_editor(admin, sample)
    eventually(lambda: other.get("/users").json()["items"][0]["id"] == user["id"])
    other.get(f"/users/{user['id']}")
    admin.patch(f"/users/{user['id']}", json={"name": "Changed"})
    eventually(lambda: other.get(f"/users/{user['id']}").json()["name"] == "Changed")
    eventually(lambda: other.get("/users").json()["items"][0]["name"] == "Changed")


def test_a_session_that_was_ended_is_over_on_both(replicas: tuple[Core, Core], sample: Sample) -> None:
    here = log_in_as(replicas[0].url, sample, "viewer")
    there = here.at(replicas[1].url)
    assert there.get("/auth/me").status_code == 200
    here.post("/auth/logout")
    eventually(lambda: there.get("/auth/me").status_code == 401)
    assert {there.get("/auth/me").status_code for _ in range(10)} == {401}


def test_a_restarted_replica_finds_valkey_warm(start_core: StartCore, sample: Sample) -> None:
    client = log_in_as(start_core().url, sample)
    client.get("/auth/me")
    names = eventually(
        lambda: [n for n in timings(client.at(start_core().url).get("/auth/me")) if n.startswith("l2:")], 20
    )
    assert set(names) == {"l2:session", "l2:user"}


def test_many_at_once_who_ask_for_the_same_cost_one_query(start_core: StartCore, sample: Sample) -> None:
    core = start_core()
    admin = log_in_as(core.url, sample)
    admin.get("/users")
    wanted = sample.tenants[1].users[7].id
    before = metric(core.url, "db_queries_success", query="users.get")
    clients = [admin.at(core.url) for _ in range(30)]
    with ThreadPoolExecutor(30) as pool:
        codes = list(pool.map(lambda client: client.get(f"/users/{wanted}").status_code, clients))
    assert set(codes) == {200}
    assert metric(core.url, "db_queries_success", query="users.get") - before == 1


def test_counts_are_of_all_workers(start_core: StartCore, sample: Sample) -> None:
    core = start_core(workers=2)
    tenant = sample.tenants[5]
    for _ in range(8):
        log_in(core.url, tenant, tenant.users[0], sample.password).get("/auth/me")
    assert metric(core.url, "http_requests_total", method="POST", status="200") == 8
    assert metric(core.url, "http_request_duration_ms_count", path="/api/v1/auth/me") == 8
    assert metric(core.url, "memory_usage_bytes") > 2 * 20e6
