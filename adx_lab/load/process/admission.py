"""Who may join a load: whoever knows the secret of the run. All that they tell one another is encrypted.

Locust's master takes in whoever connects, and hands out what it has. ZeroMQ, over which it listens, can ask
for a key (CURVE); Locust doesn't offer that. Here both keys of a run come from its secret, so that a master
and its workers need nothing else in common, and a stranger's connection ends before he has heard a word.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import zmq
from locust.rpc.zmqrpc import BaseSocket
from zmq.utils.monitor import parse_monitor_message

from adx_lab.load.secret import REFUSED, SECRET_VARIABLE, lock


def ask_for_secret() -> None:
    """Let this process's Locust talk only to those who know the secret of the run, where it has one."""
    secret = os.environ.get(SECRET_VARIABLE)
    if secret:
        opened: Any = BaseSocket
        opened.__init__ = _locked(opened.__init__, secret)


def _locked(opened: Callable[..., None], secret: str) -> Callable[..., None]:
    def init(self: Any, kind: int, ipv4_only: bool) -> None:
        opened(self, kind, ipv4_only)
        lock(self.socket, secret, leads=kind == zmq.ROUTER)

    return init


def watch_strangers(socket: Any, refused: Callable[[], None]) -> None:
    """Call ``refused`` each time that somebody without the secret was turned away; never returns."""
    monitor = socket.get_monitor_socket(REFUSED)
    while True:
        parse_monitor_message(monitor.recv_multipart())
        refused()


def versions() -> dict[str, str]:
    """Return what a master and its workers must have alike."""
    return {name: version(name) for name in ("adx-lab", "locust")}
