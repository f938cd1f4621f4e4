"""Responses without a known end in memory: rows as NDJSON, files as they are read.

The server's own stream takes whatever it is given, however slow the client, and keeps it in memory. So the
bytes go through a named pipe that the server reads as a file: the pipe holds a quarter of a megabyte, and
when it is full the producer waits. A client that leaves closes its end, and the producer stops. What ends
within an eighth of a megabyte needs none of it: it is an ordinary response.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import sys
import tempfile
import termios
import time
from collections import Counter
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adx_lab.core.monitoring.logs import log
from adx_lab.core.server.http import Response, Stream
from adx_lab.core.server.problems import Headers, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from adx_lab.core.settings import Settings

_WHOLE_BYTES = 1 << 17
_PIPE_BYTES = 1 << 18
_TAKEN_EVERY_S = 0.002
_PREFIX = "adx-core-pipes-"
_YOUNG_S = 60.0  # made this moment, and not held yet
_logger = logging.getLogger("adx_lab.core.server.streams")


class Streams:
    """Sends streams, a bounded number at once: each of them holds a connection or a file open."""

    def __init__(self, settings: Settings) -> None:
        self._timeout_s = settings.gateway.stream_timeout_s
        # Half of a worker's connections at most: the other half is for those who ask for little.
        connections = (
            settings.pool.max // settings.workers if settings.on("pool.config") else settings.pool.max
        )
        self._streams_max = max(1, min(settings.gateway.streams_max, connections // 2))
        self._share = max(1, int(settings.gateway.streams_max * settings.gateway.share * 2))
        self._open: Counter[str] = Counter()
        self._names = count()
        self._folder: Path | None = None
        self._held = -1

    def start(self) -> None:
        """Make the folder of the pipes, and remove those that killed processes left."""
        _sweep(Path(tempfile.gettempdir()))
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._held = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self._held, fcntl.LOCK_SH)

    def close(self) -> None:
        """Remove it."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._held)
            self._folder = None

    def admit(self, by: str) -> Callable[[], None]:
        """Take a place for a stream, and return what gives it back; may be called more than once.

        Raises
        ------
        Problem
            503: too many are open, or too many of this tenant.
        """
        if self._open.total() >= self._streams_max or self._open[by] >= self._share:
            raise Problem(503, "Busy", "too many streams at once", headers=[("retry-after", "1")])
        self._open[by] += 1
        places = [by]

        def release() -> None:
            if places:
                self._open[places.pop()] -= 1
                self._open += Counter()  # forgets those who have none

        return release

    async def send(self, protocol: Any, response: Stream, headers: Headers) -> None:
        """Send a stream until it ends, its client leaves, or its client takes nothing for too long."""
        assert self._folder is not None
        path = self._folder / str(next(self._names))
        try:
            os.mkfifo(path, 0o600)
            with _Pipe(path) as pipe:
                protocol.response_file(response.status, headers, str(path))
                await self._pump(pipe, response.chunks)
        except (BrokenPipeError, ConnectionResetError):
            log(_logger, logging.DEBUG, "the client left a stream")
        except TimeoutError:
            log(_logger, logging.WARNING, "a client took nothing for too long; its stream was cut")
        finally:
            response.release()
            path.unlink(missing_ok=True)
            await finish(response.chunks)

    async def _pump(self, pipe: _Pipe, chunks: AsyncIterator[bytes]) -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.streams.FlowControlMixin(loop), pipe.write_end
        )
        transport.set_write_buffer_limits(0)  # all that was written is in the pipe before the next is made
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        try:
            async for chunk in chunks:
                writer.write(chunk)
                async with asyncio.timeout(self._timeout_s):
                    await writer.drain()
                pipe.look(len(chunk))
            async with asyncio.timeout(self._timeout_s):
                while not pipe.taken:
                    await asyncio.sleep(_TAKEN_EVERY_S)
                    pipe.look()
                writer.close()
                await writer.wait_closed()
        except BaseException:
            transport.abort()
            raise


class _Pipe:
    """A named pipe that can be written to before the server has opened it.

    Its reading end is held until somebody took something: from then on the server's own is the only one, and
    the pipe breaks where that is closed.
    """

    def __init__(self, path: Path) -> None:
        # As files: whatever fails from here on, they are closed when nobody holds them.
        self._read_end = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", 0)
        self.write_end = os.fdopen(os.open(path, os.O_WRONLY | os.O_NONBLOCK), "wb", 0)
        if sys.platform == "linux":
            fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._written = 0

    def __enter__(self) -> _Pipe:
        return self

    def __exit__(self, *_: object) -> None:
        self._read_end.close()

    @property
    def taken(self) -> bool:
        """Whether the server has begun to read."""
        return self._read_end.closed

    def look(self, more: int = 0) -> None:
        """See whether the server reads, ``more`` bytes having been written."""
        self._written += more
        if not self.taken:
            left = int.from_bytes(fcntl.ioctl(self._read_end, termios.FIONREAD, bytes(4)), sys.byteorder)
            if left < self._written:
                self._read_end.close()


async def streamed(
    chunks: AsyncIterator[bytes],
    status: int,
    headers: Headers,
    release: Callable[[], None],
    *,
    rest_of: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]] = lambda rest: rest,
) -> Response:
    """Return a response that is sent as it is made, or an ordinary one where it ends soon.

    Parameters
    ----------
    release
        Gives its place among the streams back, once it was sent or can't be.
    rest_of
        Makes what is sent of what is left once the status was sent, and nothing can be a problem any more.
    """
    try:
        beginning, rest = await _begun(chunks)
    except BaseException:
        release()
        raise
    if rest is None:
        release()
        return Response(beginning, status, headers)
    return Stream(_after(beginning, rest_of(rest)), status, headers, release)


async def _after(beginning: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        yield beginning
        async for chunk in rest:
            yield chunk
    finally:
        await finish(rest)


async def _begun(chunks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes] | None]:
    """Return how a stream begins, and the rest of it; None where that was all."""
    held, size = [], 0
    try:
        async for chunk in chunks:
            held.append(chunk)
            size += len(chunk)
            if size > _WHOLE_BYTES:
                return b"".join(held), chunks
    except BaseException:
        await finish(chunks)
        raise
    return b"".join(held), None


def _sweep(place: Path) -> None:
    """Remove the folders of processes that are gone: a living one holds its own."""
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # removed meanwhile, somebody else's, or held
            if folder.is_symlink() or time.time() - folder.stat().st_mtime < _YOUNG_S:
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


async def finish(chunks: AsyncIterator[Any]) -> None:
    """Close an iterator that can be closed."""
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()
