"""What was asked of a load on the command line and can't be obeyed is refused: it is never ignored."""

from __future__ import annotations

from typing import Any

from adx_lab.errors import UsageError
from adx_lab.load.order import LoadOrder

_FLAGS = {
    "users": "--users",
    "rate_per_s": "--rate",
    "spawn_per_s": "--spawn-rate",
    "replay_file": "--replay",
}
_PLAIN = frozenset({"users", "spawn_per_s"})
"""What Locust's own users can be asked."""


def refuse_what_it_takes_not(order: LoadOrder, scenario: Any) -> None:
    """Return where a load can do what was asked of it.

    Raises
    ------
    UsageError
        It sends a schedule and was asked for users, or the like.
    """
    takes: frozenset[str] = _PLAIN if scenario is None else scenario.takes
    asked = {*order.given, *(("replay_file",) if order.replay_file else ())}
    for name, flag in _FLAGS.items():
        if name in asked - takes:
            known = " and ".join(flag for other, flag in _FLAGS.items() if other in takes)
            raise UsageError(
                f"{order.scenario} {_why(name, scenario)}: {flag} says nothing to it",
                mend=f"leave it out; it takes {known}",
            )


def _why(name: str, scenario: Any) -> str:
    if name == "replay_file" and (scenario is None or "users" in scenario.takes):
        return "has users who choose themselves what they ask for"
    kind = getattr(scenario, "load_kind", "other")
    return "sends its requests by a schedule" if kind == "open" else "has users who ask when they like"
