"""What open loops and crowds share: a mix of actions, on behalf of people who are logged in."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from locust import FastHttpUser

from adx_lab.load.people import Account
from adx_lab.load.process.session import current
from adx_lab.load.users.actions import Ask, actions_of

SEEDS_APART = 1_000_003
NOBODY = Account("", "", "", 0.0, {"id": "", "users": [], "file_ids": [], "user_count": 0}, "none", {})


class Scenario(FastHttpUser):
    """A scenario of the lab; `OpenLoopUser` and `CrowdUser` say when its users ask.

    Attributes
    ----------
    rate_per_s, duration_s, warmup_s, users
        The scenario's own; None leaves them to the settings. Flags win over both.
    accounts
        How many people log in before the load begins; argon2id makes each login dear on purpose, so that a
        crowd shares their sessions.
    takes
        What can be asked of it on the command line, besides how long it lasts.
    tenants
        The kinds of tenants that they are drawn from: whale, large, median, small; None for all.
    """

    abstract = True
    takes: ClassVar[frozenset[str]] = frozenset()
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
        self.actions = [*actions_of(self)]
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
        choose = random.Random(self.session.order.seed * SEEDS_APART + number)  # noqa: S311
        chosen = choose.choices(self.actions, cum_weights=self._weights)[0]
        account = choose.choice(accounts) if accounts else NOBODY
        chosen = self._by_name.get(endpoint or "", chosen)
        chosen.perform(Ask(client, chosen, intended, account, choose, marks=marks))
