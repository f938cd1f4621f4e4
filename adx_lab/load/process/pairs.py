"""Two variants at once: every arrival goes to both, in random order, the second after the first has answered.

What the machine does to one it does to the other within the same few milliseconds, so that it cancels when
the two are compared. Each variant has its own connections, its own people logged in and its own tokens; both
are made in the same way, or one would have an advantage.
"""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import gevent
import msgspec
from gevent.event import AsyncResult
from locust.contrib.fasthttp import FastHttpSession

from adx_lab import clock
from adx_lab.errors import MeasurementError, UsageError
from adx_lab.load.order import LoadOrder, Rival, awaited_file, read_rivals
from adx_lab.load.people import Account
from adx_lab.load.process.logins import log_in_accounts

_ACCOUNTS = 8
"""Each login costs both variants an argon2id hash before every block; each block draws other people, so that
a duet's twelve mix the tenants all the same."""

_APART = 7_919
_LOOK_EVERY_S = 0.02


class Side:
    """One of the two: its client and its people."""

    def __init__(self, variant: str, client: FastHttpSession) -> None:
        self.variant = variant
        self.client = client
        self.accounts: list[Account] = []


class Pair:
    """The two variants of a duet, as a load sees them.

    Parameters
    ----------
    environment
        Locust's.
    scenario
        The scenario's user class.
    order
        What the load is.
    rivals
        The two.
    go
        Set to the moment at which the measured part begins.

    Raises
    ------
    UsageError
        The scenario is no open loop: a crowd's users wait for one variant before they ask the other.
    """

    def __init__(
        self,
        environment: Any,
        scenario: Any,
        order: LoadOrder,
        rivals: tuple[Rival, ...],
        go: AsyncResult[float],
    ) -> None:
        self._scenario: Any = scenario
        if getattr(self._scenario, "load_kind", None) != "open":
            raise UsageError(
                f"{order.scenario} is no open loop, and a duet needs one",
                mend="take a scenario that is an OpenLoopUser, such as mixed",
            )
        self._environment = environment
        self._order = order
        self._go = go
        self._rivals = rivals
        self._sides = [Side(rival.variant, self._client(rival.url)) for rival in rivals]

    @property
    def rivals(self) -> tuple[Rival, ...]:
        """The two, as they were introduced."""
        return self._rivals

    def log_in(self) -> None:
        """Log the same people in at both, at the same time.

        Raises
        ------
        MeasurementError
            One of them lets nobody in.
        """
        jobs = [gevent.spawn(self._log_in, place) for place in range(len(self._sides))]
        gevent.joinall(jobs)
        for job in jobs:
            job.get()

    def perform(self, user: Any, intended: float, number: int, endpoint: str | None) -> None:
        """Send one arrival to both. The number decides what is asked, and who is asked first."""
        sides = list(self._sides)
        random.Random(self._order.seed * _APART + number).shuffle(sides)  # noqa: S311
        warming = intended < self._go.get()
        for place, side in enumerate(sides):
            # The second is due when the first has answered: waiting for the other variant is not its own. But
            # a pair of the warm-up stays in it, or half of it would be measured.
            due = intended if place == 0 or warming else clock.now()
            marks = {"variant": side.variant, "pair": number}
            user.act(side.client, side.accounts, due, number, endpoint, marks=marks)

    def _log_in(self, place: int) -> None:
        rival = self._rivals[place]
        if rival.sample_file is None:
            return
        few = SimpleNamespace(
            accounts=min(_ACCOUNTS, self._scenario.accounts), tenants=self._scenario.tenants
        )
        order = msgspec.structs.replace(self._order, sample_file=rival.sample_file)
        try:
            self._sides[place].accounts = log_in_accounts(self._environment, rival.url, few, order)
        except UsageError as error:  # it is the variant that is wrong, and not who asked for the duet
            raise MeasurementError(f"{rival.variant} can't be loaded: {error}") from error

    def _client(self, url: str) -> FastHttpSession:
        return FastHttpSession(
            url,
            self._environment.events.request,
            user=None,
            network_timeout=self._order.timeout_s,
            connection_timeout=self._order.timeout_s,
            concurrency=self._scenario.concurrency,
        )


def await_rivals(path: str) -> tuple[Rival, ...]:
    """Return the two variants; whoever starts them stops this process where they never answer.

    Says that it waits: what is measured without load must not have a process beside it that still starts.
    """
    awaited_file(path).touch()
    while not (rivals := read_rivals(path)):
        gevent.sleep(_LOOK_EVERY_S)
    return rivals
