"""A Valkey client of one connection: commands are written as they come, and answers come in their order.

That needs no pool, and a command costs a fraction of what general clients take. A circuit breaker stands
before it: Valkey is a cache, so that no request may wait for it when it is slow, or fail when it is gone.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import libvalkey

from adx_lab.core.errors import ConfigError
from adx_lab.core.monitoring.logs import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from adx_lab.core.settings import ValkeySettings

Word = str | bytes | int
_logger = logging.getLogger("adx_lab.core.clients.valkey")


class ValkeyUnavailableError(Exception):
    """Valkey did not answer in time, or is not asked now because it did not answer before."""


class Link(asyncio.Protocol):
    """One connection, answers matched to commands by their order."""

    def __init__(self, on_push: Callable[[list[Any]], None] | None = None) -> None:
        self._reader = libvalkey.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None
        self._on_push = on_push
        self.lost = asyncio.get_running_loop().create_future()

    @property
    def open(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, *commands: tuple[Word, ...]) -> list[asyncio.Future[Any]]:
        """Write commands at once, and return a future for each answer."""
        assert self._transport is not None
        self._transport.write(b"".join(libvalkey.pack_command(command) for command in commands))
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in commands]
        self._waiting.extend(futures)
        return futures

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # the loop's own class, related to it or not

    def data_received(self, data: bytes) -> None:
        """Hand each whole answer to whoever waits for it."""
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            if self._on_push is not None and isinstance(answer, list):
                self._on_push(answer)
            elif self._waiting:
                future = self._waiting.popleft()
                if future.done():
                    continue
                if isinstance(answer, libvalkey.ReplyError):
                    future.set_exception(answer)
                    future.exception()  # of several commands sent together only the last is looked at
                else:
                    future.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol has it
        """Fail whoever still waits."""
        error = ConnectionError("the connection to Valkey was lost")
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)
                future.exception()  # nobody may be left to look at it
        if not self.lost.done():
            self.lost.set_result(None)


async def open_link(url: str, timeout_s: float, on_push: Callable[[list[Any]], None] | None = None) -> Link:
    """Connect, authenticate, choose the database.

    Raises
    ------
    OSError, TimeoutError, libvalkey.ReplyError
        The server is unreachable, slow, or refuses us.
    """
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    link = Link(on_push)
    async with asyncio.timeout(timeout_s):
        if parts.scheme == "unix":
            await loop.create_unix_connection(lambda: link, unquote(parts.path))
        else:
            context = ssl.create_default_context() if parts.scheme in {"valkeys", "rediss"} else None
            host, port = parts.hostname or "localhost", parts.port or 6379
            await loop.create_connection(lambda: link, host, port, ssl=context)
        try:
            for command in _greeting(parts):
                await link.send(command)[-1]
        except BaseException:
            link.close()
            raise
    return link


def check_url(url: str) -> None:
    """Refuse a URL that can't name a Valkey server.

    Raises
    ------
    ConfigError
        The scheme is unknown, or a Unix socket has no path.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"unix", "valkey", "redis", "valkeys", "rediss"} or (
        parts.scheme == "unix" and not parts.path
    ):
        raise ConfigError(
            f"ADX_CORE_VALKEY_URL={url!r}: expected valkey://host:port, redis://… or unix:///path"
        )


def _greeting(parts: SplitResult) -> list[tuple[Word, ...]]:
    commands: list[tuple[Word, ...]] = []
    if parts.password:
        commands.append(("AUTH", unquote(parts.username or "default"), unquote(parts.password)))
    number = parse_qs(parts.query).get("db", [""])[0]
    if parts.scheme != "unix":
        number = number or parts.path.strip("/")
    if number:
        commands.append(("SELECT", number))
    return commands


class Valkey:
    """Commands through one connection, behind a circuit breaker.

    After ``failures_max`` failures in a row nothing is sent any more. Every ``retry_s`` one probe goes out,
    and the first that succeeds closes the circuit, after ``on_recovery`` has run with it.

    Parameters
    ----------
    on_recovery
        Runs with the new connection before anybody else may use it.
    """

    def __init__(
        self, url: str, settings: ValkeySettings, on_recovery: Callable[[Link], Awaitable[None]]
    ) -> None:
        self._url = url
        self._settings = settings
        self._on_recovery = on_recovery
        self._link: Link | None = None
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def available(self) -> bool:
        """Whether the circuit is closed."""
        return self._link is not None and self._link.open

    async def start(self) -> None:
        """Connect, and keep connected from now on."""
        await self._connect()
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Disconnect."""
        if self._task is not None:
            self._task.cancel()
        if self._link is not None:
            self._link.close()

    async def ask(self, *commands: tuple[Word, ...]) -> Any:
        """Send commands together and return the last one's answer.

        Raises
        ------
        ValkeyUnavailableError
            The circuit is open, or no answer came in time.
        """
        return (await self.ask_all(*commands))[-1]

    async def ask_all(self, *commands: tuple[Word, ...]) -> list[Any]:
        """Send commands together and return every answer.

        Raises
        ------
        ValkeyUnavailableError
            The circuit is open, or no answer came in time.
        """
        link = self._link
        if link is None or not link.open:
            raise ValkeyUnavailableError("the circuit is open")
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                futures = link.send(*commands)
                await futures[-1]
                answers = [future.result() for future in futures]
        except (TimeoutError, OSError, libvalkey.ReplyError) as error:
            self._failed(link, error)
            raise ValkeyUnavailableError(str(error) or "no answer in time") from error
        self._failures = 0
        return answers

    def tell(self, *commands: tuple[Word, ...]) -> None:
        """Send commands that nobody waits for; when Valkey is away they are lost."""
        if self._link is not None and self._link.open:
            self._link.send(*commands)

    def _failed(self, link: Link, error: Exception) -> None:
        self._failures += 1
        if link is self._link and (self._failures >= self._settings.failures_max or not link.open):
            log(
                _logger,
                logging.WARNING,
                "valkey is not asked any more",
                error=str(error) or "no answer in time",
            )
            self._link = None
            link.close()

    async def _connect(self) -> bool:
        try:
            link = await open_link(self._url, self._settings.timeout_s * 4)
            async with asyncio.timeout(self._settings.timeout_s * 4):
                await link.send(("PING",))[-1]
                await self._on_recovery(link)
        except (TimeoutError, OSError, libvalkey.ReplyError):
            return False  # the next probe is due in a moment; /ready says that Valkey is down
        self._failures = 0
        self._link = link
        return True

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._settings.retry_s)
            if not self.available and await self._connect():
                log(_logger, logging.INFO, "valkey is back")
