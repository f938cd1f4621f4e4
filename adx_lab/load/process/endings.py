"""How a test ends: by whom, told by whoever called Locust's ``stop`` or ``quit`` first; and that it does.

Locust waits for ever for a user that catches what is to end it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import gevent

from adx_lab.load.places import is_theirs, place, standing

STOP_S = 30.0
"""How long users may take to end, once they are asked to."""

_AGAIN_S = 1.0
"""And once they are asked again."""

_TOLD_MAX = 5

_KNOWN = {
    "stop_and_optionally_quit": "Locust's run time (--run-time, LOCUST_RUN_TIME, or run-time in locust.conf)",
    "shape_worker": "its own load shape",
    "sig_term_handler": "a signal",
    "shutdown": "a signal, or Locust's own end",
    "heartbeat_worker": "the loss of its last worker",
    "dispatch_request": "the web page",
}
"""By the function of Locust or of the web page's server that calls."""


def watch_end(runner: Any, told: Callable[[str], None]) -> None:
    """Have it told who ends a runner's test, before it ends."""
    for name in ("stop", "quit"):
        setattr(runner, name, _watched(runner, getattr(runner, name), told))


def end_in_time(runner: Any, told: Callable[[int, list[str]], None]) -> None:
    """Leave behind the users of a runner that do not end; tell how many, and where some of them stand."""
    stop_users = runner.stop_users

    def stopped(counts: dict[str, int]) -> None:
        if sum(counts.values()) < runner.user_count:  # a load that shrinks: the others go on
            stop_users(counts)
            return
        # Told now: a greenlet that is being killed forgets whose it is.
        kinds = {user: type(user.args[0]).__name__ for user in runner.user_greenlets if user.args}
        stopping = gevent.spawn(stop_users, counts)
        stopping.join(STOP_S)
        if stopping.ready():
            stopping.get()
        else:
            stopping.kill(block=False)
            _leave_behind(runner, {user: kind for user, kind in kinds.items() if not user.ready()}, told)

    runner.stop_users = stopped


def _leave_behind(runner: Any, left: dict[Any, str], told: Callable[[int, list[str]], None]) -> None:
    places = [f"{kind} in {standing(user.gr_frame) or 'Locust'}" for user, kind in left.items()]
    told(len(left), sorted(set(places))[:_TOLD_MAX])
    for user in left:
        user.kill(block=False)
    gevent.joinall(list(left), timeout=_AGAIN_S)
    for user in left:
        runner.user_greenlets.discard(user)


def _watched(runner: Any, end: Callable[..., Any], told: Callable[[str], None]) -> Callable[..., Any]:
    def ended(*args: Any, **more: Any) -> Any:
        told(_caller(sys._getframe(1)))  # noqa: SLF001  # inspect.stack reads every file on the way
        if gevent.getcurrent() in runner.user_greenlets:
            # A user that ends the test is ended with it: the rest of the work would never be done.
            return gevent.spawn(end, *args, **more).get()
        return end(*args, **more)

    return ended


def _caller(frame: FrameType) -> str:
    for code, line, reason in _stack(frame):
        if code.co_name in _KNOWN and "site-packages" in code.co_filename:
            return _KNOWN[code.co_name] if reason is None or "run-time" in reason else reason
        if is_theirs(code.co_filename):
            return place(code.co_filename, line)
    return "Locust itself"


def _stack(frame: FrameType | None) -> Iterator[tuple[Any, int, str | None]]:
    while frame is not None:
        yield frame.f_code, frame.f_lineno, frame.f_locals.get("reason")
        frame = frame.f_back
