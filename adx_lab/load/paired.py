"""Two variants at once: every arrival goes to both, in random order, the second after the first has answered.

What the machine does to one it does to the other within the same few milliseconds, so that it cancels when
the two are compared. Each variant has its own connections, its own people logged in and its own tokens; both
are made in the same way, or one would have an advantage.
"""

from __future__ import annotations

import random
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gevent
import msgspec
from locust.contrib.fasthttp import FastHttpSession

from adx_lab.errors import MeasurementError, UsageError
from adx_lab.load.accounts import log_in_accounts
from adx_lab.load.people import Account

if TYPE_CHECKING:
    from adx_lab.load.session import Session
    from adx_lab.load.spec import Rival

_ACCOUNTS = 8
"""Each login costs both variants an argon2id hash before every block; each block draws other people, so that
a duet's twelve mix the tenants all the same."""

_APART = 7_919


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
    session
        This process's part in the load.
    rivals
        The two.

    Raises
    ------
    UsageError
        The scenario is no open loop: a crowd's users wait for one variant before they ask the other.
    """

    def __init__(self, session: Session, rivals: tuple[Rival, ...]) -> None:
        self._scenario: Any = session.scenario
        if getattr(self._scenario, "load_kind", None) != "open":
            raise UsageError(
                f"{session.spec.scenario} is no open loop, and a duet needs one",
                mend="take a scenario that is an OpenLoopUser, such as mixed",
            )
        self._session = session
        self._rivals = rivals
        self._sides = [Side(rival.variant, self._client(rival.url)) for rival in rivals]

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
        order = list(self._sides)
        random.Random(self._session.spec.seed * _APART + number).shuffle(order)  # noqa: S311
        warming = intended < self._session.go.get()
        for place, side in enumerate(order):
            # The second is due when the first has answered: waiting for the other variant is not its own. But
            # a pair of the warm-up stays in it, or half of it would be measured.
            due = intended if place == 0 or warming else time.time()
            marks = {"variant": side.variant, "pair": number}
            user.act(side.client, side.accounts, due, number, endpoint, marks=marks)

    def _log_in(self, place: int) -> None:
        session, rival = self._session, self._rivals[place]
        if rival.sample_file is None:
            return
        few = SimpleNamespace(
            accounts=min(_ACCOUNTS, self._scenario.accounts), tenants=self._scenario.tenants
        )
        spec = msgspec.structs.replace(session.spec, sample_file=rival.sample_file)
        try:
            self._sides[place].accounts = log_in_accounts(session.environment, rival.url, few, spec)
        except UsageError as error:  # it is the variant that is wrong, and not who asked for the duet
            raise MeasurementError(f"{rival.variant} can't be loaded: {error}") from error

    def _client(self, url: str) -> FastHttpSession:
        session = self._session
        return FastHttpSession(
            url,
            session.environment.events.request,
            user=None,
            network_timeout=session.spec.timeout_s,
            connection_timeout=session.spec.timeout_s,
            concurrency=self._scenario.concurrency,
        )
