"""Listening for invalidations: every worker has one connection on which the others' messages arrive."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from adx_lab.core.auth.tokens import tenant_scope
from adx_lab.core.cache.cache import ALL, Cache
from adx_lab.core.clients.valkey import FAILURES, Connection, open_connection
from adx_lab.core.errors import CoreError
from adx_lab.core.monitoring.logs import log
from adx_lab.core.monitoring.metrics import Metrics

if TYPE_CHECKING:
    from adx_lab.core.settings import Settings

_PING_S = 1.0
_logger = logging.getLogger("adx_lab.core.cache.invalidation")


def forget(settings: Settings, tenant_id: str) -> None:
    """Make every replica forget a tenant, or everything: somebody changed roles or configuration by hand.

    Raises
    ------
    CoreError
        Valkey can't be reached: replicas forget by time only.
    """

    async def send() -> None:
        cache = Cache(settings, Metrics())
        if cache.valkey is None:
            raise CoreError("ADX_CORE_VALKEY_URL is not set: there is nobody to tell")
        await cache.valkey.start()
        try:
            await cache.invalidate(tenant_scope(tenant_id) if tenant_id else ALL)
            if not cache.valkey.available:
                raise CoreError("ADX_CORE_VALKEY_URL: Valkey can't be reached; nothing was forgotten")
        finally:
            await cache.valkey.close()

    asyncio.run(send())


class Listener:
    """Drops from L1 what other workers changed, and everything when messages may have been missed."""

    def __init__(self, url: str, cache: Cache, retry_s: float) -> None:
        self._url = url
        self._cache = cache
        self._retry_s = retry_s
        self._task: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()
        self._heard = False

    async def start(self) -> None:
        """Listen from now on; returns when the subscription stands, or soon if Valkey is away."""
        self._task = asyncio.create_task(self._listen())
        try:
            async with asyncio.timeout(1.0):
                await self._subscribed.wait()
        except TimeoutError:
            log(_logger, logging.WARNING, "no subscription to invalidations yet")

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()

    async def _listen(self) -> None:
        while True:
            with suppress(*FAILURES):
                connection = await open_connection(self._url, 1.0, self._on_push)
                connection.send(("SUBSCRIBE", self._cache.channel))
                await self._watch(connection)
            if self._cache.hears:
                self._cache.hears = False
                self._cache.forget_all()
                log(_logger, logging.WARNING, "the subscription to invalidations was lost")
            await asyncio.sleep(self._retry_s)

    async def _watch(self, connection: Connection) -> None:
        # A peer that vanished without a word is only noticed by asking.
        try:
            while not connection.lost.done():
                self._heard = False
                connection.send(("PING",))
                await asyncio.wait((connection.lost,), timeout=_PING_S)
                if not self._heard:
                    return
        finally:
            connection.close()

    def _on_push(self, message: list[Any]) -> None:
        self._heard = True
        if message[0] == b"message":
            for scope in message[2].decode().split("\n"):
                self._cache.forget(scope)
        elif message[0] == b"subscribe":
            # Until this moment messages went past us.
            self._cache.forget_all()
            self._cache.hears = True
            self._subscribed.set()
