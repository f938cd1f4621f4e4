"""What a load will be, once the scenario, the order and the defaults have had their say.

A scenario's locustfile is the single place that knows its rate or its crowd, so that the command line, the
web page and plain ``locust -f`` make the same load. Locust's process decides; the lab reads what was decided.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from adx_lab.load.order import LoadOrder
from adx_lab.load.schedules.arrivals import Stage
from adx_lab.settings import LoadSettings

ENDLESS_S = 30 * 86_400.0
ENDED_BY_SCHEDULE, ENDED_BY_BUDGET = "its schedule", "a broken budget"
"""Who ends a load that ends as it should."""

SPAWN_PER_S = 500.0
"""How many users a crowd gains each second: a connection each, which takes the service some work."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A load as it will be.

    Attributes
    ----------
    kind
        ``open``: a schedule, whatever the service does. ``crowd``: users who think between requests.
        ``other``: somebody else's users.
    stages
        Of an open load, from the end of the warm-up on.
    users
        Of a crowd; an open load has one user for each Locust process.
    """

    kind: Literal["open", "crowd", "other"]
    duration_s: float
    warmup_s: float
    stages: tuple[Stage, ...] = ()
    users: int = 1
    think_s: float = 0.0
    spawn_per_s: float = SPAWN_PER_S
    climbs: bool = False

    def describe(self) -> str:
        """Return the load in words."""
        lasting = "until it is stopped" if self.duration_s >= ENDLESS_S else f"for {self.duration_s:g} s"
        if self.kind == "open":
            first, last = self.stages[0].rate_from, self.stages[-1].rate_to
            rate = f"{first:g}" if first == last else f"{first:g} to {last:g}"
            what = f"{rate} requests/s"
        else:
            what = f"{self.users:,} users"
            if self.think_s:
                what += f" who think {self.think_s:g} s on average"
        return f"{what} {lasting}, after {self.warmup_s:g} s of warm-up"


def make_schedule(order: LoadOrder, scenario: Any, defaults: LoadSettings) -> Schedule:
    """Decide what the load will be.

    Parameters
    ----------
    order
        What was asked for; None leaves it to the scenario.
    scenario
        The user class, or None for somebody else's.
    defaults
        For what neither names.
    """
    kind: Literal["open", "crowd", "other"] = getattr(scenario, "load_kind", "other")

    def chosen(name: str) -> Any:
        asked, own = getattr(order, name), getattr(scenario, name, None)
        return asked if asked is not None else own if own is not None else getattr(defaults, name)

    duration_s = ENDLESS_S if order.endless and order.duration_s is None else float(chosen("duration_s"))
    schedule = Schedule(
        kind=kind,
        duration_s=duration_s,
        warmup_s=float(chosen("warmup_s")),
        users=int(chosen("users")),
        think_s=float(getattr(scenario, "think_s", 0.0)),
        # A crowd's arrival is work too; a handful of users need not hurry.
        spawn_per_s=min(SPAWN_PER_S, float(chosen("users"))),
    )
    if kind != "open":
        return schedule
    own_stages: tuple[Stage, ...] = getattr(scenario, "stages", ())
    climbs = bool(own_stages) and order.rate_per_s is None
    stages = own_stages if climbs else (_steady(float(chosen("rate_per_s")), duration_s),)
    if climbs and order.duration_s is not None:
        times = duration_s / sum(stage.seconds for stage in stages)
        stages = tuple(msgspec.structs.replace(stage, seconds=times * stage.seconds) for stage in stages)
    return msgspec.structs.replace(
        schedule,
        users=1,
        stages=stages,
        duration_s=sum(stage.seconds for stage in stages),
        climbs=climbs and bool(getattr(scenario, "stop_at_budget", False)),
    )


def _steady(rate_per_s: float, seconds: float) -> Stage:
    return Stage(rate_per_s, rate_per_s, seconds)
