"""The secret of a run: who knows it may take part, and all that is told one another is encrypted with it."""

from __future__ import annotations

import hashlib
from typing import Any

import zmq
from zmq.utils import z85

SECRET_VARIABLE = "ADX_LOAD_SECRET"  # noqa: S105  # a name, no secret
"""Names the secret of the run in the environment of its master and workers."""

REFUSED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
"""How ZeroMQ ends a connection without the right key."""


def lock(socket: Any, secret: str, *, leads: bool) -> None:
    """Let a socket that is not connected yet talk only to those who know a secret."""
    private = z85.encode(hashlib.sha256(secret.encode()).digest())
    public = zmq.curve_public(private)
    socket.curve_publickey, socket.curve_secretkey = (public, private) if leads else zmq.curve_keypair()
    if leads:
        socket.curve_server = True
    else:
        socket.curve_serverkey = public
