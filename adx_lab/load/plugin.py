"""Take part in a Locust process, whoever started it: record its tests, and show them in its web page."""

from __future__ import annotations

import faulthandler
import os
from typing import Any

import gevent
from locust import events

from adx_lab.load.places import STAND_SIGNAL
from adx_lab.load.process.admission import ask_for_secret
from adx_lab.load.process.connections import mend_connections
from adx_lab.load.process.credentials import trust_as_told
from adx_lab.load.process.master import MasterSession
from adx_lab.load.process.session import Session, set_current
from adx_lab.load.process.worker import WorkerSession
from adx_lab.load.recording.rows import warm_arrow
from adx_lab.load.recording.unfinished import watch_locust
from adx_lab.load.web.tab import add_tab
from adx_lab.processes import die_with

_KINDS: dict[str, type[Session]] = {"MasterRunner": MasterSession, "WorkerRunner": WorkerSession}


def register() -> None:
    """Take part in whatever this Locust process does; once, however many files ask for it."""
    if _start not in events.init._handlers:  # noqa: SLF001  # Locust has no other way to ask
        faulthandler.register(STAND_SIGNAL, all_threads=False)
        warm_arrow()
        ask_for_secret()
        _end_workers_with_us()
        mend_connections()
        trust_as_told()
        watch_locust()
        _listen(events.init_command_line_parser, _add_arguments)
        _listen(events.init, _start)


def _listen(event: Any, listener: Any) -> None:
    event.add_listener(listener)


def _end_workers_with_us() -> None:
    """Let no worker outlive who forked it, not even one that still waits for its master's first word."""
    fork, master = gevent.fork, os.getpid()

    def forked(*args: Any, **more: Any) -> int:
        pid = int(fork(*args, **more))
        if not pid:
            die_with(master)
        return pid

    gevent.fork = forked


def _add_arguments(parser: Any) -> None:
    parser.add_argument("--rate", type=float, default=None, help="requests a second of an open loop")


def _start(environment: Any, **_: Any) -> None:
    set_current(_KINDS.get(type(environment.runner).__name__, Session)(environment))
    if environment.web_ui is not None:
        add_tab(environment)
