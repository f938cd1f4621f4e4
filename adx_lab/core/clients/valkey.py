"""A Valkey client of one connection: commands are written as they come, and answers come in their order.

That needs no pool, and a command costs a fraction of what general clients take. A circuit breaker stands
before it: Valkey is a cache, so that no request may wait for it when it is slow, or fail when it is gone.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import libvalkey

from adx_lab.core.errors import ConfigError
from adx_lab.core.monitoring.logs import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from adx_lab.core.settings import ValkeySettings

Command = tuple[str | bytes | int, ...]
_UNSENT_BYTES_MAX = 8 << 20
_NOTICED = 2  # probes
_SCHEMES = frozenset({"valkey", "redis", "valkeys", "rediss"})
_PUSHES = frozenset({b"message", b"subscribe", b"pong"})
FAILURES = (OSError, TimeoutError, libvalkey.ReplyError, libvalkey.ProtocolError)
_logger = logging.getLogger("adx_lab.core.clients.valkey")


class ValkeyUnavailableError(Exception):
    """Valkey did not answer in time, or is not asked now because it did not answer before."""


class ClusterError(OSError):
    """The server is one of a cluster."""


class Connection(asyncio.Protocol):
    """One connection, answers matched to commands by their order."""

    def __init__(self, on_push: Callable[[list[Any]], None] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = libvalkey.Reader()
        self._waiting: deque[_Waiting] = deque()
        self._transport: asyncio.Transport | None = None
        self._on_push = on_push
        self.lost = self._loop.create_future()

    @property
    def open(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def oldest(self) -> _Waiting | None:
        """The command that has waited longest for its answer."""
        return self._waiting[0] if self._waiting else None

    def send(self, *commands: Command) -> None:
        """Write commands whose answers nobody waits for; a refusal closes the connection."""
        assert self._transport is not None
        if self._transport.get_write_buffer_size() < _UNSENT_BYTES_MAX:
            self._write(commands, None)

    def ask(self, *commands: Command) -> asyncio.Future[Any]:
        """Write commands at once; the future has the last one's answer. A refusal of another closes."""
        future = self._loop.create_future()
        self._write(commands, future)
        return future

    def fail_overdue(self, older_than_s: float) -> None:
        """Fail whoever has waited too long; the answers may still come, and are dropped then."""
        latest = self._loop.time() - older_than_s
        for waiting in self._waiting:
            if waiting.sent_at < latest:
                waiting.fail(TimeoutError("no answer in time"))

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # the loop's own class, related to it or not

    def data_received(self, data: bytes) -> None:
        """Hand each whole answer to whoever waits for it."""
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not False:
                self._take(answer)
        except libvalkey.ProtocolError:  # whoever speaks here is no Valkey
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol has it
        """Fail whoever still waits."""
        while self._waiting:
            self._waiting.popleft().fail(ConnectionError("the connection to Valkey was lost"))
        if not self.lost.done():
            self.lost.set_result(None)

    def _write(self, commands: tuple[Command, ...], future: asyncio.Future[Any] | None) -> None:
        assert self._transport is not None
        self._transport.write(b"".join(map(libvalkey.pack_command, commands)))
        now = self._loop.time()
        for _ in commands[:-1]:
            self._waiting.append(_Waiting(None, now))
        self._waiting.append(_Waiting(future, now))

    def _take(self, answer: Any) -> None:
        if self._on_push is not None and isinstance(answer, list) and answer[0] in _PUSHES:
            if answer[0] != b"message":
                self._waiting.popleft()  # the answer to SUBSCRIBE or PING comes as a push too
            self._on_push(answer)
        elif self._waiting:
            future = self._waiting.popleft().future
            if not isinstance(answer, libvalkey.ReplyError):
                if future is not None and not future.done():
                    future.set_result(answer)
            elif future is None:
                log(_logger, logging.WARNING, "valkey refuses", error=str(answer))
                self.close()
            elif not future.done():
                future.set_exception(answer)


class _Waiting:
    """A command without its answer yet; ``future`` is None where nobody waits for it."""

    __slots__ = ("future", "sent_at")

    def __init__(self, future: asyncio.Future[Any] | None, sent_at: float) -> None:
        self.future = future
        self.sent_at = sent_at

    def fail(self, error: Exception) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # nobody may be left to look at it


async def open_connection(
    url: str, timeout_s: float, on_push: Callable[[list[Any]], None] | None = None
) -> Connection:
    """Connect, authenticate, choose the database.

    Raises
    ------
    OSError, TimeoutError, libvalkey.ReplyError
        The server is unreachable, slow, or refuses us.
    ClusterError
        It is one of a cluster.
    """
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    connection = Connection(on_push)
    async with asyncio.timeout(timeout_s):
        if parts.scheme == "unix":
            await loop.create_unix_connection(lambda: connection, unquote(parts.path))
        else:
            context = ssl.create_default_context() if parts.scheme in {"valkeys", "rediss"} else None
            host, port = parts.hostname or "localhost", parts.port or 6379
            await loop.create_connection(lambda: connection, host, port, ssl=context)
        try:
            for command in _greeting(parts):
                answer = await connection.ask(command)
        except BaseException:
            connection.close()
            raise
    if b"cluster" in answer:
        connection.close()
        raise ClusterError("a Valkey Cluster")
    return connection


def check_url(url: str) -> None:
    """Refuse a URL that can't name a Valkey server.

    Raises
    ------
    ConfigError
        The scheme or an option is unknown, the port is none, or a Unix socket has no path.
    """
    parts = urlsplit(url)
    try:
        known = parts.scheme == "unix" or (parts.scheme in _SCHEMES and (parts.port or 0) >= 0)
    except ValueError:  # the port is none
        known = False
    options = parse_qs(parts.query).keys() - {"db"}
    if not known or (parts.scheme == "unix" and not parts.path) or "," in parts.netloc or options:
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        raise ConfigError(
            f"ADX_CORE_VALKEY_URL={shown!r}: expected valkey://host:port/db, redis://…, valkeys://… (TLS) or "
            "unix:///path?db=0, with no other option"
        )


async def refuse_cluster(url: str) -> None:
    """Refuse a Valkey Cluster, if it can be asked now; one that is away is waited for later.

    Raises
    ------
    ConfigError
        It is a cluster: its keys lie on several servers, and we ask for some of each together.
    """
    try:
        (await open_connection(url, 1.0)).close()
    except ClusterError:
        raise ConfigError(
            "ADX_CORE_VALKEY_URL: this is a Valkey Cluster; give a server without cluster-enabled"
        ) from None
    except FAILURES as error:
        log(_logger, logging.WARNING, "valkey can't be reached yet", error=str(error) or "no answer in time")


def _greeting(parts: SplitResult) -> list[Command]:
    commands: list[Command] = []
    if parts.password:
        commands.append(("AUTH", unquote(parts.username or "default"), unquote(parts.password)))
    number = parse_qs(parts.query).get("db", [""])[0]
    if parts.scheme != "unix":
        number = number or parts.path.strip("/")
    if number:
        commands.append(("SELECT", number))
    return [*commands, ("HELLO", 2)]


class Valkey:
    """Commands through one connection, behind a circuit breaker.

    Every ``retry_s`` a ``probe`` is sent, which writes: a server that only reads is of no use. After
    ``failures_max`` failures in a row, or a refusal, nothing is sent any more, until a probe succeeds on a
    new connection.

    One task looks for answers that are overdue, for all commands together. It looks twice before it says so:
    a loop that is late itself may not have read yet what came in time.

    Parameters
    ----------
    on_recovery
        Runs with the new connection, after an outage, before anybody else may use it.
    on_loss
        Is told when the circuit opens.
    """

    def __init__(
        self,
        url: str,
        settings: ValkeySettings,
        probe: Command,
        on_recovery: Callable[[Connection], Awaitable[None]],
        on_loss: Callable[[], None],
    ) -> None:
        self._url = url
        self._settings = settings
        self._probe = probe
        self._on_recovery = on_recovery
        self._on_loss = on_loss
        self._connection: Connection | None = None
        self._failures = 0
        self._lost_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def available(self) -> bool:
        """Whether the circuit is closed."""
        return self._connection is not None and self._connection.open

    async def start(self) -> None:
        """Connect, and keep connected from now on."""
        await self._connect(recovering=False)
        self._tasks = [asyncio.create_task(self._keep()), asyncio.create_task(self._watch())]

    async def close(self) -> None:
        """Disconnect."""
        for task in self._tasks:
            task.cancel()
        if self._connection is not None:
            self._connection.close()

    async def ask(self, *commands: Command) -> Any:
        """Send commands together and return the last one's answer.

        Raises
        ------
        ValkeyUnavailableError
            The circuit is open, no answer came in time, or the server refuses.
        """
        connection = self._connection
        if connection is None or not connection.open:
            raise ValkeyUnavailableError("the circuit is open")
        try:
            return await connection.ask(*commands)
        except FAILURES as error:
            if isinstance(error, libvalkey.ReplyError):
                self.give_up(str(error))
            raise ValkeyUnavailableError(str(error)) from error

    def send(self, *commands: Command) -> None:
        """Send commands that nobody waits for; when Valkey is away they are lost."""
        if self._connection is not None and self._connection.open:
            self._connection.send(*commands)

    def give_up(self, reason: str) -> None:
        """Open the circuit."""
        connection, self._connection, self._failures = self._connection, None, 0
        if connection is not None:
            connection.close()
            log(_logger, logging.WARNING, "valkey is not asked any more", error=reason)
            self._lost_at = asyncio.get_running_loop().time()
            self._on_loss()

    async def noticed(self) -> None:
        """Wait until whoever else uses this server must have noticed as well that it is of no use."""
        seconds = self._lost_at + _NOTICED * self._settings.retry_s - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, seconds))

    async def _connect(self, *, recovering: bool) -> bool:
        connection: Connection | None = None
        try:
            connection = await open_connection(self._url, self._settings.timeout_s * 4)
            async with asyncio.timeout(self._settings.timeout_s * 4):
                await connection.ask(self._probe)
                if recovering:
                    await self._on_recovery(connection)
        except FAILURES:
            if connection is not None:
                connection.close()
            return False  # the next probe is due in a moment; /ready says that Valkey is down
        self._connection = connection
        return True

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._settings.retry_s)
            if self.available:
                with suppress(ValkeyUnavailableError):
                    await self.ask(self._probe)
            else:
                self.give_up("the connection was lost")
                if await self._connect(recovering=True):
                    log(_logger, logging.INFO, "valkey is back")

    async def _watch(self) -> None:
        suspect: _Waiting | None = None
        while True:
            await asyncio.sleep(self._settings.timeout_s / 2)
            connection = self._connection
            oldest = connection.oldest if connection is not None else None
            if connection is None or oldest is None or oldest is not suspect:
                suspect, self._failures = oldest, 0
            elif asyncio.get_running_loop().time() - oldest.sent_at > self._settings.timeout_s:
                connection.fail_overdue(self._settings.timeout_s)
                self._failures += 1
                if self._failures >= self._settings.failures_max:
                    self.give_up("no answer in time")
