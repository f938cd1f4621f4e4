"""Responses without a known end in memory: rows as NDJSON, files as they are read.

The server's own stream takes whatever it is given, however slow the client, and keeps it in memory. So the
bytes go through a named pipe that the server reads as a file: the pipe holds a quarter of a megabyte, and
when it is full the producer waits. A client that leaves closes its end, and the producer stops.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adx_lab.core.monitoring.logs import log
from adx_lab.core.server.problems import Headers, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from adx_lab.core.server.http import Stream
    from adx_lab.core.settings import Settings

_PIPE_BYTES = 1 << 18
_OPEN_EVERY_S = 0.002
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
            protocol.response_file(response.status, headers, str(path))
            await self._pump(await self._opened(path), response.chunks)
        except (BrokenPipeError, ConnectionResetError):
            log(_logger, logging.DEBUG, "the client left a stream")
        except TimeoutError:
            log(_logger, logging.WARNING, "a client took nothing for too long; its stream was cut")
        finally:
            response.release()
            path.unlink(missing_ok=True)
            await finish(response.chunks)

    async def _opened(self, path: Path) -> int:
        async with asyncio.timeout(self._timeout_s):
            while True:
                try:
                    return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                except OSError as error:
                    if error.errno != errno.ENXIO:  # nobody reads yet
                        raise
                await asyncio.sleep(_OPEN_EVERY_S)

    async def _pump(self, pipe: int, chunks: AsyncIterator[bytes]) -> None:
        if sys.platform == "linux":
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.streams.FlowControlMixin(loop), os.fdopen(pipe, "wb", 0)
        )
        transport.set_write_buffer_limits(0)  # all that was written is in the pipe before the next is made
        writer = asyncio.StreamWriter(transport, protocol, None, loop)
        try:
            async for chunk in chunks:
                writer.write(chunk)
                async with asyncio.timeout(self._timeout_s):
                    await writer.drain()
            async with asyncio.timeout(self._timeout_s):
                writer.close()
                await writer.wait_closed()
        except BaseException:
            transport.abort()
            raise


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
