"""A worker's own figures: connections and memory once a second, and more often how late the event loop is."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from adx_lab.core.monitoring.logs import log

if TYPE_CHECKING:
    from adx_lab.core.clients.pool import Pool
    from adx_lab.core.monitoring.metrics import Metrics
    from adx_lab.core.settings import Settings

_EVERY_S = 1.0
_LAG_EVERY_S = 0.05
"""Often enough that a few seconds tell a loop which something holds; a turn costs it some 20 µs."""

_PRESSURE = 0.8
_logger = logging.getLogger("adx_lab.core.monitoring.monitor")


class Monitor:
    """Keeps the gauges of one worker."""

    def __init__(self, settings: Settings, metrics: Metrics, pool: Pool) -> None:
        self._pool = pool
        self._pool_on = settings.on("pool.monitor")
        self._memory_on = settings.on("metrics.memory")
        if self._pool_on:
            self._active = metrics.gauge("db_connections_active")
            self._idle = metrics.gauge("db_connections_idle")
            self._waiting = metrics.gauge("db_connections_waiting")
            self._max = metrics.gauge("db_connections_max")
        if self._memory_on:
            self._memory = metrics.gauge("memory_usage_bytes")
        self._lag = metrics.histogram("event_loop_lag_ms")
        self._task: asyncio.Task[None] | None = None
        self._pressed = False

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._watch())

    def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        if self._pool_on:
            figures = self._pool.figures()
            self._active.set(figures.active)
            self._idle.set(figures.idle)
            self._waiting.set(figures.waiting)
            self._max.set(self._pool.size_max)
            self._warn_of_pressure(figures.active)
        if self._memory_on:
            self._memory.set(memory_bytes())

    def _warn_of_pressure(self, active: int) -> None:
        pressed = active > self._pool.size_max * _PRESSURE
        if pressed and not self._pressed:
            log(
                _logger, logging.WARNING, "database connection pool under pressure",
                active=active, max=self._pool.size_max,
            )  # fmt: skip
        self._pressed = pressed

    async def _watch(self) -> None:
        refreshed = monotonic()
        while True:
            due = monotonic() + _LAG_EVERY_S
            await asyncio.sleep(_LAG_EVERY_S)
            now = monotonic()
            self._lag.observe(max(0.0, now - due) * 1e3)
            if now - refreshed >= _EVERY_S:
                refreshed = now
                self.refresh()


def memory_bytes(pid: int | str = "self") -> int:
    """Return the resident memory of a process."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:  # not Linux: no figure is better than a wrong one
        return 0
    return int(fields[1]) * 4096
