"""Every way to ask ADX Core: each route, further pages, filters, tenants of either size, what no cache holds.

They are the asks of the scenarios, and beside them what scenarios don't ask for: what ends a session, what
deletes, what only a large tenant makes dear. What an ask needs is made before it is measured.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec

from adx_lab.load.asks import ASKS
from adx_lab.load.people import Account, read_sample, tenant_kinds
from adx_lab.load.recording.rows import REQUEST, Row
from adx_lab.load.serial.movement import Mark
from adx_lab.load.serial.order import RefusedError
from adx_lab.load.serial.wire import Reply, Wire

__all__ = ["CoreCrowd", "CoreSide", "core_ways"]

_API = "/api/v1"
_PAGE = 50
_WHALE, _USUAL, _SMALL = "whale", "median", "small"
_SPARE, _LEAVING = "spare", "leaving"
"""People of the median tenant whose sessions are refreshed and ended, so that the others keep theirs."""

Record = Callable[[str, Row], None]


@dataclass
class CoreSide:
    """One variant: a connection, and the same people logged in as at the other one."""

    variant: str
    base_url: str
    sample_file: str
    record: Record
    timeout_s: float = 30.0
    people: dict[str, Account] = field(default_factory=dict)
    made: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Open the connection."""
        self.wire = Wire(self.base_url, self.timeout_s)

    def log_in(self) -> None:
        """Log an administrator of each kind of tenant in.

        Raises
        ------
        RefusedError
            It lets somebody not in.
        """
        sample = read_sample(self.sample_file)
        kinds = tenant_kinds(sample["tenants"])
        able = [one for one in sample["tenants"] if one["file_ids"] and _administrators(one)]
        for kind in (_WHALE, _USUAL, _SMALL):
            tenant = next((one for one in able if kinds[one["id"]] == kind), able[0])
            self.people[kind] = self._somebody(tenant, kind, sample["password"])
        usual = self.people[_USUAL]
        for name in (_SPARE, _LEAVING):
            self.people[name] = self._somebody(usual.tenant, usual.tenant_kind, sample["password"])

    def _somebody(self, tenant: dict[str, Any], kind: str, password: str) -> Account:
        person = _administrators(tenant)[0]
        body = {"tenant_id": tenant["id"], "email": person["email"], "password": password}
        told = self.tokens("login", body)
        return Account(person["id"], told["access_token"], told["refresh_token"], 0.0, tenant, kind, body)

    def tokens(self, verb: str, body: dict[str, str]) -> dict[str, Any]:
        """Return the answer to a login or a refresh.

        Raises
        ------
        RefusedError
            It did not answer with tokens.
        """
        reply = self.quietly("POST", f"{_API}/auth/{verb}", body)
        try:
            told: dict[str, Any] = json.loads(reply.body)
            if reply.status < 300 and {"access_token", "refresh_token"} <= told.keys():
                return told
        except ValueError:
            pass
        raise RefusedError(self.variant, f"it answered the {verb} with status {reply.status}, without tokens")

    def quietly(self, method: str, path: str, body: Any = None, account: Account | None = None) -> Reply:
        """Ask for what a measured request needs; nothing is recorded."""
        headers = {} if account is None else {"authorization": f"Bearer {account.token}"}
        content = b"" if body is None else msgspec.json.encode(body)
        if body is not None:
            headers["content-type"] = "application/json"
        return self.wire.ask(self.wire.request(method, path, headers, content))

    def close(self) -> None:
        """Hang up."""
        self.wire.close()


class _SerialAsk:
    """What the asks of the scenarios call, over a bare connection."""

    def __init__(self, side: CoreSide, way: CoreWay, mark: Mark, choose: random.Random) -> None:
        self._side, self._way, self._mark = side, way, mark
        self.account = side.people[way.person]
        self.choose = choose

    def __call__(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        endpoint: str | None = None,
        data: bytes | None = None,
    ) -> Any:
        """Send one request and return what the asks read of its answer."""
        sent = {"authorization": f"Bearer {self.account.token}", **(headers or {})}
        content = data or b""
        if body is not None:
            sent["content-type"], content = "application/json", msgspec.json.encode(body)
        wire = self._side.wire
        reply = wire.ask(wire.request(method, path, sent, content))
        if endpoint is None:  # else it makes what the way's own request needs
            self._keep(reply)
        return SimpleNamespace(status_code=reply.status, text=reply.body.decode("utf-8", "replace"))

    def _keep(self, reply: Reply) -> None:
        mark = self._mark
        self._side.record(
            mark.movement,
            (
                reply.sent, reply.sent, reply.ms, self._way.endpoint, self._way.group,
                self.account.tenant_kind, reply.status, len(reply.body), mark.variant, mark.pair,
                reply.timing, reply.error, self._way.endpoint.partition(" ")[0], REQUEST,
            ),
        )  # fmt: skip

    def take(self) -> Any:
        """Return the next thing that was made for this way."""
        return self._side.made[self._way.endpoint].pop()


@dataclass
class CoreWay:
    """One way to ask the core."""

    endpoint: str
    group: str
    ask: Callable[[Any], None]
    person: str = _USUAL
    pairs_max: int | None = None
    make: Callable[[CoreSide, Account, int, random.Random], list[Any]] | None = None
    sides: Mapping[str, CoreSide] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What tells it from others."""
        return self.endpoint

    def prepare(self, variant: str, count: int, choose: random.Random) -> None:
        """Make what so many asks need."""
        side = self.sides[variant]
        if self.make is not None:
            side.made[self.endpoint] = self.make(side, side.people[self.person], count, choose)

    def perform(self, mark: Mark, choose: random.Random) -> None:
        """Ask once."""
        self.ask(_SerialAsk(self.sides[mark.variant], self, mark, choose))


_TOO_LONG = frozenset(("POST /users/batch", "GET /users/export", "GET /events", "GET /ready"))
"""What would fill a short burst by itself, and what tells how full the service is."""


class CoreCrowd:
    """People who ask the core all at once, each over a connection of their own."""

    def __init__(self, sides: Mapping[str, CoreSide]) -> None:
        self._sides = sides
        self._own: list[CoreSide] = []

    def member(self, variant: str, _number: int) -> Sequence[Callable[[Mark, random.Random], None]]:
        """Return all ways to ask the variant that many can go at once."""
        side = self._sides[variant]
        own = CoreSide(variant, side.base_url, side.sample_file, side.record, side.timeout_s, side.people)
        self._own.append(own)
        return [
            CoreWay(name, group, ask, sides={variant: own}).perform
            for name, (group, ask) in ASKS.items()
            if name not in _TOO_LONG
        ]

    def close(self) -> None:
        """Hang up."""
        for side in self._own:
            side.close()


def core_ways(sides: Mapping[str, CoreSide]) -> list[CoreWay]:
    """Return all ways to ask the core, of both variants."""
    ways = [CoreWay(name, group, ask) for name, (group, ask) in ASKS.items()]
    ways += _ways_of_tenants()
    ways += [
        CoreWay("GET /metrics", "gateway", _getter("/metrics")),
        CoreWay("GET /openapi.json", "gateway", _getter("/openapi.json")),
        CoreWay("GET /docs", "gateway", _getter("/docs")),
        CoreWay("POST /auth/refresh", "auth", _refresh, _SPARE),
        CoreWay("POST /auth/logout", "auth", _log_out, _LEAVING, 16, _sessions),
        CoreWay("GET /users/{id} (miss)", "users", _get_made, _WHALE, 60, _strangers),
        CoreWay("DELETE /users/{id}", "users", _delete_user, _WHALE, 20, _strangers),
        CoreWay("PUT /users/{id}/roles", "users", _set_roles, _WHALE),
        CoreWay("GET /files (filter)", "files", _files_of),
        CoreWay("GET /files (page)", "files", _files_by_page, _WHALE),
        CoreWay("GET /files (cursor)", "files", _files_by_cursor, _WHALE),
        CoreWay("DELETE /files/{id}", "files", _delete_file, _USUAL, 20, _uploads),
        CoreWay("POST /workflows/runs/{id}/cancel", "workflows", _cancel, _USUAL, 20, _started),
    ]
    for way in ways:
        way.sides = sides
    return ways


def _ways_of_tenants() -> list[CoreWay]:
    dear = ("GET /users", "GET /users (page)", "GET /users (cursor)", "GET /users/export", "GET /events",
            "GET /files", "GET /tenants/current")  # fmt: skip
    ways = [CoreWay(_named(name, _WHALE), ASKS[name][0], ASKS[name][1], _WHALE) for name in dear]
    return [*ways, CoreWay("GET /users (small)", "users", ASKS["GET /users"][1], _SMALL)]


def _named(endpoint: str, way: str) -> str:
    return f"{endpoint[:-1]}, {way})" if endpoint.endswith(")") else f"{endpoint} ({way})"


def _administrators(tenant: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    return [user for user in tenant["users"] if user["role"] == "admin"]


def _getter(path: str) -> Callable[[Any], None]:
    return lambda ask: ask("GET", path)


def _refresh(ask: Any) -> None:
    answer = ask("POST", f"{_API}/auth/refresh", body={"refresh_token": ask.account.refresh_token})
    if answer.status_code < 300:
        ask.account.refresh_token = json.loads(answer.text)["refresh_token"]


def _sessions(side: CoreSide, account: Account, count: int, _choose: random.Random) -> list[Any]:
    return [side.tokens("login", account.credentials)["access_token"] for _ in range(count)]


def _log_out(ask: Any) -> None:
    ask("POST", f"{_API}/auth/logout", headers={"authorization": f"Bearer {ask.take()}"})


def _strangers(side: CoreSide, account: Account, count: int, choose: random.Random) -> list[Any]:
    """Return users whom nobody has asked for: from anywhere in the list, and never those of the sample."""
    known = {user["id"] for user in account.tenant["users"]}
    pages = list(range(max(1, account.tenant["user_count"] // _PAGE)))
    choose.shuffle(pages)
    found: list[str] = []
    for page in pages:
        reply = side.quietly("GET", f"{_API}/users?page_size={_PAGE}&page={page}", account=account)
        items = json.loads(reply.body)["items"] if reply.status == 200 else []
        found += [item["id"] for item in items if item["id"] not in known]
        if len(found) >= count:
            break
    return found[:count] if found else [uuid.UUID(int=n).hex for n in range(count)]


def _get_made(ask: Any) -> None:
    ask("GET", f"{_API}/users/{ask.take()}")


def _delete_user(ask: Any) -> None:
    ask("DELETE", f"{_API}/users/{ask.take()}")


def _set_roles(ask: Any) -> None:
    people = [user for user in ask.account.tenant["users"] if user["role"] == "viewer"]
    person = ask.choose.choice(people or ask.account.tenant["users"])
    ask("PUT", f"{_API}/users/{person['id']}/roles", body={"roles": ["viewer"]})


def _files_of(ask: Any) -> None:
    owner = ask.choose.choice(ask.account.tenant["users"])["id"]
    ask("GET", f"{_API}/files?page_size={_PAGE}&owner_id={owner}")


def _files_by_page(ask: Any) -> None:
    ask("GET", f"{_API}/files?page_size={_PAGE}&page={1 + ask.choose.randrange(20)}")


def _files_by_cursor(ask: Any) -> None:
    at = ask.account.places.get("files")
    answer = ask("GET", f"{_API}/files?page_size={_PAGE}" + (f"&cursor={at}" if at else ""))
    if answer.status_code < 300:
        ask.account.places["files"] = json.loads(answer.text)["next_cursor"]


def _uploads(side: CoreSide, account: Account, count: int, _choose: random.Random) -> list[Any]:
    headers = {"authorization": f"Bearer {account.token}", "content-type": "application/octet-stream"}
    asked = side.wire.request("POST", f"{_API}/files?name=short-lived", headers, b"x" * 64)
    return [_id_of(side.wire.ask(asked)) for _ in range(count)]


def _delete_file(ask: Any) -> None:
    ask("DELETE", f"{_API}/files/{ask.take()}")


def _started(side: CoreSide, account: Account, count: int, _choose: random.Random) -> list[Any]:
    path = f"{_API}/workflows/tenant-report/runs"
    return [_id_of(side.quietly("POST", path, {"input": {}}, account)) for _ in range(count)]


def _cancel(ask: Any) -> None:
    ask("POST", f"{_API}/workflows/runs/{ask.take()}/cancel")


def _id_of(reply: Reply) -> str:
    """Return the id of what was made; one that nobody has where it was not."""
    try:
        return str(json.loads(reply.body)["id"])
    except (ValueError, KeyError, TypeError):
        return str(uuid.UUID(int=0))
