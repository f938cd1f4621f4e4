"""Who ended a test, told by whoever called Locust's ``stop`` or ``quit`` first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import gevent
import locust

_KNOWN = {
    "stop_and_optionally_quit": "Locust's run time (--run-time, LOCUST_RUN_TIME, or run-time in locust.conf)",
    "shape_worker": "its own load shape",
    "sig_term_handler": "a signal",
    "shutdown": "a signal, or Locust's own end",
    "heartbeat_worker": "the loss of its last worker",
    "dispatch_request": "the web page",
}
"""By the function of Locust or of the web page's server that calls."""

_LIBRARIES = tuple(str(Path(str(module.__file__)).parent) for module in (locust, gevent))
_OURS = str(Path(__file__).parents[1])


def watch_end(runner: Any, told: Callable[[str], None]) -> None:
    """Have it told who ends a runner's test, before it ends."""
    for name in ("stop", "quit"):
        setattr(runner, name, _watched(runner, getattr(runner, name), told))


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
        if not code.co_filename.startswith((*_LIBRARIES, _OURS)) and "site-packages" not in code.co_filename:
            return f"{Path(code.co_filename).name}, line {line}"
    return "Locust itself"


def _stack(frame: FrameType | None) -> Iterator[tuple[Any, int, str | None]]:
    while frame is not None:
        yield frame.f_code, frame.f_lineno, frame.f_locals.get("reason")
        frame = frame.f_back
