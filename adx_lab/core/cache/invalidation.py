"""Listening for invalidations: every worker has one connection on which the others' messages arrive."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import libvalkey

from adx_lab.core.clients.valkey import Link, open_link
from adx_lab.core.monitoring.logs import log

if TYPE_CHECKING:
    from adx_lab.core.cache.cache import Cache

_PING_S = 1.0
_logger = logging.getLogger("adx_lab.core.cache.invalidation")


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
            try:
                link = await open_link(self._url, 1.0, self._on_push)
            except (OSError, TimeoutError, libvalkey.ReplyError):
                await asyncio.sleep(self._retry_s)
                continue
            link.send(("SUBSCRIBE", self._cache.channel))
            await self._watch(link)
            self._subscribed.clear()
            self._cache.forget_all()
            log(_logger, logging.WARNING, "the subscription to invalidations was lost")

    async def _watch(self, link: Link) -> None:
        # A peer that vanished without a word is only noticed by asking.
        try:
            while not link.lost.done():
                self._heard = False
                link.send(("PING",))
                await asyncio.wait((link.lost,), timeout=_PING_S)
                if not self._heard:
                    return
        finally:
            link.close()

    def _on_push(self, message: list[Any]) -> None:
        self._heard = True
        if message[0] == b"message":
            self._cache.forget(message[2].decode())
        elif message[0] == b"subscribe":
            # Until this moment messages went past us.
            self._cache.forget_all()
            self._subscribed.set()
