"""Take what repeats (processes, cache counters, connections) beside a load, at a steady pace."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg

from adx_lab import clock
from adx_lab.capture.database.statements import count_connections
from adx_lab.capture.database.waits import Waits, read_waits
from adx_lab.capture.resources import read_machine_clock, sample_processes, used_seconds
from adx_lab.capture.service.cache import cache_rows
from adx_lab.capture.service.gauges import service_rows
from adx_lab.capture.service.metrics import read_metrics
from adx_lab.records.run import Caveat

_EVERY_S = 1.0
_WAITS_EVERY_S = 0.2


@dataclass
class Samples:
    """What the sampler has gathered; times are seconds on the wall clock until `shifted`.

    ``steal_share`` is the part of the machine that the hypervisor gave to others meanwhile, ``foreign_share``
    the part that processes used which belong neither to the stack nor to the lab.
    """

    resources: list[dict[str, Any]] = field(default_factory=list)
    cache: list[dict[str, Any]] = field(default_factory=list)
    service: list[dict[str, Any]] = field(default_factory=list)
    connections: list[tuple[float, int]] = field(default_factory=list)
    waits: Waits = field(default_factory=Counter)
    steal_share: float = 0.0
    foreign_share: float = 0.0
    gaps: int = 0
    database_lost: str | None = None

    def shifted(self, began: float) -> Samples:
        """Return the same on the run's clock, without what came before its zero."""
        return Samples(
            _since(self.resources, began),
            _since(self.cache, began),
            _since(self.service, began),
            [(t - began, count) for t, count in self.connections if t >= began],
            self.waits,
            self.steal_share,
            self.foreign_share,
            self.gaps,
            self.database_lost,
        )

    def caveats(self) -> tuple[Caveat, ...]:
        """Return what could not be seen."""
        found = []
        if self.gaps:
            text = f"the service's metrics page did not answer {self.gaps} times"
            found.append(Caveat("metrics_gap", text))
        if self.database_lost is not None:
            text = f"the database was lost under the load, and not sampled from then on: {self.database_lost}"
            found.append(Caveat("database_lost", text))
        return tuple(found)


def _since(rows: list[dict[str, Any]], began: float) -> list[dict[str, Any]]:
    return [{**row, "t_s": row["t_s"] - began} for row in rows if row["t_s"] >= began]


@asynccontextmanager
async def sampling(
    roots: Callable[[], Mapping[str, Iterable[int]]],
    metrics_url: str | None,
    connection: asyncpg.Connection | None,
    *,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Samples]:
    """Sample for as long as the block runs; the processes' ids are asked for anew each time.

    ``tls`` is how the certificate of the metrics page is looked at.
    """
    samples = Samples()
    began, before, own_before_s = time.monotonic(), read_machine_clock(), time.process_time()
    task = asyncio.create_task(_sample(samples, roots, metrics_url, connection, tls))
    try:
        yield samples
    finally:
        task.cancel()
        await asyncio.wait([task])
        after, capacity_s = read_machine_clock(), (time.monotonic() - began) * (os.cpu_count() or 1)
        ours_s = used_seconds(samples.resources) + time.process_time() - own_before_s
        samples.steal_share = (after.steal_s - before.steal_s) / capacity_s
        samples.foreign_share = max(0.0, after.busy_s - before.busy_s - ours_s) / capacity_s
    if not task.cancelled():
        task.result()  # it never returns: if it ended, it failed, and the run must say so


async def _sample(
    samples: Samples,
    roots: Callable[[], Mapping[str, Iterable[int]]],
    metrics_url: str | None,
    connection: asyncpg.Connection | None,
    tls: ssl.SSLContext | None,
) -> None:
    while True:
        now = clock.now()
        samples.resources += await asyncio.to_thread(sample_processes, roots(), now)
        if metrics_url is not None:
            page = await asyncio.to_thread(partial(read_metrics, metrics_url, tls=tls))
            samples.cache += cache_rows(page, now)
            samples.service += service_rows(page, now)
            samples.gaps += not page
        try:
            if connection is not None:
                samples.connections.append((now, await count_connections(connection)))
            while (rest_s := _EVERY_S - (clock.now() - now)) > 0:
                if connection is not None:
                    samples.waits.update(await read_waits(connection))
                await asyncio.sleep(min(rest_s, _WAITS_EVERY_S))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            # The rest is sampled all the same; the load goes on, and with it the record.
            samples.database_lost = f"{type(error).__name__}: {error}"
            connection = None
