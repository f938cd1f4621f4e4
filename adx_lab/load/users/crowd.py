"""A crowd: people who wait for their answer, think, and ask again."""

from __future__ import annotations

import itertools
import random
from typing import Any, ClassVar, Literal

from locust import task
from locust.exception import StopUser

from adx_lab import clock
from adx_lab.load.asks import ASKS
from adx_lab.load.users.actions import Action, Ask
from adx_lab.load.users.scenario import NOBODY, Scenario


class CrowdUser(Scenario):
    """One of a crowd: thinks, asks, waits for the answer, thinks again.

    Thinking times are exponential and the first comes first, so that ten thousand users do not march in step.

    Attributes
    ----------
    think_s
        The mean.
    """

    abstract = True
    load_kind: ClassVar[Literal["crowd"]] = "crowd"
    takes = frozenset({"users", "spawn_per_s"})
    concurrency = 1
    think_s: ClassVar[float] = 10.0
    _numbers = itertools.count()

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.network_timeout = self.connection_timeout = self.session.order.timeout_s
        self._clock = random.Random(self.session.order.seed + next(self._numbers))  # noqa: S311
        self._pause_s = 0.0

    def on_start(self) -> None:
        """Connect; the connection stays for as long as the user does."""
        connecting = Action(0, "GET /health", "gateway", ASKS["GET /health"][1])
        connecting.perform(Ask(self.client, connecting, clock.now(), NOBODY, self._clock))

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
        due = clock.now() + self._pause_s
        pause: Any = self.wait  # Locust's own, so that stopping need not wait for people who think
        pause()
        if session.ending:
            raise StopUser
        session.in_flight += 1
        try:
            self.perform(due, next(self._numbers) * session.workers + session.index)
        finally:
            session.in_flight -= 1
