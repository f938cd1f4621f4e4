"""A proxy that delays: what PostgreSQL and Valkey cost when they are not on this machine."""

from __future__ import annotations

import asyncio
import multiprocessing
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, unquote, urlsplit

import uvloop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

Address = str | tuple[str, int]
"""A Unix socket's path, or host and port."""


@contextmanager
def delaying(urls: tuple[str, ...], round_trip_s: float) -> Iterator[tuple[str, ...]]:
    """Give for each URL one that leads to the same server, with so much more time for a round trip."""
    if not round_trip_s:
        yield urls
        return
    # A process of its own: the bench's loop has to be on time for its own requests.
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=([address(url) for url in urls], round_trip_s, theirs), daemon=True
    )
    process.start()
    try:
        yield tuple(through(url, port) for url, port in zip(urls, ours.recv(), strict=True))
    finally:
        process.terminate()
        process.join()


def address(url: str) -> Address:
    """Return where a PostgreSQL or Valkey URL leads."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return unquote(parts.path)
    options = parse_qs(parts.query)
    standard = 5432 if parts.scheme.startswith("postgres") else 6379
    port = int(options.get("port", [str(parts.port or standard)])[0])
    host = options.get("host", [parts.hostname or "localhost"])[0]
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)


def through(url: str, port: int) -> str:
    """Return a URL that leads to a port here, the rest as it was."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    here = f"{user}{at}127.0.0.1:{port}"
    if parts.scheme == "unix":
        return f"valkey://{here}/{parse_qs(parts.query).get('db', ['0'])[0]}"
    return parts._replace(netloc=here, query="").geturl()


def _serve(addresses: list[Address], delay_s: float, tell: Connection) -> None:
    uvloop.run(_serve_forever(addresses, delay_s, tell))


async def _serve_forever(addresses: list[Address], delay_s: float, tell: Connection) -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(partial(_Near, one, delay_s), "127.0.0.1", 0) for one in addresses]
    tell.send([server.sockets[0].getsockname()[1] for server in servers])
    await asyncio.Event().wait()


class _Near(asyncio.Protocol):
    """The side of whoever connects to us."""

    def __init__(self, to: Address, delay_s: float) -> None:
        self._to = to
        self._loop = asyncio.get_running_loop()
        self.far = _Far(self, delay_s)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._connecting = self._loop.create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        self.far.send(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol has it
        self._connecting.cancel()
        self.far.close()

    async def _connect(self) -> None:
        if isinstance(self._to, str):
            await self._loop.create_unix_connection(lambda: self.far, self._to)
        else:
            await self._loop.create_connection(lambda: self.far, *self._to)


class _Far(asyncio.Protocol):
    """The side of the server, whose answers come later; all of the round trip is theirs.

    Timers count milliseconds: halves on either way would be rounded.
    """

    def __init__(self, near: _Near, delay_s: float) -> None:
        self._near = near
        self._delay_s = delay_s
        self._loop = asyncio.get_running_loop()
        self._early: list[bytes] = []  # what came before we were connected
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(b"".join(self._early))

    def data_received(self, data: bytes) -> None:
        self._loop.call_later(self._delay_s, self._near.transport.write, data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol has it
        self._loop.call_later(self._delay_s, self._near.transport.close)

    def send(self, data: bytes) -> None:
        if self._transport is None:
            self._early.append(data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
