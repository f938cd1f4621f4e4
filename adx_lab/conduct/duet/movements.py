"""The movements of a block that are played without Locust: every way to ask in turn, and a crowd."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from adx_lab.capture.database.companions import WatchedVariant
from adx_lab.capture.database.endpoint_counts import Counters
from adx_lab.conduct.duet.left import SIDES, Started
from adx_lab.conduct.duet.order import DuetOrder
from adx_lab.conduct.duet.profiling import Profiling
from adx_lab.conduct.duet.templates import VariantError
from adx_lab.conduct.run.asked import AskOrder, ask_each
from adx_lab.conduct.run.request import locust_trust, locust_words
from adx_lab.load.order import Rival, awaited_file
from adx_lab.load.serial.core_movement import SerialOrder, SerialRecord, play_burst, play_core
from adx_lab.load.serial.core_ways import RefusedError
from adx_lab.load.starting.headless import LocustCommand
from adx_lab.progress import Silent
from adx_lab.services.starting.login import log_in
from adx_lab.settings import Settings

_LOCUST_STARTS_S = 60.0
_LOOK_EVERY_S = 0.05
_PROFILED_S = 60.0
_ASKED_S = 4.0
_CROWD = 12
"""Connections that are always busy in a burst."""


@dataclass(frozen=True)
class Waiting:
    """Waits until Locust has started, or has died of it: it starts beside the first, cold requests."""

    command: LocustCommand
    loading: asyncio.Task[Any]

    def __call__(self) -> None:
        """Wait, in a thread of one's own."""
        file = awaited_file(str(self.command.order.rivals_file))
        deadline = time.monotonic() + _LOCUST_STARTS_S
        while not file.exists() and not self.loading.done() and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)


@dataclass(frozen=True)
class Movements:
    """What is asked of both variants of one block, besides the load."""

    settings: Settings
    order: DuetOrder
    rivals: tuple[Rival, ...]
    number: int
    folder: Path

    async def play_serial(
        self, watched: Mapping[str, WatchedVariant], quiet: Callable[[], None]
    ) -> SerialRecord:
        """Ask both in every way, one request at a time, before any load.

        Raises
        ------
        VariantError
            One of them lets nobody in.
        """

        def play() -> SerialRecord:
            with Counters(watched) as counters:
                return play_core(self._order(self.order.serial_s), counters.read, quiet)

        try:
            return await asyncio.to_thread(play)
        except RefusedError as error:
            raise VariantError(error.variant, error, says="lets nobody in") from error

    async def play_burst(self) -> SerialRecord:
        """Let a crowd ask each in turn, after everything else.

        Raises
        ------
        VariantError
            One of them lets nobody in any more.
        """
        try:
            return await asyncio.to_thread(play_burst, self._order(self.order.burst_s), _CROWD)
        except RefusedError as error:
            raise VariantError(error.variant, error, says="lets nobody in") from error

    async def play_profiled(self, pids: Mapping[str, Sequence[int]], profiling: Profiling) -> dict[str, int]:
        """Ask both in every way once more, sampled, and keep no times: return how often each was asked.

        Raises
        ------
        VariantError
            One of them lets nobody in any more.
        """
        order = replace(self._order(self.order.serial_s), folder=self.folder / "profiled")
        profiling.start(pids, seconds=_PROFILED_S)
        try:
            record = await asyncio.to_thread(play_core, order, dict, lambda: None)
        except RefusedError as error:
            raise VariantError(error.variant, error) from error
        asked: Counter[str] = Counter(dict.fromkeys(pids, 0))
        for movement in record.movements:
            table = pq.read_table(order.folder / movement / "samples.parquet", columns=["variant"])
            asked.update(table["variant"].to_pylist())
        return dict(asked)

    async def ask_each(
        self,
        locustfile: Path | None,
        started: Mapping[str, Started],
        companions: Mapping[str, dict[str, Any]],
        log: Path,
    ) -> None:
        """Keep which statements each endpoint asks for, where no movement counts them.

        Both are asked at once: nothing is timed here.
        """
        watched = {side: one for side, one in started.items() if one.watched.database_url is not None}
        if locustfile is None or len(watched) < len(SIDES):
            return
        service = self.settings.service
        orders = {
            side: AskOrder(
                locustfile,
                one.url,
                str(one.watched.database_url),
                log.with_stem(f"{log.stem}-{side}"),
                seed=self.order.seed,
                words=locust_words(self.settings, locustfile),
                trust=locust_trust(service),
                headers=await asyncio.to_thread(log_in, service, one.url),
            )
            for side, one in watched.items()
        }
        told = await asyncio.gather(
            *(ask_each(order, Silent(), seconds=_ASKED_S) for order in orders.values())
        )
        for side, asked in zip(orders, told, strict=True):
            companions[side]["asked"] = asked

    def _order(self, seconds: float) -> SerialOrder:
        return SerialOrder(
            rivals=self.rivals,
            seconds=seconds,
            block=self.number,
            seed=self.order.seed,
            timeout_s=self.settings.load.timeout_s,
            folder=self.folder,
        )
