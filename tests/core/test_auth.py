from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import jwt
import pytest

from tests.core.harness import SECRET, Client, Core, log_in, log_in_as

if TYPE_CHECKING:
    from collections.abc import Callable

    from adx_lab.core.database.sample import Sample


def test_a_user_sees_itself(admin: Client, sample: Sample) -> None:
    me = admin.get("/auth/me").json()
    tenant = sample.tenants[1]
    assert me["id"] == tenant.users[0].id
    assert me["tenant_id"] == tenant.id
    assert me["roles"] == ["admin"]
    assert "users.write" in me["permissions"]


def test_a_viewer_may_read_and_not_write(viewer: Client) -> None:
    assert viewer.get("/users").status_code == 200
    refused = viewer.post("/users", json={"email": "x@example.com", "name": "X", "password": "12345678"})
    assert refused.status_code == 403
    assert refused.json()["permission"] == "users.write"


def claims(sample: Sample, client: Client) -> dict[str, object]:
    return dict(jwt.decode(client.token, SECRET, algorithms=["HS256"]))


def forge(how: str, claims: dict[str, object], token: str) -> str:
    without_expiry = {key: value for key, value in claims.items() if key != "exp"}
    forged = {
        "nonsense": "nonsense",
        "another secret": jwt.encode(claims, "x" * 40, algorithm="HS256"),
        "another algorithm": jwt.encode(claims, SECRET.ljust(64, "x"), algorithm="HS512"),
        "no algorithm": jwt.encode(claims, None, algorithm="none"),
        "expired": jwt.encode({**claims, "exp": int(time.time()) - 1}, SECRET),
        "no expiry": jwt.encode(without_expiry, SECRET),
        "an expiry that is no number": jwt.encode({**claims, "exp": [1]}, SECRET),
        "an expiry beyond all": jwt.encode({**claims, "exp": 10**400}, SECRET),
        "an endless expiry": jwt.encode({**claims, "exp": float("inf")}, SECRET),
        "a session that is a list": jwt.encode({**claims, "sid": [claims["sid"]]}, SECRET),
        "a tenant that is a number": jwt.encode({**claims, "tid": 5}, SECRET),
        "another session": jwt.encode({**claims, "sid": str(uuid4())}, SECRET),
        "cut": token[:-3],
        "changed": token[:-8] + "AAAAAAAA",
    }
    return forged[how]


FORGERIES = (
    "nonsense", "another secret", "another algorithm", "no algorithm", "expired", "no expiry",
    "another session", "cut", "changed", "an expiry that is no number", "an expiry beyond all",
    "an endless expiry", "a session that is a list", "a tenant that is a number",
)  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_token_that_is_not_good_is_a_401_problem(
    forgery: str, core: Core, admin: Client, sample: Sample
) -> None:
    token = forge(forgery, claims(sample, admin), admin.token)
    answer = Client(core.url, token).get("/auth/me")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["", "Basic eHg6eXk=", "Bearer", "bearer x.y.z"])
def test_a_header_that_is_no_token_is_a_401(header: str, core: Core) -> None:
    answer = httpx.get(f"{core.url}/api/v1/auth/me", headers={"authorization": header})
    assert answer.status_code == 401


def test_a_token_for_another_tenant_finds_no_session_there(core: Core, admin: Client, sample: Sample) -> None:
    # Signed with the right secret and naming a living session, but moved to another tenant's user.
    other = sample.tenants[2]
    moved = {**claims(sample, admin), "tid": other.id, "sub": other.users[0].id}
    assert Client(core.url, jwt.encode(moved, SECRET)).get("/auth/me").status_code == 401


def test_logging_out_ends_both_tokens_at_once_on_every_worker(core: Core, sample: Sample) -> None:
    client = log_in_as(core.url, sample, "viewer", skip=3)
    for _ in range(20):
        assert client.get("/auth/me").status_code == 200
    assert client.post("/auth/logout").status_code == 204
    for _ in range(20):
        assert Client(core.url, client.token).get("/auth/me").status_code == 401
    assert client.post("/auth/refresh", json={"refresh_token": client.refresh_token}).status_code == 401


def test_a_refresh_token_is_good_once_and_its_theft_ends_the_session(
    start_core: Callable[..., Core], sample: Sample
) -> None:
    core = start_core(auth_refresh_grace_s=0, workers=2)
    client = log_in_as(core.url, sample, "viewer", skip=4)
    renewed = client.post("/auth/refresh", json={"refresh_token": client.refresh_token})
    assert renewed.status_code == 200
    fresh = Client(core.url, renewed.json()["access_token"])
    assert fresh.get("/auth/me").status_code == 200
    replayed = client.post("/auth/refresh", json={"refresh_token": client.refresh_token})
    assert replayed.status_code == 401
    for _ in range(10):
        assert Client(core.url, fresh.token).get("/auth/me").status_code == 401
    again = fresh.post("/auth/refresh", json={"refresh_token": renewed.json()["refresh_token"]})
    assert again.status_code == 401


def test_an_unknown_refresh_token_is_a_401(nobody: Client) -> None:
    assert nobody.post("/auth/refresh", json={"refresh_token": "unknown"}).status_code == 401


def test_wrong_passwords_unknown_users_and_inactive_ones_look_alike(nobody: Client, sample: Sample) -> None:
    tenant = sample.tenants[1]
    attempts = [
        {"tenant_id": tenant.id, "email": tenant.users[1].email, "password": "wrong password"},
        {"tenant_id": tenant.id, "email": "nobody@example.com", "password": sample.password},
        {"tenant_id": str(uuid4()), "email": tenant.users[1].email, "password": sample.password},
        {"tenant_id": tenant.id, "email": "user19@t0001.example", "password": sample.password},
    ]
    answers = [nobody.post("/auth/login", json=attempt) for attempt in attempts]
    assert {answer.status_code for answer in answers} == {401}
    bodies = [{**answer.json(), "request_id": ""} for answer in answers]
    assert all(body == bodies[0] for body in bodies)


def test_attempts_are_limited_by_account_and_forgotten_by_success(
    start_core: Callable[..., Core], sample: Sample
) -> None:
    core = start_core(auth_attempts_max=3, workers=2)
    tenant = sample.tenants[3]
    victim, other = tenant.users[0], tenant.users[1]
    wrong = {"tenant_id": tenant.id, "email": victim.email, "password": "wrong password"}
    client = Client(core.url)
    assert [client.post("/auth/login", json=wrong).status_code for _ in range(2)] == [401, 401]
    log_in(core.url, tenant, victim, sample.password)
    codes = [client.post("/auth/login", json=wrong).status_code for _ in range(5)]
    assert codes == [401, 401, 401, 429, 429]
    limited = client.post("/auth/login", json={**wrong, "password": sample.password})
    assert limited.status_code == 429
    assert int(limited.headers["retry-after"]) > 0
    log_in(core.url, tenant, other, sample.password)
