"""People of the data set, logged in: on whose behalf a scenario's requests are sent."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import gevent
import msgspec
from gevent.pool import Pool
from locust.contrib.fasthttp import FastHttpSession

from adx_lab import clock
from adx_lab.errors import UsageError
from adx_lab.load.order import LoadOrder
from adx_lab.load.people import Account, read_sample, somebody, tenant_kinds

_LOGINS_AT_ONCE = 4
_REFRESH_AT = 0.5
"""Of a token's life: long enough before its end for a slow service."""

_API = "/api/v1"


class _Tokens(msgspec.Struct):
    """What the lab needs of the answer to a login or a refresh."""

    access_token: str
    refresh_token: str
    expires_in: float


def log_in_accounts(environment: Any, host: str, scenario: Any, order: LoadOrder) -> list[Account]:
    """Log accounts in, tenants drawn by their size, a few at once; the same ones for the same seed.

    Raises
    ------
    UsageError
        The service lets somebody of the data set not in: it runs on another data set, or does not work.
    """
    assert order.sample_file is not None
    sample = read_sample(order.sample_file)
    kinds = tenant_kinds(sample["tenants"])
    choose = random.Random(order.seed)  # noqa: S311
    tenants = [tenant for tenant in sample["tenants"] if tenant["users"]]
    if scenario.tenants is not None:
        tenants = [tenant for tenant in tenants if kinds[tenant["id"]] in scenario.tenants]
    drawn = choose.choices(tenants, [tenant["user_count"] for tenant in tenants], k=scenario.accounts)
    people = [somebody(tenant, choose) for tenant in drawn]
    client = _client(environment, host)

    def log_in(number: int) -> Account:
        tenant, person = drawn[number], people[number]
        body = {"tenant_id": tenant["id"], "email": person["email"], "password": sample["password"]}
        told = _ask(client, "login", body, tenant=kinds[tenant["id"]], who=person["email"])
        return Account(
            person["id"], told.access_token, told.refresh_token, told.expires_in,
            tenant, kinds[tenant["id"]], body,
        )  # fmt: skip

    # The first alone: a service that lets nobody in has said so after one attempt.
    first = log_in(0)
    return [first, *Pool(_LOGINS_AT_ONCE).imap(log_in, range(1, len(drawn)))]


def keep_logged_in(
    environment: Any, host: str, accounts: Sequence[Account], ending: Callable[[], bool]
) -> None:
    """Refresh each token in the middle of its life, for as long as the load lasts."""
    client = _client(environment, host)
    while True:
        round_s = _REFRESH_AT * min(account.expires_s for account in accounts)
        for account in accounts:
            gevent.sleep(round_s / len(accounts))  # spread out: no wave of refreshes in anybody's latency
            if ending():
                return
            body = {"refresh_token": account.refresh_token}
            told = _ask(client, "refresh", body, tenant=account.tenant_kind, who=account.user_id)
            account.token, account.refresh_token = told.access_token, told.refresh_token


def _client(environment: Any, host: str) -> FastHttpSession:
    # A session of its own: no user exists yet, and the load's connections stay the load's.
    return FastHttpSession(host, environment.events.request, user=None)


def _ask(client: FastHttpSession, verb: str, body: dict[str, str], *, tenant: str, who: str) -> _Tokens:
    name = f"POST /auth/{verb}"
    context = {"adx_group": "auth", "adx_endpoint": name, "adx_tenant": tenant, "adx_intended": clock.now()}
    answer = client.post(f"{_API}/auth/{verb}", name=name, json=body, context=context)
    said = f"with status {answer.status_code}"
    if answer.status_code in {HTTPStatus.OK, HTTPStatus.CREATED}:
        try:
            return msgspec.json.decode(answer.content, type=_Tokens)
        except msgspec.DecodeError as error:  # a service that answers everything, but not with tokens
            said = f"without tokens: {error}"
    raise UsageError(
        f"the service answered the {verb} of {who} {said}",
        mend="load a service that runs and holds the data set of the sample",
    )
