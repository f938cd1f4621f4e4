"""Say who left: a locustfile that calls ``sys.exit`` while Locust starts leaves no traceback in its log."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from locust import events, main

from adx_lab.load.places import LEFT, is_theirs, raised_at


def tell_leavers() -> None:
    """Let whoever leaves Locust while it imports files, or in a listener of its start, say so in its log."""
    loading: Any = main
    loading.load_locustfile = _telling(loading.load_locustfile)
    for event in (events.init_command_line_parser, events.init, events.test_start):
        setattr(event, "fire", _telling(event.fire))  # noqa: B010  # of this event alone


def _telling(call: Callable[..., Any]) -> Callable[..., Any]:
    def told(*args: Any, **more: Any) -> Any:
        try:
            return call(*args, **more)
        except SystemExit as left:
            at = raised_at(left.__traceback__)
            if at is not None:
                sys.stderr.write(f"\n{LEFT}{_words(left)}({at})\n")
            raise

    return told


def _words(left: SystemExit) -> str:
    """Return what somebody leaves with; nothing where a library called ``exit``, which has said why."""
    if isinstance(left.code, str) and left.code.strip():
        return f"{' '.join(left.code.split())} "
    innermost = left.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    own = innermost is not None and is_theirs(innermost.tb_frame.f_code.co_filename)
    return f"sys.exit({'' if left.code is None else left.code}) " if own else ""
