"""Nobody grants or takes what they don't hold, and what was taken is granted nowhere."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote

import asyncpg
import httpx
import jwt
import pytest

from tests.core.harness import SECRET, Client, Core, log_in_as, run_core
from tests.core.test_users import new_user

if TYPE_CHECKING:
    from adx_lab.core.database.sample import Sample

StartCore = Callable[..., Core]
HIGHER = ["admin"], ["viewer", "admin"]


@pytest.fixture(scope="session")
def editor(core: Core, sample: Sample) -> Client:
    return log_in_as(core.url, sample, "editor")


@pytest.mark.parametrize("roles", HIGHER, ids=str)
def test_nobody_makes_a_user_with_more_than_they_hold(editor: Client, roles: list[str]) -> None:
    assert editor.post("/users", json=new_user(roles=roles)).status_code == 403
    batch = {"users": [new_user(roles=roles), new_user(roles=["viewer"])]}
    answer = editor.post("/users/batch", json=batch)
    assert [result["status"] for result in answer.json()["results"]] == [403, 201]


def test_nobody_changes_one_who_may_do_more(editor: Client, sample: Sample) -> None:
    boss = next(user for user in sample.tenants[1].users if user.role == "admin")
    for change in (
        {"is_active": False},
        {"is_active": True},
        {"email": "taken-over@example.com"},
        {"name": "X"},
    ):
        assert editor.patch(f"/users/{boss.id}", json=change).status_code == 403
    assert editor.delete(f"/users/{boss.id}").status_code == 403


def test_patch_deactivates_nobody_for_whom_delete_is_refused(editor: Client, admin: Client) -> None:
    made = admin.post("/users", json=new_user(roles=["viewer"])).json()
    assert editor.patch(f"/users/{made['id']}", json={"is_active": False}).status_code == 403
    assert editor.patch(f"/users/{made['id']}", json={"name": "Renamed"}).json()["name"] == "Renamed"


async def test_nobody_gives_or_takes_a_role_beyond_their_own(
    start_core: StartCore, sample: Sample, clone_url: str
) -> None:
    connection = await asyncpg.connect(clone_url)
    try:
        await connection.execute(
            "UPDATE roles SET permissions = permissions || '{roles.write}' WHERE name = 'editor'"
        )
    finally:
        await connection.close()
    core = start_core(database_url=clone_url)
    editor = log_in_as(core.url, sample, "editor")
    users = {role: next(u for u in sample.tenants[1].users if u.role == role) for role in ("viewer", "admin")}
    path = "/users/{}/roles"
    assert editor.put(path.format(users["viewer"].id), json={"roles": ["admin"]}).status_code == 403
    assert editor.put(path.format(users["admin"].id), json={"roles": ["viewer"]}).status_code == 403
    own = editor.get("/auth/me").json()["id"]
    assert editor.put(path.format(own), json={"roles": ["admin", "editor"]}).status_code == 403
    assert editor.put(path.format(users["viewer"].id), json={"roles": ["editor"]}).json()["roles"] == [
        "editor"
    ]
    assert editor.put(path.format(users["viewer"].id), json={"roles": ["none"]}).status_code == 422


def test_roles_that_many_change_at_once_are_those_of_one(core: Core, admin: Client) -> None:
    made = admin.post("/users", json=new_user(roles=[])).json()
    choices = [["viewer"], ["editor"], ["admin"], []]

    def put(roles: list[str]) -> int:
        status: int = admin.at(core.url).put(f"/users/{made['id']}/roles", json={"roles": roles}).status_code
        return status

    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(put, choices * 2)) <= {200, 409}
        assert admin.get(f"/users/{made['id']}").json()["roles"] in choices


def test_a_removal_that_broke_off_can_be_repeated_and_resurrects_nothing(
    core: Core, admin: Client, sample: Sample
) -> None:
    wanted = new_user(roles=["viewer"])
    made = admin.post("/users", json=wanted).json()
    body = {"tenant_id": sample.tenants[1].id, "email": wanted["email"], "password": wanted["password"]}
    tokens = httpx.post(f"{core.url}/api/v1/auth/login", json=body).json()
    gone = Client(core.url, tokens["access_token"])
    assert gone.get("/auth/me").status_code == 200
    assert [admin.delete(f"/users/{made['id']}").status_code for _ in range(2)] == [204, 204]
    assert gone.get("/auth/me").status_code == 401
    assert admin.patch(f"/users/{made['id']}", json={"is_active": True}).status_code == 200
    for _ in range(6):
        assert Client(core.url, gone.token).get("/auth/me").status_code == 401
    assert gone.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).status_code == 401


async def test_a_commit_of_unknown_outcome_invalidates(
    start_core: StartCore, sample: Sample, clone_url: str
) -> None:
    # The statement waits for a lock, the deadline comes, and nobody knows what became of it.
    one, other = (start_core(database_url=clone_url, gateway_timeout_s=0.5) for _ in range(2))
    admin = log_in_as(one.url, sample, "admin")
    victim = log_in_as(one.url, sample, "editor")
    elsewhere = victim.at(other.url)
    user_id = victim.get("/auth/me").json()["id"]
    assert elsewhere.get("/auth/me").json()["roles"] == ["editor"]
    blocker = await asyncpg.connect(clone_url)
    try:
        async with blocker.transaction():
            await blocker.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", user_id)
            answer = await asyncio.to_thread(admin.put, f"/users/{user_id}/roles", json={"roles": ["viewer"]})
            assert answer.status_code == 503
            await blocker.execute("DELETE FROM user_roles WHERE user_id = $1", user_id)
        for _ in range(200):
            # Given up or not, the statement may have had its way in the end: what the database has is true.
            held = await blocker.fetch(
                "SELECT name FROM user_roles JOIN roles ON roles.id = role_id WHERE user_id = $1", user_id
            )
            roles = elsewhere.get("/auth/me").json()["roles"]
            if roles == [row["name"] for row in held]:
                break
            await asyncio.sleep(0.05)
    finally:
        await blocker.close()
    assert roles == [row["name"] for row in held]
    assert roles != ["editor"]


@pytest.mark.parametrize("by_tenant", [True, False], ids=["tenant", "all"])
async def test_a_role_changed_by_hand_can_be_made_known(
    start_core: StartCore, sample: Sample, clone_url: str, valkey_url: str, by_tenant: bool
) -> None:
    one, other = (start_core(database_url=clone_url) for _ in range(2))
    viewer = log_in_as(one.url, sample, "viewer")
    clients = viewer, viewer.at(other.url)
    assert all("events.read" in client.get("/auth/me").json()["permissions"] for client in clients)
    connection = await asyncpg.connect(clone_url)
    try:
        await connection.execute("UPDATE roles SET permissions = '{users.read}' WHERE name = 'viewer'")
    finally:
        await connection.close()
    words = ("--tenant", sample.tenants[1].id) if by_tenant else ()
    prefix = one.environ["ADX_CORE_KEY_PREFIX"]
    done = await asyncio.to_thread(run_core, "forget", *words, valkey_url=valkey_url, key_prefix=prefix)
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + 5
    while any(client.get("/auth/me").json()["permissions"] != ["users.read"] for client in clients):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_two_refreshes_at_once_are_one_client(core: Core, sample: Sample) -> None:
    client = log_in_as(core.url, sample, "viewer", skip=6)
    body = {"refresh_token": client.refresh_token}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: httpx.post(f"{core.url}/api/v1/auth/refresh", json=body), range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    for answer in answers:
        assert Client(core.url, answer.json()["access_token"]).get("/auth/me").status_code == 200


@pytest.mark.parametrize("length", [1, 31])
def test_a_short_token_secret_is_refused(length: int) -> None:
    done = run_core(token_secret="a" * length)
    assert done.returncode == 2
    assert "at least 32 bytes" in done.stderr


def test_a_token_of_a_clock_that_is_ahead_is_good(core: Core, admin: Client) -> None:
    claims = jwt.decode(admin.token, SECRET, algorithms=["HS256"])
    ahead = jwt.encode({**claims, "iat": int(time.time()) + 5}, SECRET)
    assert Client(core.url, ahead).get("/auth/me").status_code == 200


CONTROLS = ("\n", "\r\n", "\x00", "\x1b", "\x7f", "\x85", "\x9f", "\u2028", "\u2029")


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
def test_no_control_character_gets_into_a_name(admin: Client, control: str) -> None:
    known = admin.get("/auth/me").json()["id"]
    for field, text in itertools.product(
        ("name", "email"), (f"{control}a@b", f"a{control}@b", f"a@b{control}")
    ):
        assert admin.post("/users", json=new_user() | {field: text}).status_code == 422
        assert admin.patch(f"/users/{known}", json={field: text}).status_code == 422
    assert admin.put(f"/users/{known}/roles", json={"roles": [f"admin{control}"]}).status_code == 422
    assert admin.post("/files", params={"name": f"a{control}"}, content=b"x").status_code == 422
    assert admin.get(f"/users/{known}{quote(control)}").status_code == 404
    key = {"idempotency-key": f"k{control}".encode()}
    if ord(control[0]) >= 0x80:  # the others are no HTTP
        assert admin.post("/workflows/tenant-report/runs", json={}, headers=key).status_code in {400, 422}


def test_an_idempotency_key_is_its_users_own(core: Core, admin: Client, editor: Client) -> None:
    headers = {"idempotency-key": f"shared-{time.time_ns()}"}
    ids = [
        client.post("/workflows/tenant-report/runs", json={}, headers=headers).json()["id"]
        for client in (admin, editor, admin)
    ]
    assert ids[0] == ids[2] != ids[1]
