"""Waking the workflow workers, once for all that was asked for in the same moment."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from adx_lab.core.database.database import UNAVAILABLE
from adx_lab.core.monitoring.logs import log

if TYPE_CHECKING:
    from adx_lab.core.database.database import Database

_GATHER_S = 0.01
_logger = logging.getLogger("adx_lab.core.workflows.waking")


class Waker:
    """Notifies the workers soon; whoever asks does not wait for it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gathering = False
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Have the workers look for work."""
        if self._gathering:
            return
        self._gathering = True
        task = asyncio.create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        await asyncio.sleep(_GATHER_S)
        self._gathering = False  # what is asked for from here on may come too late for this one
        try:
            await self._database.fetch("workflows.wake", timing=None)
        except UNAVAILABLE as error:
            log(
                _logger,
                logging.WARNING,
                "workers could not be woken; they look by themselves",
                error=repr(error),
            )
