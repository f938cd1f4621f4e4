"""Ask whether a master lets this machine in, before a worker's Locust starts."""

from __future__ import annotations

import os

import zmq
from zmq.utils.monitor import parse_monitor_message

from adx_lab.errors import UsageError
from adx_lab.load.secret import REFUSED, SECRET_VARIABLE, lock

_PATIENCE_S = 60.0
_MEND = f"give the master and its workers the same {SECRET_VARIABLE}"


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
            monitor.close()
    if event != zmq.EVENT_HANDSHAKE_SUCCEEDED:
        raise UsageError(f"the master at {place} refuses this worker", mend=_MEND)
