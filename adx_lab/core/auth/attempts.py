"""Failed logins by account and peer: too many in a row have to wait, a little longer each time.

Counted by the peer too, so that a stranger's wrong passwords keep nobody else out. Whoever knows the password
gets in after the wait, and the count starts anew.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import cachebox

from adx_lab.core.clients.valkey import Valkey, ValkeyUnavailableError
from adx_lab.core.server.problems import Problem

if TYPE_CHECKING:
    from adx_lab.core.settings import Settings

_ACCOUNTS_MAX = 10_000
_WAIT_MAX_S = 30


class Attempts:
    """Counts before the password is looked at, so that many at once don't slip through."""

    def __init__(self, settings: Settings, valkey: Valkey | None) -> None:
        self._max = settings.auth.attempts_max
        self._window_s = int(settings.auth.attempts_window_s)
        self._prefix = f"{settings.key_prefix}attempts:"
        self._valkey = valkey
        self._local: cachebox.TTLCache[str, tuple[int, float]] = cachebox.TTLCache(
            _ACCOUNTS_MAX, settings.auth.attempts_window_s
        )

    async def count(self, tenant_id: str, email: str, peer: str) -> None:
        """Count an attempt.

        Raises
        ------
        Problem
            429 with ``Retry-After``.
        """
        key = self._key(tenant_id, email, peer)
        known: tuple[int, float] | None = self._local.get(key, None)
        tried, locked_until = known or (0, 0.0)
        if locked_until > monotonic():
            raise _wait(locked_until - monotonic())
        tried += 1
        if self._valkey is not None:
            with suppress(ValkeyUnavailableError):
                tried = int(
                    await self._valkey.ask(("SET", key, 0, "EX", self._window_s, "NX"), ("INCR", key))
                )
        wait_s = min(_WAIT_MAX_S, 2.0 ** (tried - self._max)) if tried >= self._max else 0.0
        self._local[key] = (tried, monotonic() + wait_s)
        if tried >= self._max and self._valkey is not None:
            await self._take_turn(key, wait_s)

    async def _take_turn(self, key: str, wait_s: float) -> None:
        """Let one of all workers' attempts through a wait."""
        assert self._valkey is not None
        with suppress(ValkeyUnavailableError):
            took = await self._valkey.ask(("SET", f"{key}:turn", 1, "PX", int(wait_s * 1e3), "NX"))
            if took is None:
                raise _wait(wait_s)

    def succeeded(self, tenant_id: str, email: str, peer: str) -> None:
        """Forget the attempts of somebody who knew the password."""
        key = self._key(tenant_id, email, peer)
        self._local.pop(key, None)
        if self._valkey is not None:
            self._valkey.send(("DEL", key, f"{key}:turn"))

    def _key(self, tenant_id: str, email: str, peer: str) -> str:
        return self._prefix + hashlib.sha256(f"{tenant_id}:{peer}:{email}".encode()).hexdigest()


def _wait(seconds: float) -> Problem:
    retry_after = ("retry-after", str(int(seconds) + 1))
    return Problem(429, "Too many attempts", "wait before trying again", headers=[retry_after])
