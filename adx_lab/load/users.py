"""Users for locustfiles, on behalf of real accounts of the data set.

A scenario says how often what is asked::

    class Mixed(OpenLoopUser):
        mix = {"GET /users": 3, "GET /auth/me": 1}

The names are those of `adx_lab.load.asks`; a scenario adds its own with `action`. Each arrival picks by
weight, and an account by its tenant's size. An `OpenLoopUser` sends every arrival when it is due, in a
greenlet of its own: a slow answer never delays the next arrival, and where it does all the same (no
connection free) the latency says so, since it counts from the intended start. A `CrowdUser` is one of many
who wait for their answer and then think; its latency counts from the end of the thinking.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import gevent
from gevent.pool import Pool
from locust import FastHttpUser, task
from locust.exception import StopUser

from adx_lab.load.arrivals import Stage, staged, warm_up
from adx_lab.load.asks import ASKS
from adx_lab.load.climbing import StepWatch
from adx_lab.load.people import Account
from adx_lab.load.replay import read_schedule
from adx_lab.load.session import DRAIN_S, current, register

_MARK = "__adx_action__"
_SEEDS_APART = 1_000_003
_NOBODY = Account("", "", "", 0.0, {"id": "", "users": [], "file_ids": [], "user_count": 0}, "none", {})


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that users do: how often, what it is called, and how it is asked."""

    weight: float
    endpoint: str
    group: str
    perform: Callable[[Ask], None]


def action(weight: float, endpoint: str, *, group: str) -> Callable[[Any], Any]:
    """Mark a method of a scenario as an action.

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
        setattr(method, _MARK, (weight, endpoint, group))
        return method

    return mark


class Ask:
    """Sends the requests of one arrival; the first counts from the intended start, others from their own."""

    __slots__ = ("_action", "_client", "_intended", "_marks", "account", "choose")

    def __init__(
        self,
        client: Any,
        chosen: Action,
        intended: float,
        account: Account,
        choose: random.Random,
        *,
        marks: Mapping[str, Any] | None = None,
    ) -> None:
        self._client = client
        self._action = chosen
        self._intended: float | None = intended
        self._marks = marks or {}
        self.account = account
        self.choose = choose

    def __call__(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: dict[str, str] | None = None,
        endpoint: str | None = None,
        **more: Any,
    ) -> Any:
        """Send one request and return Locust's response; ``endpoint`` where it is not the action's own."""
        name = endpoint or self._action.endpoint
        context: dict[str, Any] = {
            "endpoint": name,
            "group": self._action.group,
            "tenant": self.account.tenant_kind,
            **self._marks,
        }
        if self._intended is not None:
            context["intended"] = self._intended
            self._intended = None
        sent = {"Authorization": f"Bearer {self.account.token}", **(headers or {})}
        return self._client.request(method, path, name=name, json=body, headers=sent, context=context, **more)


class _Scenario(FastHttpUser):
    """What open loops and crowds share.

    Attributes
    ----------
    rate_per_s, duration_s, warmup_s, users
        The scenario's own; None leaves them to the settings. Flags win over both.
    accounts
        How many people log in before the load begins; argon2id makes each login dear on purpose, so that a
        crowd shares their sessions.
    tenants
        The kinds of tenants that they are drawn from: whale, large, median, small; None for all.
    """

    abstract = True
    mix: ClassVar[Mapping[str, float]] = {}
    rate_per_s: ClassVar[float | None] = None
    duration_s: ClassVar[float | None] = None
    warmup_s: ClassVar[float | None] = None
    users: ClassVar[int | None] = None
    accounts: ClassVar[int] = 48
    tenants: ClassVar[frozenset[str] | None] = None

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.session = current()
        self.actions = [*_from_mix(self.mix), *_from_methods(self)]
        self._weights = list(itertools.accumulate(item.weight for item in self.actions))
        self._by_name = {item.endpoint: item for item in self.actions}

    def perform(self, intended: float, number: int, endpoint: str | None = None) -> None:
        """Do one thing; the number of the arrival decides what, and on whose behalf."""
        if self.session.pair is not None:
            self.session.pair.perform(self, intended, number, endpoint)
        else:
            self.act(self.client, self.session.accounts, intended, number, endpoint)

    def act(
        self,
        client: Any,
        accounts: Sequence[Account],
        intended: float,
        number: int,
        endpoint: str | None = None,
        *,
        marks: Mapping[str, Any] | None = None,
    ) -> None:
        """Do the thing of this number with a client; ``marks`` are recorded with each of its requests."""
        # Seeded for each arrival: what it draws can't depend on which greenlet came first.
        choose = random.Random(self.session.spec.seed * _SEEDS_APART + number)  # noqa: S311
        chosen = choose.choices(self.actions, cum_weights=self._weights)[0]
        account = choose.choice(accounts) if accounts else _NOBODY
        chosen = self._by_name.get(endpoint or "", chosen)
        chosen.perform(Ask(client, chosen, intended, account, choose, marks=marks))


class OpenLoopUser(_Scenario):
    """One Locust user that stands for all of the crowd: it sends each arrival when it is due.

    Attributes
    ----------
    stages
        Rates one after another, where one rate is not enough.
    stop_at_budget
        End the load when a stage breaks a budget, and name the last one that did not.
    """

    abstract = True
    load_kind: ClassVar[Literal["open"]] = "open"
    concurrency = 400
    fixed_count = 1
    stages: ClassVar[tuple[Stage, ...]] = ()
    stop_at_budget: ClassVar[bool] = False

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.network_timeout = self.connection_timeout = self.session.spec.timeout_s

    @task
    def send_schedule(self) -> None:
        """Send every arrival at its time, wait for the answers, and end the run."""
        session = self.session
        began = session.go.get()
        watch = StepWatch(session, began) if session.plan.climbs else None
        pool = Pool(self.concurrency)
        blocked_s = 0.0
        for number, moment, endpoint in self._schedule():
            if session.ending:
                break
            intended = began + moment
            delay = intended - time.time()
            if delay > 0:
                gevent.sleep(delay)
            if watch is not None:
                watch.look()
            full_since = time.monotonic() if pool.full() else None
            pool.spawn(self.perform, intended, number, endpoint)
            if full_since is not None:
                blocked_s += time.monotonic() - full_since
            session.in_flight, session.blocked_s = len(pool), blocked_s
        session.in_flight = len(pool)
        pool.join(timeout=DRAIN_S)
        if watch is not None:
            watch.conclude()
        unanswered = len(pool)
        pool.kill()
        session.end()
        session.done(unanswered)
        raise StopUser  # Locust would start the task anew

    def _schedule(self) -> Iterator[tuple[int, float, str | None]]:
        session, plan = self.session, self.session.plan
        if session.spec.schedule_file is not None:
            yield from read_schedule(session.spec.schedule_file, index=session.index, workers=session.workers)
            return
        warmup = warm_up(plan.stages[0].rate_from, plan.warmup_s)
        # Each worker sends its share; shares of a Poisson process are Poisson processes.
        shares = [
            Stage(stage.rate_from / session.workers, stage.rate_to / session.workers, stage.seconds)
            for stage in (*warmup, *plan.stages)
        ]
        seed = session.spec.seed + session.index * _SEEDS_APART
        for number, moment in enumerate(staged(shares, -plan.warmup_s, seed)):
            yield number * session.workers + session.index, moment, None


class CrowdUser(_Scenario):
    """One of a crowd: thinks, asks, waits for the answer, thinks again.

    Thinking times are exponential and the first comes first, so that ten thousand users do not march in step.

    Attributes
    ----------
    think_s
        The mean.
    """

    abstract = True
    load_kind: ClassVar[Literal["crowd"]] = "crowd"
    concurrency = 1
    think_s: ClassVar[float] = 10.0
    _numbers = itertools.count()

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.network_timeout = self.connection_timeout = self.session.spec.timeout_s
        self._clock = random.Random(self.session.spec.seed + next(self._numbers))  # noqa: S311
        self._pause_s = 0.0

    def on_start(self) -> None:
        """Connect; the connection stays for as long as the user does."""
        connecting = Action(0, "GET /health", "gateway", ASKS["GET /health"][1])
        connecting.perform(Ask(self.client, connecting, time.time(), _NOBODY, self._clock))

    def wait_time(self) -> float:
        """Return how long to think; Locust asks after each task too, where there is no need."""
        pause_s, self._pause_s = self._pause_s, 0.0
        return pause_s

    @task
    def live(self) -> None:
        """Think, then ask."""
        session = self.session
        session.prepared.wait()
        self._pause_s = self._clock.expovariate(1 / self.think_s)
        due = time.time() + self._pause_s
        pause: Any = self.wait  # Locust's own, so that stopping need not wait for people who think
        pause()
        if session.ending:
            raise StopUser
        session.in_flight += 1
        try:
            self.perform(due, next(self._numbers) * session.workers + session.index)
        finally:
            session.in_flight -= 1


def _from_mix(mix: Mapping[str, float]) -> Iterator[Action]:
    for endpoint, weight in mix.items():
        group, perform = ASKS[endpoint]
        yield Action(weight, endpoint, group, perform)


def _from_methods(user: _Scenario) -> Iterator[Action]:
    for name in dir(type(user)):
        told = getattr(getattr(type(user), name), _MARK, None)
        if told is not None:
            yield Action(told[0], told[1], told[2], getattr(user, name))


register()
