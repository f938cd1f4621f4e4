from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest

from adx_lab.core.database.dataset import email_of, role_of
from tests.core.harness import Client, Core, log_in_as, timings

if TYPE_CHECKING:
    from adx_lab.core.database.sample import Sample


def new_user(**changes: object) -> dict[str, object]:
    return {"email": f"{uuid.uuid4()}@example.com", "name": "New", "password": "long enough"} | changes


def test_the_data_set_can_be_derived(admin: Client, sample: Sample) -> None:
    for user in sample.tenants[1].users[:5]:
        number = int(user.email.partition("@")[0].removeprefix("user"))
        assert user.email == email_of(1, number)
        shown = admin.get(f"/users/{user.id}").json()
        assert shown["email"] == user.email
        assert shown["roles"] == [role_of(number)]


def test_the_first_page_and_its_cursors_cover_the_tenant_once(admin: Client, sample: Sample) -> None:
    seen: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor:
        page = admin.get("/users", params={"page_size": 100} | ({"cursor": cursor} if cursor else {})).json()
        seen += [item["id"] for item in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert len(seen) == len(set(seen))
    assert len(seen) >= sample.tenants[1].user_count * 0.9
    assert pages > 2


def test_pages_by_number_are_the_same_users(admin: Client) -> None:
    first = admin.get("/users", params={"page_size": 7}).json()
    second = admin.get("/users", params={"page_size": 7, "cursor": first["next_cursor"]}).json()
    assert admin.get("/users", params={"page_size": 7, "page": 0}).json()["items"] == first["items"]
    assert admin.get("/users", params={"page_size": 7, "page": 1}).json()["items"] == second["items"]


def test_a_page_holds_at_most_a_hundred(stack_whale: Client) -> None:
    assert len(stack_whale.get("/users", params={"page_size": 1000}).json()["items"]) == 100


@pytest.fixture(scope="module")
def stack_whale(core: Core, sample: Sample) -> Client:
    return log_in_as(core.url, sample, tenant=0)


@pytest.mark.parametrize(
    "query", ["page_size=0", "page_size=x", "page=-1", "cursor=%00", "cursor=bm8", "cursor=MS4x", "other=1"]
)
def test_a_query_that_makes_no_sense_is_a_422_that_names_the_field(query: str, admin: Client) -> None:
    answer = admin.get(f"/users?{query}")
    assert answer.status_code == 422
    assert answer.json()["field"] == query.partition("=")[0]


def test_a_user_is_created_seen_changed_and_deactivated(admin: Client, core: Core) -> None:
    wanted = new_user(roles=["viewer"])
    created = admin.post("/users", json=wanted)
    assert created.status_code == 201
    user = created.json()
    path = created.headers["location"].removeprefix("/api/v1")
    assert user["roles"] == ["viewer"]
    for _ in range(6):  # whichever worker answers
        assert admin.get("/users").json()["items"][0]["id"] == user["id"]
        assert admin.get(path).json() == user
    changed = admin.patch(path, json={"name": "Changed"}).json()
    assert changed["name"] == "Changed"
    assert changed["email"] == wanted["email"]
    for _ in range(6):
        assert admin.get(path).json()["name"] == "Changed"
        assert admin.get("/users").json()["items"][0]["name"] == "Changed"
    assert admin.delete(path).status_code == 204
    assert admin.delete(path).status_code == 204  # one that broke off can be repeated
    for _ in range(6):
        assert admin.get(path).json()["is_active"] is False
        assert admin.get("/users").json()["items"][0]["id"] != user["id"]


def test_a_deactivated_user_is_out_at_once(admin: Client, core: Core, sample: Sample) -> None:
    victim = admin.post("/users", json=new_user(password=sample.password, roles=["viewer"])).json()
    body = {"tenant_id": victim["tenant_id"], "email": victim["email"], "password": sample.password}
    token = admin.post("/auth/login", json=body).json()["access_token"]
    client = Client(core.url, token)
    assert client.get("/users").status_code == 200
    admin.patch(f"/users/{victim['id']}", json={"is_active": False})
    for _ in range(6):
        assert Client(core.url, token).get("/users").status_code == 401
    assert admin.post("/auth/login", json=body).status_code == 401


def test_an_address_is_taken_within_its_tenant_only(admin: Client, stranger: Client) -> None:
    wanted = new_user()
    assert admin.post("/users", json=wanted).status_code == 201
    taken = admin.post("/users", json=wanted | {"email": str(wanted["email"]).upper()})
    assert taken.status_code == 409
    assert stranger.post("/users", json=wanted).status_code == 201
    other = admin.post("/users", json=new_user()).json()
    assert admin.patch(f"/users/{other['id']}", json={"email": wanted["email"]}).status_code == 409


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "no address"}, "email"),
        ({"name": ""}, "name"),
        ({"name": "\x00"}, "name"),
        ({"password": "short"}, "password"),
        ({"roles": ["unknown"]}, "roles"),
        ({"more": 1}, "more"),
    ],
)
def test_a_field_that_is_wrong_is_a_422_that_names_it(
    change: dict[str, object], field: str, admin: Client
) -> None:
    answer = admin.post("/users", json=new_user(**change))
    assert answer.status_code == 422
    assert answer.json()["field"] == field


def test_bodies_that_are_no_json_are_refused(admin: Client) -> None:
    assert admin.post("/users", content=b"{", headers={"content-type": "application/json"}).status_code == 400
    assert admin.post("/users", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    large = b'{"name":"' + b"x" * (1 << 20) + b'"}'
    assert (
        admin.post("/users", content=large, headers={"content-type": "application/json"}).status_code == 413
    )
    chunks = (large[i : i + 65536] for i in range(0, len(large), 65536))
    assert (
        admin.post("/users", content=chunks, headers={"content-type": "application/json"}).status_code == 413
    )


def test_roles_are_replaced(admin: Client) -> None:
    user = admin.post("/users", json=new_user(roles=["viewer", "editor"])).json()
    changed = admin.put(f"/users/{user['id']}/roles", json={"roles": ["admin", "viewer"]})
    assert changed.json()["roles"] == ["admin", "viewer"]
    assert admin.put(f"/users/{user['id']}/roles", json={"roles": ["unknown"]}).status_code == 422
    assert admin.put(f"/users/{user['id']}/roles", json={"roles": []}).json()["roles"] == []
    assert admin.put(f"/users/{uuid.uuid4()}/roles", json={"roles": []}).status_code == 404


def test_a_batch_gives_a_result_for_each(admin: Client) -> None:
    taken = admin.post("/users", json=new_user()).json()["email"]
    users = [new_user(), new_user(email=taken), new_user(roles=["unknown"]), new_user()]
    answer = admin.post("/users/batch", json={"users": users})
    assert answer.status_code == 207
    result = answer.json()
    assert [item["status"] for item in result["results"]] == [201, 409, 422, 201]
    assert (result["created"], result["failed"]) == (2, 2)
    assert result["results"][3]["user"]["email"] == users[3]["email"]


def test_an_export_is_every_user_a_line(admin: Client, sample: Sample) -> None:
    answer = admin.get("/users/export")
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert len(lines) >= sample.tenants[1].user_count
    assert all(set(line) >= {"id", "email", "roles"} for line in lines)


def test_the_tenant_is_cached(admin: Client, sample: Sample) -> None:
    tenant = admin.get("/tenants/current")
    assert tenant.json()["id"] == sample.tenants[1].id
    for _ in range(10):
        again = admin.get("/tenants/current")
    assert "l1:tenant" in timings(again)
