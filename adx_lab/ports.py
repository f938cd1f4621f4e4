"""Ports of this machine, asked for before a server is started on one: a taken one is one clear line."""

from __future__ import annotations

import socket

from adx_lab.errors import UsageError

HOST = "127.0.0.1"


def require_free(port: int) -> None:
    """Return if a server can listen on ``port`` of this machine; 0 means any and is always free.

    Raises
    ------
    UsageError
        It is not a port, is taken, or may not be used by this account.
    """
    if not 0 <= port < 65_536:
        raise UsageError(f"--port {port} is not a port", mend="give one from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"port {port} can't be used: {error.strerror}", mend="choose another with --port"
            ) from error


def is_free(port: int) -> bool:
    """Tell whether a server can listen on ``port`` of this machine."""
    try:
        require_free(port)
    except UsageError:
        return False
    return True
