"""Whatever an administrator of another tenant asks for, it learns nothing and changes nothing."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from adx_lab.core.database.sample import Sample
from adx_lab.core.routes import ROUTES
from adx_lab.core.server.routing import Route
from tests.core.harness import Client, Core

WITH_IDS = [route for route in ROUTES if "{id}" in route.path]
BODIES: dict[str, dict[str, object]] = {
    "PATCH /users/{id}": {"name": "Stolen"},
    "PUT /users/{id}/roles": {"roles": ["admin"]},
}


@pytest.fixture(scope="module")
def victim_ids(admin: Client, sample: Sample) -> list[str]:
    """Ids of users, files and runs of the victim's tenant."""
    tenant = sample.tenants[1]
    run = admin.post("/workflows/tenant-report/runs", json={"input": {}}).json()["id"]
    fresh = admin.post("/files", params={"name": "secret-name.txt"}, content=b"secret content").json()["id"]
    return [tenant.users[0].id, tenant.users[5].id, *tenant.file_ids[:2], fresh, run]


def ask(client: Client, route: Route, an_id: str) -> Any:
    path = route.path.replace("{id}", an_id)
    body = BODIES.get(f"{route.method} {route.path}")
    return client.request(route.method, path, **({"json": body} if body else {}))


def facts(answer: Any) -> dict[str, object]:
    """All that an answer says, without what is its own."""
    body = json.loads(answer.content)
    body.pop("request_id", None)
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in {"x-request-id", "server-timing", "date", "content-length"}
    }
    names = [part.partition(";")[0] for part in answer.headers["server-timing"].split(", ")]
    return {"status": answer.status_code, "body": body, "headers": headers, "timing": sorted(set(names))}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_another_tenants_ids_look_like_ids_that_never_were(
    data: st.DataObject, stranger: Client, admin: Client, victim_ids: list[str]
) -> None:
    route = data.draw(st.sampled_from(WITH_IDS))
    theirs = data.draw(st.sampled_from(victim_ids))
    upper = data.draw(st.booleans())
    answer = ask(stranger, route, theirs.upper() if upper else theirs)
    never = ask(stranger, route, str(data.draw(st.uuids(version=4))))
    assert answer.status_code == 404
    assert facts(answer)["body"] == facts(never)["body"]
    assert facts(answer)["headers"] == facts(never)["headers"]


def test_nothing_of_the_victim_was_changed(admin: Client, victim_ids: list[str], sample: Sample) -> None:
    for user in sample.tenants[1].users[:1]:
        shown = admin.get(f"/users/{user.id}").json()
        assert shown["is_active"]
        assert shown["name"] != "Stolen"
    assert admin.get(f"/files/{victim_ids[4]}/content").content == b"secret content"
    assert admin.get(f"/workflows/runs/{victim_ids[5]}").json()["status"] != "cancelled"


def test_lists_streams_and_counts_hold_only_ones_own(stranger: Client, admin: Client, sample: Sample) -> None:
    own = sample.tenants[2].id
    assert {item["tenant_id"] for item in stranger.get("/users").json()["items"]} == {own}
    assert {item["tenant_id"] for item in stranger.get("/files").json()["items"]} == {own}
    theirs = {user.id for user in sample.tenants[1].users}
    exported = stranger.get("/users/export").text
    assert not any(user_id in exported for user_id in theirs)
    events = stranger.get("/events").text
    assert not any(user_id in events for user_id in theirs)
    assert stranger.get("/tenants/current").json()["id"] == own
    owned = stranger.get("/files", params={"owner_id": sample.tenants[1].users[0].id}).json()
    assert owned == {"items": [], "next_cursor": None}


def test_another_tenants_cursor_shows_ones_own_rows(stranger: Client, admin: Client, sample: Sample) -> None:
    cursor = admin.get("/users", params={"page_size": 5}).json()["next_cursor"]
    page = stranger.get("/users", params={"cursor": cursor}).json()
    assert {item["tenant_id"] for item in page["items"]} <= {sample.tenants[2].id}


def test_a_file_or_a_run_of_another_tenant_can_not_be_worked_on(
    stranger: Client, admin: Client, victim_ids: list[str]
) -> None:
    answer = stranger.post("/workflows/file-process/runs", json={"input": {"file_id": victim_ids[4]}})
    assert answer.status_code == 404


def test_a_key_of_another_tenant_is_ones_own(stranger: Client, admin: Client) -> None:
    asked = {"json": {"input": {}}, "headers": {"idempotency-key": "the same key"}}
    first = admin.post("/workflows/tenant-report/runs", **asked).json()["id"]
    assert stranger.post("/workflows/tenant-report/runs", **asked).json()["id"] != first


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.permission is not None], ids=lambda r: r.path
)
def test_without_a_token_nothing_is_told(
    route: Route, core: Core, nobody: Client, victim_ids: list[str]
) -> None:
    path = route.path.replace("{id}", victim_ids[0]).replace("{name}", "tenant-report")
    answer = nobody.request(route.method, path)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
