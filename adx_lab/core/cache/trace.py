"""A trace of the cache's first layer: what was looked up, as rows of a fixed size in a file.

From it the lab computes what another size or another time to live would be worth. It is off unless
``ADX_CORE_CACHE_TRACE`` names a file. No key is written in clear: Python's hashes of text are keyed by a
secret of the process, which the workers share since they are forked from it.

A row costs a few hundred nanoseconds and stays in memory for at most half a second. All workers append to one
file, whole rows at a time. It never grows beyond its bound: then rows are dropped until somebody empties it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
from time import time
from typing import TYPE_CHECKING

from adx_lab.core.errors import ConfigError
from adx_lab.core.monitoring.logs import log

if TYPE_CHECKING:
    from adx_lab.core.settings import CacheSettings

ROW = struct.Struct("<dqqI11sB")
"""Seconds since 1970, the scope's hash, the item's, the worker's pid, the family, and the event."""

MISS, HIT, PUT, FORGET, CLEAR = range(5)
_BUFFER_BYTES = 2_048 * ROW.size
_EVERY_S = 0.5
_pack_into, _ROW_BYTES = ROW.pack_into, ROW.size
_logger = logging.getLogger("adx_lab.core.cache.trace")


def check_trace(path: str) -> None:
    """Refuse a file that can't be written, before the workers are started.

    Raises
    ------
    ConfigError
        It can't.
    """
    try:
        os.close(_open(path))
    except OSError as error:
        raise ConfigError(f"ADX_CORE_CACHE_TRACE={path}: {error.strerror}") from error


class Trace:
    """One worker's rows on their way to the file."""

    def __init__(self, settings: CacheSettings) -> None:
        self._bytes_max = settings.trace_max
        self._file = _open(settings.trace)
        self._buffer = bytearray(_BUFFER_BYTES)
        self._used = 0
        self._pid = os.getpid()
        self._families: dict[str, bytes] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write what is left in the buffer twice a second."""
        self._task = asyncio.create_task(self._flush_forever())

    def close(self) -> None:
        """Write the rest and let go of the file."""
        if self._task is not None:
            self._task.cancel()
        self.flush()
        os.close(self._file)

    def add(self, event: int, family: str, scope: str, item: str) -> None:
        """Append a row."""
        name = self._families.get(family)
        if name is None:
            name = self._families[family] = family.encode("ascii")
        if self._used == _BUFFER_BYTES:
            self.flush()
        _pack_into(self._buffer, self._used, time(), hash(scope), hash(item), self._pid, name, event)
        self._used += _ROW_BYTES

    def flush(self) -> None:
        """Write what is in the buffer, or drop it where the file has its size or the disk is full."""
        used, self._used = self._used, 0
        if used and os.fstat(self._file).st_size + used <= self._bytes_max:
            try:
                os.write(self._file, memoryview(self._buffer)[:used])
            except OSError as error:  # a full disk must not stop the service that is being watched
                log(_logger, logging.WARNING, "cache look-ups were not traced", error=repr(error))

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            self.flush()


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
