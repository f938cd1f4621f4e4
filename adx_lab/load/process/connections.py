"""Connections of a large crowd: as many as it needs, and one for each user instead of one for each request.

Before it uses a connection again, the client under Locust's `FastHttpUser` (geventhttpclient 2.6.1) looks
whether it is still alive, by ``select``. That system call knows no file above 1,023 (``FD_SETSIZE``) and
refuses; the client takes the refusal for a dead connection, closes it and connects anew. So from the
thousandth user on each request paid for two connections, the service for the other end of them, and nobody
stayed connected. ``poll`` has no such limit.

It also has a numeric address looked up in a thread, at every connect; there is nothing to look up.

The mend is made in the library's class and not in a subclass, since somebody else's locustfile must be
measured with it too, as it stands.
"""

# ruff: noqa: SLF001  # there is no public way in

from __future__ import annotations

import resource
import select
import socket
from typing import Any

from gevent import monkey
from geventhttpclient.connectionpool import ConnectionPool

from adx_lab.errors import UsageError

# Locust has replaced both by ones that hand over to other greenlets; these never wait, and need not.
_poll = monkey.get_original("select", "poll")
_getaddrinfo = monkey.get_original("socket", "getaddrinfo")
_resolve_name = ConnectionPool._resolve

_OWN = 300
"""What a Locust process has open besides its connections."""


def mend_connections() -> None:
    """Mend the library's connection pools, of all clients of this process."""
    pool: Any = ConnectionPool
    pool._is_socket_alive = _is_alive
    pool._resolve = _resolve


def _is_alive(_pool: ConnectionPool, sock: Any) -> bool:
    """Tell whether an idle connection can be used again: nothing to read, no end, no error."""
    if sock is None or sock.fileno() < 0:
        return False
    asked = _poll()
    asked.register(sock.fileno(), select.POLLIN)
    return not asked.poll(0)


def _resolve(pool: Any) -> Any:
    try:
        return _getaddrinfo(
            pool._connection_host,
            pool._connection_port,
            socket.AF_UNSPEC,
            socket.SOCK_STREAM,
            socket.SOL_TCP,
            socket.AI_NUMERICHOST,
        )
    except socket.gaierror:  # a name: a resolver's work, which can take a while
        return _resolve_name(pool)


def allow_connections(connections: int) -> int:
    """Raise this process's limit of open files so far that it can hold so many connections.

    Returns
    -------
    int
        The limit.

    Raises
    ------
    UsageError
        The system's hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OWN
    if soft >= needed:
        return soft
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UsageError(
            f"{connections:,} connections need {needed:,} open files, the hard limit is {hard:,}",
            mend=f"raise it (ulimit -Hn {needed}) or spread the load with --workers",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return needed
