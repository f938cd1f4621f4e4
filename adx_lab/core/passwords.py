"""Password hashes: argon2id at OWASP's minimum, in threads of their own: the loop never waits for one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type, hash_secret

from adx_lab.core.http import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from adx_lab.core.settings import AuthSettings

T = TypeVar("T")
_MEMORY_KIB, _PASSES, _LANES, _HASH_BYTES = 19_456, 2, 1, 32
_hasher = PasswordHasher(
    time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES, hash_len=_HASH_BYTES, type=Type.ID
)


def hash_with_salt(password: str, salt: bytes) -> str:
    """Hash with a given salt: the data set is the same each time."""
    return hash_secret(password.encode(), salt, _PASSES, _MEMORY_KIB, _LANES, _HASH_BYTES, Type.ID).decode()


# Checked when there is no such user, so that the time tells nobody whether there is.
_NOBODY = hash_with_salt("nobody's password", b"a salt of nobody")


class Passwords:
    """Hashes and checks passwords, a few at a time; more than can wait are turned away."""

    def __init__(self, settings: AuthSettings) -> None:
        self._threads = ThreadPoolExecutor(settings.hash_threads, "argon2")
        self._waiting = 0
        self._waiting_max = settings.hash_waiting_max

    async def hash(self, password: str) -> str:
        """Hash a new password."""
        return await self._run(_hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Return whether a password is right; without a stored hash it takes as long, and is wrong."""
        right = await self._run(_matches, stored or _NOBODY, password)
        return right and stored is not None

    async def _run(self, work: Callable[..., T], *args: str) -> T:
        if self._waiting >= self._waiting_max:
            raise Problem(503, "Busy", "too many logins at once", headers=[("retry-after", "1")])
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _matches(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
