"""The movements of a block that are played without Locust: every way to ask in turn, and a crowd."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adx_lab.analysis.functions.growth import Place
from adx_lab.capture.allocations.places import Allocations
from adx_lab.capture.database.companions import WatchedVariant, read_unanalysed
from adx_lab.capture.database.endpoint_counts import Counters
from adx_lab.capture.plans.of_service import capture_plans
from adx_lab.capture.profiles.sampler import Sampled
from adx_lab.conduct.duet.left import SIDES, Started
from adx_lab.conduct.duet.order import DuetOrder
from adx_lab.conduct.duet.profiling import Profiling, SampledEndpoint
from adx_lab.conduct.duet.templates import VariantError
from adx_lab.conduct.run.asked import AskOrder, ask_each
from adx_lab.conduct.run.request import locust_trust, locust_words
from adx_lab.errors import MeasurementError
from adx_lab.load.order import Rival, awaited_file
from adx_lab.load.serial.core_movement import play_burst, play_core
from adx_lab.load.serial.movement import Measured
from adx_lab.load.serial.order import RefusedError, SerialOrder, SerialRecord
from adx_lab.load.starting.headless import LocustCommand
from adx_lab.load.starting.plain_movement import PlainPlayers, PlainUsers
from adx_lab.progress import Silent
from adx_lab.records.run import Caveat
from adx_lab.services.starting.login import log_in
from adx_lab.settings import Settings

_LOCUST_STARTS_S = 60.0
_LOOK_EVERY_S = 0.05
_ASKED_S = 4.0
_COUNTED_S = 1.5
_SAMPLED_S = 0.8
"""Of each endpoint that is looked into."""

_LEFT_S, _LEFT_TIMES = 0.6, 3
"""Of each endpoint that is asked again since the others are decided."""

Play = Callable[[SerialOrder, Callable[[], Any], Callable[[], None]], SerialRecord]

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
    """What is asked of both variants of one block, besides the load.

    Attributes
    ----------
    play
        Plays a serial movement; blocks for as long as it takes.
    """

    settings: Settings
    order: DuetOrder
    rivals: tuple[Rival, ...]
    number: int
    folder: Path
    play: Play
    caveats: list[Caveat] = field(default_factory=list)

    async def play_serial(
        self,
        watched: Mapping[str, WatchedVariant],
        quiet: Callable[[], None],
        only: Collection[str] | None = None,
    ) -> SerialRecord | None:
        """Ask both in every way, or for some endpoints and longer, one request at a time, before any load.

        None, and a caveat, where somebody's users can't be asked so: the load may tell enough.

        Raises
        ------
        VariantError
            One of them lets nobody in.
        """
        order = self._order(self.order.serial_s)
        if only is not None:
            order = replace(order, seconds=_LEFT_S, endpoints=only, pairs_times=_LEFT_TIMES)

        def play() -> SerialRecord:
            with Counters(watched) as counters:
                return self.play(order, counters.read, quiet)

        try:
            return await asyncio.to_thread(play)
        except RefusedError as error:
            raise VariantError(error.variant, error, says="lets nobody in") from error
        except MeasurementError as error:
            self.caveats.append(Caveat("serial", str(error)))
            return None

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

    async def play_sampled(
        self, pids: Mapping[str, Sequence[int]], profiling: Profiling, endpoints: Collection[str]
    ) -> tuple[SampledEndpoint, ...]:
        """Ask both for some endpoints, one after the other, and see where they compute; no times are kept.

        Raises
        ------
        VariantError
            One of them lets nobody in.
        """
        order = replace(self._order(_SAMPLED_S), endpoints=frozenset(endpoints))

        def turn() -> Mapping[str, Sampled]:
            """Return what was seen of the last endpoint, and begin with the next."""
            seen = profiling.stop()
            profiling.start(pids, seconds=_SAMPLED_S)
            return seen

        try:
            record = await asyncio.to_thread(self.play, order, turn, lambda: None)
        except RefusedError as error:
            raise VariantError(error.variant, error, says="lets nobody in") from error
        finally:
            profiling.close()
        return tuple(
            SampledEndpoint(
                one.endpoint, one.after, dict.fromkeys(one.after, one.pairs), waiting=profiling.waiting
            )
            for one in record.measured
        )

    async def play_counted(
        self, allocations: Mapping[str, Allocations], endpoints: Collection[str]
    ) -> tuple[Measured, ...]:
        """Ask both for some endpoints, and read around each what is allocated; no times are kept.

        Raises
        ------
        MeasurementError
            One of them lets nobody in, or does not tell what it allocates.
        """
        order = replace(self._order(_COUNTED_S), endpoints=frozenset(endpoints))

        def read() -> Mapping[str, Mapping[Place, int]]:
            return {side: one.read() for side, one in allocations.items()}

        return (await asyncio.to_thread(self.play, order, read, lambda: None)).measured

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
                joined=True,
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


@asynccontextmanager
async def players_of(
    settings: Settings, order: DuetOrder, locustfile: Path | None, log: Path
) -> AsyncIterator[Play]:
    """Have a plain file's users ready to do each of their tasks; without a file the lab asks."""
    if locustfile is None:
        yield play_core
        return
    users = PlainUsers(
        locustfile,
        log,
        order.tasks_s,
        words=locust_words(settings, locustfile),
        trust=locust_trust(settings.service),
        timed=settings.service.timing != "none",
    )
    async with PlainPlayers(users) as players:
        yield players.play


async def capture_sides(
    folders: Mapping[str, Path | None],
    started: Mapping[str, Started],
    companions: Mapping[str, dict[str, Any]],
) -> None:
    """Keep the plans of each variant, and the tables of whose contents its planner knows nothing.

    Parameters
    ----------
    folders
        By side, where its named queries are; None where it names none.
    """

    async def capture(side: str, url: str) -> None:
        companions[side]["unanalysed"] = await read_unanalysed(url)
        companions[side]["matrix"] = await capture_plans(url, folders[side])

    known = {side: one.watched.database_url for side, one in started.items()}
    await asyncio.gather(*(capture(side, url) for side, url in known.items() if url is not None))
