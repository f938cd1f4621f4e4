"""Somebody else's users, sent by a schedule: what makes a plain locustfile an open loop, and comparable.

A twin is one user of the file a variant. Each arrival takes a free twin and lets it do one task: at one
variant, then at the other, with the same random numbers, so that both ask for the same. Nobody thinks in
between, since the schedule says when; a user's own order of tasks (nested and sequential ones) is kept.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import gevent
from gevent.local import local
from gevent.queue import Queue
from locust import TaskSet, events
from locust.exception import InterruptTaskSet, RescheduleTask, StopUser
from locust.user.task import DefaultTaskSet

from adx_lab.load.order import read_order
from adx_lab.load.process.credentials import log_users_in
from adx_lab.load.users.open_loop import OpenLoopUser
from adx_lab.load.users.scenario import SEEDS_APART

_TWINS = 16
_PATCHED = (
    "random", "uniform", "randint", "randrange", "choice", "choices", "sample", "shuffle", "gauss",
    "expovariate", "triangular", "betavariate", "normalvariate", "lognormvariate", "paretovariate",
    "weibullvariate", "getrandbits", "randbytes", "seed", "getstate", "setstate",
)  # fmt: skip
_shared = random.Random()  # noqa: S311  # a load, no secret
_own = local()


def share_random_numbers() -> None:
    """Let each greenlet have random numbers of its own, so that a twin's tasks can be given the same twice.

    Called before a locustfile is imported: what it takes out of `random` by name is then ours, too.
    """
    for name in _PATCHED:
        setattr(random, name, _dispatch(name))


def _dispatch(name: str) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        return getattr(getattr(_own, "numbers", _shared), name)(*arguments, **named)

    return call


class Twin:
    """One user of a class for each variant that it asks."""

    def __init__(self, kind: type[Any], environment: Any) -> None:
        self.kind, self._environment = kind, environment
        self._members: dict[str, Any] = {}
        self._nested: dict[tuple[int, type[Any]], Any] = {}

    def meet(self, variant: str, url: str, headers: Mapping[str, str]) -> None:
        """Make the user that asks a variant, and let it start."""
        fields = {"host": url, "abstract": True, "default_headers": dict(headers) or None}
        user = type(self.kind.__name__, (self.kind,), fields)(self._environment)
        if headers and hasattr(getattr(user, "client", None), "headers"):
            user.client.headers.update(headers)
        user._taskset_instance = DefaultTaskSet(user)  # noqa: SLF001  # as Locust's own `User.run` does
        self._members[variant] = user
        user.on_start()

    def do(self, variant: str, number: int, seed: int, words: Mapping[str, Any], intended: float) -> None:
        """Let one member do its next task; only the task's first request is due at ``intended``."""
        user, first = self._members[variant], iter([{"intended": intended, "adx_intended": intended}])
        user.context = lambda: {**words, **next(first, {})}
        # Seeded for each arrival, as the scenarios of the lab are: what it draws depends on nothing else.
        with self._drawing(user, random.Random(seed * SEEDS_APART + number)):  # noqa: S311
            self._step(user._taskset_instance)  # noqa: SLF001

    def do_one(self, variant: str, path: Sequence[type[TaskSet]], done: Any, numbers: random.Random) -> None:
        """Let one member do one task, in the task sets that it is nested in; of a sequence, all its tasks."""
        user = self._members[variant]
        with self._drawing(user, numbers):
            tasks = outer = user._taskset_instance  # noqa: SLF001
            for kind in path:
                outer, tasks = tasks, self._within(tasks, kind)
            if isinstance(done, type) and issubclass(done, TaskSet):
                all(self._enter(tasks, done) for _ in done.tasks)
                return
            try:
                tasks.execute_task(done)
            except InterruptTaskSet:
                self._leave(outer, path[-1] if path else None)

    @contextmanager
    def _drawing(self, user: Any, numbers: random.Random) -> Iterator[None]:
        """Let a member draw from its own random numbers, and end its task in any way."""
        _own.numbers = numbers
        try:
            yield
        except (InterruptTaskSet, RescheduleTask, StopUser):
            pass  # its own way to end a task
        except Exception as error:  # noqa: BLE001  # what a task raises is told as Locust tells it
            user.environment.events.user_error.fire(user_instance=user, exception=error, tb=sys.exc_info()[2])

    def _step(self, tasks: Any) -> None:
        task = tasks.get_next_task()
        if isinstance(task, type) and issubclass(task, TaskSet):
            self._enter(tasks, task)
        else:
            tasks.execute_task(task)

    def _enter(self, tasks: Any, kind: type[TaskSet]) -> bool:
        """Do the next task of a nested set, and return whether it goes on with that set afterwards."""
        try:
            self._step(self._within(tasks, kind))
        except InterruptTaskSet:
            self._leave(tasks, kind)
            return False
        return True

    def _within(self, tasks: Any, kind: type[TaskSet]) -> Any:
        """Return a nested set, begun once."""
        key = (id(tasks), kind)
        if key not in self._nested:
            parent = tasks.user if isinstance(tasks, DefaultTaskSet) else tasks
            self._nested[key] = kind(parent)
            self._nested[key].on_start()
        return self._nested[key]

    def _leave(self, tasks: Any, kind: type[TaskSet] | None) -> None:
        if kind is not None:
            self._nested.pop((id(tasks), kind)).on_stop()


class _Asking:
    """What `Pair` lets ask: one twin, variant by variant."""

    def __init__(self, twin: Twin, seed: int) -> None:
        self._twin, self._seed = twin, seed

    def act(
        self,
        _client: Any,
        _accounts: Any,
        due: float,
        number: int,
        _endpoint: Any,
        *,
        marks: Mapping[str, Any],
    ) -> None:
        words = {**marks, **{f"adx_{name}": value for name, value in marks.items()}}
        self._twin.do(str(marks["variant"]), number, self._seed, words, due)


class PlainOpenLoop(OpenLoopUser):
    """One Locust user that sends somebody else's users by a schedule."""

    abstract = True
    takes = frozenset({"rate_per_s", "users"})
    kinds: ClassVar[Sequence[type[Any]]] = ()
    concurrency = _TWINS
    accounts = 0

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._free: Queue[Twin] = Queue()
        self._sides: list[tuple[str, str, Mapping[str, str]]] = []

    def on_start(self) -> None:
        """Make the twins, before the measured part: their own starts and logins are no part of it."""
        self.session.prepared.wait()
        self._sides = sides_of(self.session, self.host or "")
        weighted = [kind for kind in self.kinds for _ in range(max(1, int(getattr(kind, "weight", 1))))]
        kinds = itertools.cycle(weighted)
        count = max(self.session.order.users or _TWINS, len(weighted))
        twins = [Twin(next(kinds), self.environment) for _ in range(count)]
        jobs = [gevent.spawn(twin.meet, *side) for twin in twins for side in self._sides]
        gevent.joinall(jobs, raise_error=True)
        for twin in twins:
            self._free.put(twin)

    def perform(self, intended: float, number: int, _endpoint: str | None = None) -> None:
        """Let a free twin do one task, at each variant."""
        twin, seed = self._free.get(), self.session.order.seed
        asking = _Asking(twin, seed)
        try:
            if self.session.pair is not None:
                self.session.pair.perform(asking, intended, number, None)
            else:
                variant = self._sides[0][0]
                asking.act(None, None, intended, number, None, marks={"variant": variant, "pair": -1})
        finally:
            self._free.put(twin)


def sides_of(session: Any, host: str) -> list[tuple[str, str, Mapping[str, str]]]:
    """Return whom a load asks: variant, URL, and the headers of who is logged in."""
    if session.pair is not None:
        return [(rival.variant, rival.url, rival.headers) for rival in session.pair.rivals]
    return [(session.order.variant, host, session.order.headers)]


def send_plain_users() -> None:
    """Send a plain file's users by the schedule, where the order asks for a duet or a rate."""
    order = read_order()
    if order is None:
        return
    if order.headers and not (order.rivals_file or order.rate_per_s):
        events.init._handlers.insert(0, partial(log_users_in, order.headers))  # noqa: SLF001
    if not (order.rivals_file or order.rate_per_s):
        return
    if order.rivals_file:
        share_random_numbers()
    handlers: Any = events.init._handlers  # noqa: SLF001  # before the session, which looks at the users
    handlers.insert(0, _replace_users)


def _replace_users(environment: Any, **_: Any) -> None:
    if environment.user_classes and not any(hasattr(kind, "load_kind") for kind in environment.user_classes):
        environment.user_classes = [plain_open_loop(environment)]
        environment.shape_class = None  # the schedule says how many come, and when


def plain_open_loop(environment: Any) -> type[PlainOpenLoop]:
    """Return the one user that sends all of a plain file's users."""
    fields = {"abstract": False, "kinds": tuple(environment.user_classes), "host": environment.host}
    return type("PlainOpenLoop", (PlainOpenLoop,), fields)
