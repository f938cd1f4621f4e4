"""What a scenario's users do: a weighted action, and the requests that one arrival of it sends."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adx_lab.load.asks import ASKS
from adx_lab.load.people import Account

_MARK = "__adx_action__"


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
            "adx_endpoint": name,
            "adx_group": self._action.group,
            "adx_tenant": self.account.tenant_kind,
            **{f"adx_{mark}": value for mark, value in self._marks.items()},
        }
        if self._intended is not None:
            context["adx_intended"] = self._intended
            self._intended = None
        sent = {"Authorization": f"Bearer {self.account.token}", **(headers or {})}
        return self._client.request(method, path, name=name, json=body, headers=sent, context=context, **more)


def actions_of(user: Any) -> Iterator[Action]:
    """Yield what the users of a scenario do: its mix, and its own methods."""
    for endpoint, weight in user.mix.items():
        group, perform = ASKS[endpoint]
        yield Action(weight, endpoint, group, perform)
    for name in dir(type(user)):
        told = getattr(getattr(type(user), name), _MARK, None)
        if told is not None:
            yield Action(told[0], told[1], told[2], getattr(user, name))
