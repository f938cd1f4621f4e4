"""The secret of a run, by which its master lets workers in; asked for before a worker's Locust starts."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from adx_lab.errors import UsageError

SECRET_VARIABLE = "ADX_LOAD_SECRET"  # noqa: S105  # a name, no secret
"""Names the secret of the run in the environment of its master and workers."""

REFUSED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
"""How ZeroMQ ends a connection without the right key."""

_PATIENCE_S = 60.0
_MEND = f"give the master and its workers the same {SECRET_VARIABLE}"


def lock(socket: Any, secret: str, *, leads: bool) -> None:
    """Let a socket that is not connected yet talk only to those who know a secret."""
    private = z85.encode(hashlib.sha256(secret.encode()).digest())
    public = zmq.curve_public(private)
    socket.curve_publickey, socket.curve_secretkey = (public, private) if leads else zmq.curve_keypair()
    if leads:
        socket.curve_server = True
    else:
        socket.curve_serverkey = public


def require_admission(host: str, port: int) -> None:
    """Return if a master lets this machine in.

    Raises
    ------
    UsageError
        No secret was given, or the master has another, or nobody answers there.
    """
    secret = os.environ.get(SECRET_VARIABLE)
    if not secret:
        raise UsageError(f"a worker needs the secret of the run in {SECRET_VARIABLE}", mend=_MEND)
    place = f"{host}:{port}"
    with zmq.Context() as context, context.socket(zmq.DEALER) as knocking:
        knocking.linger = 0
        lock(knocking, secret, leads=False)
        monitor = knocking.get_monitor_socket(
            REFUSED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        )
        try:
            knocking.connect(f"tcp://{place}")
            # Until then ZeroMQ connects again and again: a master may come later than its workers.
            if not monitor.poll(int(_PATIENCE_S * 1000)):
                raise UsageError(f"no master answers at {place}", mend="start it first")
            event = parse_monitor_message(monitor.recv_multipart())["event"]
        except zmq.ZMQError as error:
            raise UsageError(f"{place} is no master's HOST:PORT: {error}") from error
        finally:
            knocking.disable_monitor()
    if event != zmq.EVENT_HANDSHAKE_SUCCEEDED:
        raise UsageError(f"the master at {place} refuses this worker", mend=_MEND)
