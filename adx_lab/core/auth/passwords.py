"""Password hashes: argon2id at OWASP's minimum, in threads of their own: the loop never waits for one.

OWASP's cheat sheet on password storage names five settings as equally strong: the less memory, the more
passes. The one with the least memory takes the least of the processor (14.5 ms where 19 MiB and 2 passes take
29, and 46 MiB and 1 pass 55), and leaves more of its caches to those who wait for something else. libsodium's
argon2id uses the vector instructions that a processor has; the reference implementation as it is usually
built does not, and takes 1.8 times as long. Hashes that were made with other settings are still good: each
one carries its own.

The threads give way to everybody else. A hash takes the processor for longer than fifty other requests
together; at the same priority each of them would find it in its way.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

from adx_lab.core.server.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from adx_lab.core.settings import AuthSettings

T = TypeVar("T")
_MEMORY_KIB, _PASSES, _HASH_BYTES = 7_168, 5, 32
_NICENESS = 5


def hash_password(password: str) -> str:
    """Hash with a salt of its own."""
    return argon2id.str(password.encode(), opslimit=_PASSES, memlimit=_MEMORY_KIB * 1024).decode()


def hash_with_salt(password: str, salt: bytes) -> str:
    """Hash with a given salt: the data set is the same each time."""
    digest = argon2id.kdf(_HASH_BYTES, password.encode(), salt, _PASSES, _MEMORY_KIB * 1024)
    return f"$argon2id$v=19$m={_MEMORY_KIB},t={_PASSES},p=1${_text(salt)}${_text(digest)}"


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")


# Checked when there is no such user, so that the time tells nobody whether there is.
_NOBODY = hash_with_salt("nobody's password", b"a salt of nobody")


class Passwords:
    """Hashes and checks passwords, a few at a time.

    More than can wait are turned away, and nobody takes more than half of the queue. Of one peer's attempts
    on users that don't exist only so many are hashed; the others wait as long and fail as well, so that a
    flood of them neither fills the queue nor tells who exists.
    """

    def __init__(self, settings: AuthSettings) -> None:
        self._threads = ThreadPoolExecutor(settings.hash_threads, "argon2", initializer=_give_way)
        self._waiting: Counter[str] = Counter()
        self._strangers: Counter[str] = Counter()
        self._waiting_max = settings.hash_waiting_max
        self._took_s = 0.0

    async def hash(self, password: str, by: str) -> str:
        """Hash a new password; ``by`` is whose share of the queue it takes."""
        return await self._run(by, hash_password, password)

    async def verify(self, stored: str | None, password: str, by: str) -> bool:
        """Return whether a password is right; without a stored hash it takes as long, and is wrong."""
        if stored is not None:
            return await self._run(by, _matches, stored, password)
        if self._strangers[by] >= self._waiting_max // 4:
            await asyncio.sleep(self._took_s)
            return False
        with _counted(self._strangers, by):
            await self._run(by, _matches, _NOBODY, password)
        return False

    async def _run(self, by: str, work: Callable[..., T], *args: str) -> T:
        if self._waiting.total() >= self._waiting_max or self._waiting[by] >= max(1, self._waiting_max // 2):
            raise Problem(503, "Busy", "too many logins at once", headers=[("retry-after", "1")])
        started = perf_counter()
        with _counted(self._waiting, by):
            result = await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        self._took_s += (perf_counter() - started - self._took_s) / 8
        return result

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _counted(counts: Counter[str], by: str) -> Iterator[None]:
    counts[by] += 1
    try:
        yield
    finally:
        counts[by] -= 1
        if not counts[by]:
            del counts[by]


def _give_way() -> None:
    # On Linux each thread has a priority of its own; elsewhere this would be the whole process's.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _matches(stored: str, password: str) -> bool:
    try:
        return argon2id.verify(stored.encode(), password.encode())
    except (CryptoError, ValueError):  # the wrong password; no hash at all
        return False
