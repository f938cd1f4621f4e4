"""Users for locustfiles: an open loop on behalf of real accounts of the data set.

A scenario is a class with weighted actions::

    class Mixed(OpenLoopUser):
        @action(3, "GET /users", group="users")
        def list_users(self, ask: Ask) -> None:
            ask("GET", "/api/v1/users")

Each arrival picks an action by weight and an account by its tenant's size, and runs in a greenlet of its own:
a slow answer never delays the next arrival, and where it does all the same (no connection free) the latency
says so, since it counts from the intended start.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar

import gevent
from gevent.pool import Pool
from locust import FastHttpUser, task

from adx_lab.errors import UsageError
from adx_lab.load import recorder
from adx_lab.load.arrivals import poisson
from adx_lab.load.spec import LoadSpec, read_spec

ACCOUNTS = 48
"""How many accounts log in before the load begins; argon2id makes each login dear on purpose."""

WRITERS = frozenset({"admin", "manager"})
"""Roles that may do everything a scenario asks for."""

_LOGINS_AT_ONCE = 4
_DRAIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that users do."""

    weight: float
    endpoint: str
    group: str
    method: Callable[[Any, Ask], None]


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody of the data set, logged in."""

    user_id: str
    token: str
    tenant: dict[str, Any]
    tenant_kind: str
    credentials: dict[str, str]


def action(weight: float, endpoint: str, *, group: str) -> Callable[[Any], Any]:
    """Mark a method of an `OpenLoopUser` as an action.

    Parameters
    ----------
    weight
        How often it is picked, relative to the others.
    endpoint
        Method and route template, as they stand in every table.
    group
        The budget group: gateway, auth, users, files or workflows.
    """

    def mark(method: Callable[[Any, Ask], None]) -> Callable[[Any, Ask], None]:
        method.__adx_action__ = Action(weight, endpoint, group, method)
        return method

    return mark


class Ask:
    """Sends the requests of one arrival; the first counts from the intended start, others from their own."""

    __slots__ = ("_action", "_client", "_intended", "account", "choose")

    def __init__(self, user: OpenLoopUser, chosen: Action, intended: float, account: Account) -> None:
        self._client = user.client
        self._action = chosen
        self._intended: float | None = intended
        self.account = account
        self.choose = user.choose

    def __call__(
        self, method: str, path: str, *, body: Any = None, headers: dict[str, str] | None = None, **more: Any
    ) -> Any:
        """Send one request and return Locust's response."""
        context: dict[str, Any] = {
            "endpoint": self._action.endpoint,
            "group": self._action.group,
            "tenant": self.account.tenant_kind,
        }
        if self._intended is not None:
            context["intended"] = self._intended
            self._intended = None
        sent = {"Authorization": f"Bearer {self.account.token}", **(headers or {})}
        return self._client.request(
            method, path, name=self._action.endpoint, json=body, headers=sent, context=context, **more
        )


class OpenLoopUser(FastHttpUser):  # type: ignore[misc]
    """One Locust user that stands for all of the crowd: it sends each arrival when it is due."""

    abstract = True
    concurrency = 400
    fixed_count = 1
    actions: ClassVar[tuple[Action, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        members = (getattr(cls, name) for name in dir(cls))
        cls.actions = tuple(item.__adx_action__ for item in members if hasattr(item, "__adx_action__"))

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.spec = _spec()
        self.network_timeout = self.connection_timeout = self.spec.timeout_s
        self.choose = random.Random(self.spec.seed)  # noqa: S311
        self.accounts: list[Account] = []
        self._weights = list(itertools.accumulate(item.weight for item in self.actions))

    def on_start(self) -> None:
        """Log the accounts in; a service that lets nobody in can't be measured."""
        if self.spec.sample_file is not None:
            self.accounts = log_in_accounts(self.client, self.spec, self.choose)

    @task
    def send_schedule(self) -> None:
        """Send every arrival at its time, wait for the answers, and end the run."""
        began = time.time() + self.spec.warmup_s
        pool = Pool(self.concurrency)
        record = recorder.current()
        if record is not None:
            record.tell(began=began)
        for moment in poisson(
            self.spec.rate_per_s / self.spec.workers,
            -self.spec.warmup_s,
            self.spec.duration_s,
            self.spec.seed,
        ):
            intended = began + moment
            delay = intended - time.time()
            if delay > 0:
                gevent.sleep(delay)
            if record is not None:
                record.pending = len(pool)
            pool.spawn(self._act, intended)
        pool.join(timeout=_DRAIN_S)
        if record is not None:
            record.tell(ended=time.time(), unanswered=len(pool))
        pool.kill()
        self.environment.runner.quit()

    def _act(self, intended: float) -> None:
        chosen = self.choose.choices(self.actions, cum_weights=self._weights)[0]
        account = self.choose.choice(self.accounts)
        chosen.method(self, Ask(self, chosen, intended, account))


def log_in_accounts(client: Any, spec: LoadSpec, choose: random.Random) -> list[Account]:
    """Log accounts in, tenants drawn by their size, a few at once.

    Raises
    ------
    UsageError
        The service lets somebody of the data set not in: it runs on another data set, or does not work.
    """
    assert spec.sample_file is not None
    sample = json.loads(Path(spec.sample_file).read_text(encoding="utf-8"))
    tenants = [tenant for tenant in sample["tenants"] if tenant["users"]]
    kinds = _kinds(tenants)
    drawn = choose.choices(tenants, weights=[tenant["user_count"] for tenant in tenants], k=ACCOUNTS)
    pool = Pool(_LOGINS_AT_ONCE)

    def log_in(tenant: dict[str, Any]) -> Account:
        person = choose.choice(
            [user for user in tenant["users"] if user["role"] in WRITERS] or tenant["users"]
        )
        body = {"tenant_id": tenant["id"], "email": person["email"], "password": sample["password"]}
        context = {"group": "auth", "endpoint": "POST /auth/login", "tenant": kinds[tenant["id"]]}
        answer = client.post("/api/v1/auth/login", name="POST /auth/login", json=body, context=context)
        if answer.status_code != HTTPStatus.OK:
            raise UsageError(f"the service refused {person['email']} with status {answer.status_code}")
        token = json.loads(answer.text)["access_token"]
        return Account(person["id"], token, tenant, kinds[tenant["id"]], body)

    return list(pool.imap_unordered(log_in, drawn))


def _kinds(tenants: list[dict[str, Any]]) -> dict[str, str]:
    """Name each tenant's kind by its size: the whale, then thirds of the others."""
    ordered = sorted(tenants, key=lambda tenant: -int(tenant["user_count"]))
    kinds = {tenant["id"]: "whale" for tenant in ordered[:1]}
    others = ordered[1:]
    for rank, tenant in enumerate(others):
        kinds[tenant["id"]] = ("large", "median", "small")[3 * rank // len(others)]
    return kinds


def _spec() -> LoadSpec:
    spec = read_spec()
    if spec is not None:
        return spec
    return LoadSpec(raw_dir="", scenario="", rate_per_s=50, duration_s=30, warmup_s=2, seed=1)
