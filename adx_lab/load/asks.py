"""How each endpoint of ADX Core is asked: the vocabulary of the scenarios.

The keys are what stands in every table: method and route template, with a word in brackets where one
endpoint is asked in two ways. An account that lacks what an ask needs (a file, a run) makes it first, or asks
for less, and says so in the endpoint it records.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus
from random import Random
from typing import Any, Protocol

from adx_lab.load.people import Account

_API = "/api/v1"
_PAGE = 50
_UPLOAD_BYTES = (1_024, 16_384, 65_536)


class Asking(Protocol):
    """Sends requests on behalf of an account: Locust's way, or over a bare connection."""

    account: Account
    choose: Random

    def __call__(
        self, method: str, path: str, *, body: Any = None, endpoint: str | None = None, **more: Any
    ) -> Any:
        """Send one request and return its answer."""


def _health(ask: Asking) -> None:
    ask("GET", f"{_API}/health")


def _ready(ask: Asking) -> None:
    ask("GET", f"{_API}/ready")


def _login(ask: Asking) -> None:
    ask("POST", f"{_API}/auth/login", body=ask.account.credentials)


def _me(ask: Asking) -> None:
    ask("GET", f"{_API}/auth/me")


def _tenant(ask: Asking) -> None:
    ask("GET", f"{_API}/tenants/current")


def _get_user(ask: Asking) -> None:
    ask("GET", f"{_API}/users/{_person(ask)}")


def _list_users(ask: Asking) -> None:
    ask("GET", f"{_API}/users?page_size={_PAGE}")


def _users_by_page(ask: Asking) -> None:
    page = ask.choose.randrange(max(1, ask.account.tenant["user_count"] // _PAGE))
    ask("GET", f"{_API}/users?page_size={_PAGE}&page={page}")


def _users_by_cursor(ask: Asking) -> None:
    cursor = f"&cursor={ask.account.cursor}" if ask.account.cursor else ""
    answer = ask("GET", f"{_API}/users?page_size={_PAGE}{cursor}")
    if answer.status_code == HTTPStatus.OK:
        ask.account.cursor = json.loads(answer.text)["next_cursor"]


def _create_user(ask: Asking) -> None:
    ask("POST", f"{_API}/users", body=_new_user())


def _create_users(ask: Asking) -> None:
    ask("POST", f"{_API}/users/batch", body={"users": [_new_user() for _ in range(10)]})


def _rename_user(ask: Asking) -> None:
    name = f"Load {ask.choose.randrange(1_000_000)}"
    # Nobody may change who holds more than himself: an editor asks for no administrator.
    people = [user["id"] for user in ask.account.tenant["users"] if user["role"] == "viewer"]
    person = ask.choose.choice(people or [ask.account.user_id])
    ask("PATCH", f"{_API}/users/{person}", body={"name": name})


def _export_users(ask: Asking) -> None:
    ask("GET", f"{_API}/users/export")


def _events(ask: Asking) -> None:
    ask("GET", f"{_API}/events?limit=1000")


def _list_files(ask: Asking) -> None:
    ask("GET", f"{_API}/files?page_size={_PAGE}")


def _get_file(ask: Asking) -> None:
    _with_file(ask, "GET", "")


def _content(ask: Asking) -> None:
    _with_file(ask, "GET", "/content")


def _content_range(ask: Asking) -> None:
    _with_file(ask, "GET", "/content", headers={"Range": "bytes=0-1023"})


def _upload(ask: Asking) -> None:
    content = ask.choose.randbytes(ask.choose.choice(_UPLOAD_BYTES))
    headers = {"Content-Type": "application/octet-stream"}
    ask("POST", f"{_API}/files?name=load-{uuid.uuid4().hex[:8]}", data=content, headers=headers)


def _process(ask: Asking) -> None:
    _with_file(ask, "POST", "/process")


def _start_report(ask: Asking) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    answer = ask("POST", f"{_API}/workflows/tenant-report/runs", body={"input": {}}, headers=headers)
    if answer.status_code == HTTPStatus.ACCEPTED:
        ask.account.runs.append(json.loads(answer.text)["id"])


def _get_run(ask: Asking) -> None:
    if ask.account.runs:
        ask("GET", f"{_API}/workflows/runs/{ask.choose.choice(ask.account.runs)}")
    else:
        answer = ask(
            "POST", f"{_API}/workflows/tenant-report/runs", body={"input": {}}, endpoint=_START_REPORT
        )
        if answer.status_code == HTTPStatus.ACCEPTED:
            ask.account.runs.append(json.loads(answer.text)["id"])


_START_REPORT = "POST /workflows/{name}/runs"

ASKS: Mapping[str, tuple[str, Callable[[Any], None]]] = {
    "GET /health": ("gateway", _health),
    "GET /ready": ("gateway", _ready),
    "POST /auth/login": ("auth", _login),
    "GET /auth/me": ("auth", _me),
    "GET /tenants/current": ("users", _tenant),
    "GET /users/{id}": ("users", _get_user),
    "GET /users": ("users", _list_users),
    "GET /users (page)": ("users", _users_by_page),
    "GET /users (cursor)": ("users", _users_by_cursor),
    "POST /users": ("users", _create_user),
    "POST /users/batch": ("users", _create_users),
    "PATCH /users/{id}": ("users", _rename_user),
    "GET /users/export": ("users", _export_users),
    "GET /events": ("users", _events),
    "GET /files": ("files", _list_files),
    "GET /files/{id}": ("files", _get_file),
    "GET /files/{id}/content": ("files", _content),
    "GET /files/{id}/content (range)": ("files", _content_range),
    "POST /files": ("files", _upload),
    "POST /files/{id}/process": ("workflows", _process),
    _START_REPORT: ("workflows", _start_report),
    "GET /workflows/runs/{id}": ("workflows", _get_run),
}
"""Group and ask, by endpoint."""


def _person(ask: Asking) -> str:
    person: str = ask.choose.choice(ask.account.tenant["users"])["id"]
    return person


def _new_user() -> dict[str, str]:
    name = uuid.uuid4().hex  # not from the seed: the same run twice must not make the same people
    return {"email": f"{name}@load.test", "name": f"Load {name[:8]}", "password": f"pass-{name}"}


def _with_file(ask: Asking, method: str, rest: str, **more: Any) -> None:
    files = ask.account.tenant["file_ids"]
    if files:
        ask(method, f"{_API}/files/{ask.choose.choice(files)}{rest}", **more)
    else:
        ask("GET", f"{_API}/files?page_size={_PAGE}", endpoint="GET /files")
