"""One block: fresh clones, fresh processes, the load, the companions, and everything stopped again.

Nothing is pinned to a processor, by measurement. In 24 blocks of two equal variants, each third of them
pinned in its own way, on a 2-core machine that others kept half busy, the log ratio of `all pair_ms` deviated
between blocks by 3.4% where everything ran where it liked, by 6.4% where Locust had one processor and the
cores the other, and by 8.9% where each core had its own. Who is pinned can't step aside for somebody else.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from adx_lab import clock
from adx_lab.analysis.duet.block_ratios import BASE
from adx_lab.capture.allocations.places import counted
from adx_lab.capture.database.companions import (
    CompanionReading,
    WatchedVariant,
    companions_between,
    execute,
    process_usage,
    with_children,
)
from adx_lab.capture.resources import MachineClock, read_machine_clock
from adx_lab.capture.service.openapi import read_routes
from adx_lab.capture.spans.receiver import Receiver
from adx_lab.conduct.duet.left import SIDES, Block, Started, named_queries, pids_of, read_both
from adx_lab.conduct.duet.movements import Movements, Play, Waiting, capture_sides, players_of
from adx_lab.conduct.duet.order import DuetOrder
from adx_lab.conduct.duet.profiling import Profiling
from adx_lab.conduct.duet.templates import Prepared, VariantError
from adx_lab.conduct.run.request import is_ours, locust_trust, locust_words
from adx_lab.conduct.run.traces import doubts_of, receiver_of, splits_of, told_where
from adx_lab.errors import AdxLabError, MeasurementError
from adx_lab.load.collecting.collect import Collected
from adx_lab.load.order import LoadOrder, Rival, write_rivals
from adx_lab.load.recording.rows import all_facts
from adx_lab.load.recording.server_timing import ServerSplit
from adx_lab.load.starting.headless import LocustCommand, run_locust
from adx_lab.progress import Silent
from adx_lab.services.servers import Servers
from adx_lab.services.starting.login import log_in
from adx_lab.services.starting.start import forget_files, start_service, tls_context
from adx_lab.services.starting.templates import adapt
from adx_lab.services.variants import order_of
from adx_lab.settings import Settings
from adx_lab.stack.databases import clone, connected, drop, hold_autovacuum

_READ_BEFORE_S = 0.25
_POLL_S = 0.05
_SEEDS_APART = 1_009
_HOST_UNUSED = "http://127.0.0.1"
"""Locust insists on a host; a duet's requests go to its rivals."""


@dataclass
class _Edges:
    """Readings of both sides just before the measured part and after it."""

    before: dict[str, CompanionReading] = field(default_factory=dict)
    ours: float = 0.0
    machine: MachineClock = field(default_factory=read_machine_clock)
    at: float = 0.0


@dataclass
class Bench:
    """What the blocks of one duet share.

    Attributes
    ----------
    locustfile
        What loads both; None where somebody else asks them, between `up` and the end of its block.
    tag
        Tells the duet's blocks from others'.
    plans
        Whether the first block also captures the matrix of plans.
    """

    settings: Settings
    order: DuetOrder
    servers: Servers
    sides: Mapping[str, Prepared]
    locustfile: Path | None
    tag: str
    plans: bool = True
    counting: Mapping[str, Path] = field(default_factory=dict)
    """By side, where its processes tell what they allocate; none do otherwise."""

    _receiver: Receiver | None = None  # of the block under way, where the service tells its times by spans

    async def run_block(
        self,
        number: int,
        folder: Path,
        *,
        rate_per_s: float,
        seconds: float,
        profiling: Profiling | None = None,
        only: Collection[str] | None = None,
    ) -> Block:
        """Run one block to its end.

        Parameters
        ----------
        rate_per_s, seconds
            Of the load.
        profiling
            Samples both variants while they are loaded; what is timed is then nobody's evidence.
        only
            The endpoints of the serial movement, where the others are decided.

        Raises
        ------
        VariantError
            One of the variants did not start.
        MeasurementError
            The load generator failed.
        """
        began = time.monotonic()
        await asyncio.to_thread(folder.mkdir, parents=True)
        edges = _Edges()
        async with AsyncExitStack() as cleanup:
            self._receiver = cleanup.enter_context(receiver_of(self.settings.service))
            splits: dict[str, ServerSplit] = {}

            def told() -> dict[str, ServerSplit]:
                splits.update(splits_of(self._receiver))
                return splits

            command = self._locust_command(folder, number=number, rate_per_s=rate_per_s, seconds=seconds)
            # Locust takes as long to start as the cores do: all three at once, and it waits for them.
            loading = asyncio.create_task(
                run_locust(command, folder, Silent(), on_start=lambda _pid: None, traces=told)
            )
            cleanup.push_async_callback(_cancel, loading)
            play = await cleanup.enter_async_context(self.asking())
            slots, started = await cleanup.enter_async_context(self.up(number))
            rivals = self.rivals(started, slots)
            movements = Movements(self.settings, self.order, rivals, number, folder, play)
            serial = None
            if self.one_by_one and number:  # the one without a number is a probe of the load
                watched = {side: one.watched for side, one in started.items()}
                serial = await movements.play_serial(watched, Waiting(command, loading), only)
            write_rivals(rivals, Path(str(command.order.rivals_file)))
            sampled = None
            if profiling is not None:
                sampled = partial(profiling.start, pids_of(started), seconds=seconds)
            watching = asyncio.create_task(
                self._read_first(started, Path(command.order.raw_dir), edges, sampled)
            )
            cleanup.push_async_callback(_cancel, watching)
            collected = await loading
            more = doubts_of(self._receiver, splits) + tuple(movements.caveats)
            collected = replace(collected, caveats=collected.caveats + more)
            if not watching.done():
                raise MeasurementError(
                    "the variants' own figures could not be read before the load began",
                    mend="look at how long their /metrics take, or give --seconds more",
                )
            try:
                await watching
            except AdxLabError as error:
                raise MeasurementError(f"the variants' own figures could not be read: {error}") from error
            block = await self._close(started, edges, collected, number=number, slots=slots, folder=folder)
            block.serial = serial
            if serial is not None and self.all_known:
                block.burst = await movements.play_burst()
            for side, one in started.items():
                block.companions[side]["start_s"] = one.start_s
            if number == 1:
                await self._look_around(started, block)
                if self.plans:
                    await self._capture_plans(started, block, movements)
        block.took_s = time.monotonic() - began
        return block

    @property
    def all_known(self) -> bool:
        """Whether all ways to ask are known: of the service whose people are."""
        known = all(self.sides[side].sample_file is not None for side in SIDES)
        return known and any(self.sides[side].variant.tree is not None for side in SIDES)

    @property
    def one_by_one(self) -> bool:
        """Whether both can be asked for one endpoint by itself: in all known ways, or by a file's users."""
        return self.all_known or (self.locustfile is not None and not is_ours(self.locustfile))

    def asking(self) -> AbstractAsyncContextManager[Play]:
        """Have whoever asks one request at a time ready, while the variants start."""
        file = self.locustfile if self.one_by_one and not self.all_known else None
        return players_of(self.settings, self.order, file, self._log("serial"))

    @asynccontextmanager
    async def up(self, number: int) -> AsyncIterator[tuple[dict[str, str], dict[str, Started]]]:
        """Have both variants up for as long as the block runs: fresh processes on fresh clones.

        Yields
        ------
        tuple
            Which slot each side has, and how it was started.

        Raises
        ------
        VariantError
            One of the variants did not start.
        """
        # A fresh coin a block: a port, a clone or a place in the start order that is the better one by
        # nature must fall to each variant as often as to the other.
        slots = dict(zip(SIDES, random.Random(f"{self.tag}-{number}").sample("ab", 2), strict=True))  # noqa: S311
        async with AsyncExitStack() as cleanup:
            yield slots, await self._start(slots, number, cleanup)

    async def _start(
        self, slots: Mapping[str, str], number: int, cleanup: AsyncExitStack
    ) -> dict[str, Started]:
        ordered = sorted(SIDES, key=lambda side: slots[side])
        jobs = [asyncio.create_task(self._start_one(side, slots[side], number)) for side in ordered]
        # Before they are awaited: an interrupt finds one of them up and the other one starting.
        cleanup.push_async_callback(self._stop, jobs)
        done = await asyncio.gather(*jobs, return_exceptions=True)
        failed = [outcome for outcome in done if isinstance(outcome, BaseException)]
        # Where neither starts it is not head's doing.
        failed.sort(key=lambda error: getattr(error, "side", "") != BASE)
        if failed:
            raise failed[0]
        return {side: job.result() for side, job in zip(ordered, jobs, strict=True)}

    async def _start_one(self, side: str, slot: str, number: int) -> Started:
        prepared = self.sides[side]
        variant = prepared.variant
        if variant.url is not None:
            metrics_url = f"{variant.url}{self.settings.service.metrics}"
            tls = tls_context(self.settings.service, variant.url)
            return Started(variant.url, WatchedVariant((), metrics_url, variant.database_url, tls=tls))
        database = f"adx_duet_{slot}" if prepared.template is not None else None
        try:
            url = ""
            if prepared.template is not None and database is not None:
                url = await clone(self.servers.cluster, prepared.template, database, fresh=True)
                await self._count_planning(database)
            service = told_where(variant.service, self._receiver)
            if side in self.counting:
                service = counted(service, self.counting[side])
            order = order_of(
                replace(variant, service=service),
                f"duet-{self.tag}-{number}-{slot}",
                self.settings,
                database_url=url,
                valkey_url=self.servers.valkey_database(1 if slot == "a" else 2),
            )
            await adapt(order, log=self._log(f"{side}-adapt"))
            if url:
                await hold_autovacuum(url)
            if variant.statements and url:
                await execute(url, variant.statements)
            began = time.monotonic()
            core = await start_service(order, log=self._log(side))
            start_s = time.monotonic() - began
        except AdxLabError as error:
            raise VariantError(side, error) from error
        metrics_url = f"{core.url}{self.settings.service.metrics}"
        watched = WatchedVariant(core.pids, metrics_url, url or None, order.valkey_url or None)
        return Started(core.url, watched, core, database, start_s)

    async def _stop(self, jobs: Iterable[asyncio.Task[Started]]) -> None:
        done = [job for job in jobs if job.done() and not job.cancelled() and job.exception() is None]
        await asyncio.gather(*(self._stop_one(job.result()) for job in done))

    async def _stop_one(self, started: Started) -> None:
        if started.core is not None:
            await started.core.stop()
            await asyncio.to_thread(forget_files, started.core.order)
        if started.database is not None:
            await drop(self.servers.cluster, started.database)

    async def _count_planning(self, database: str) -> None:
        # Off by default, since it costs a lock at every plan: a prepared statement is hardly ever planned.
        async with connected(self.servers.cluster.url()) as connection:
            await connection.execute(
                f'ALTER DATABASE "{database}" SET pg_stat_statements.track_planning = on'
            )

    def _locust_command(
        self, folder: Path, *, number: int, rate_per_s: float, seconds: float
    ) -> LocustCommand:
        order = LoadOrder(
            raw_dir=str(folder / "raw"),
            scenario=self.order.scenario,
            rate_per_s=rate_per_s,
            duration_s=seconds,
            warmup_s=self.order.warming_s,
            seed=self.order.seed * _SEEDS_APART + number,
            timeout_s=self.settings.load.timeout_s,
            rivals_file=str(folder / "rivals.json"),
            timed=self.settings.service.timing != "none",
            traced=self._receiver is not None,
        )
        assert self.locustfile is not None
        words = locust_words(self.settings, self.locustfile)
        return LocustCommand(
            order,
            self.locustfile,
            _HOST_UNUSED,
            self._log("locust"),
            more=words,
            trust=locust_trust(self.settings.service),
        )

    def rivals(self, started: Mapping[str, Started], slots: Mapping[str, str]) -> tuple[Rival, ...]:
        """Return whom a load asks, in the order of their slots."""
        files = {side: self.sides[side].sample_file for side in SIDES}
        return tuple(
            Rival(
                variant=side,
                url=started[side].url,
                sample_file=str(files[side]) if files[side] else None,
                headers=log_in(self.settings.service, started[side].url),
            )
            for side in sorted(SIDES, key=lambda side: slots[side])
        )

    async def _read_first(
        self,
        started: Mapping[str, Started],
        raw_dir: Path,
        edges: _Edges,
        sampled: Callable[[], None] | None,
    ) -> None:
        """Read both sides once the warm-up is nearly over."""
        while True:
            begins = [fact["began"] for fact in all_facts(raw_dir) if "began" in fact]
            if begins:
                break
            await asyncio.sleep(_POLL_S)
        await asyncio.sleep(max(0.0, max(begins) - _READ_BEFORE_S - clock.now()))
        edges.before = await read_both(started)
        edges.at, edges.machine = time.monotonic(), read_machine_clock()
        edges.ours = self._ours_s(started)
        if sampled is not None:
            sampled()

    async def _close(
        self,
        started: Mapping[str, Started],
        edges: _Edges,
        collected: Collected,
        *,
        number: int,
        slots: Mapping[str, str],
        folder: Path,
    ) -> Block:
        # Locust is gone, and its CPU with it: what it says itself stands in for it.
        locust_s = collected.cpu_share_max * collected.duration_s
        elapsed = max(time.monotonic() - edges.at, 1e-9)
        ours = self._ours_s(started) - edges.ours + locust_s
        machine = read_machine_clock()
        busy, stolen = machine.busy_s - edges.machine.busy_s, machine.steal_s - edges.machine.steal_s
        after = await read_both(started)
        companions = {
            side: companions_between(
                edges.before.get(side, CompanionReading()),
                after[side],
                named_queries(self.sides[side].variant.queries_folder),
            )
            for side in SIDES
        }
        cores = os.cpu_count() or 1
        return Block(
            number=number,
            folder=folder,
            collected=collected,
            slots=slots,
            companions=companions,
            foreign_cpu_share=max(0.0, busy - ours) / (elapsed * cores),
            steal_share=stolen / (elapsed * cores),
            busy_s=ours,
        )

    def _ours_s(self, started: Mapping[str, Started]) -> float:
        cores = [pid for one in started.values() for pid in one.watched.pids]
        servers = [pid for pids in self.servers.pids.values() for pid in pids]
        return process_usage(with_children([*cores, *servers]))[0]

    async def _look_around(self, started: Mapping[str, Started], block: Block) -> None:
        """Keep what each variant is known to have, whether or not anybody asks for it."""
        for side, one in started.items():
            folder = self.sides[side].variant.queries_folder
            block.companions[side]["named"] = sorted(named_queries(folder))
            # Somebody's locustfile says itself what is judged: a route that nobody asks is a gap only where
            # all ways to ask are known.
            asked = partial(read_routes, one.url, tls=one.watched.tls)
            block.companions[side]["routes"] = await asyncio.to_thread(asked) if self.all_known else []

    async def _capture_plans(
        self, started: Mapping[str, Started], block: Block, movements: Movements
    ) -> None:
        folders = {side: self.sides[side].variant.queries_folder for side in SIDES}
        await capture_sides(folders, started, block.companions)
        if not self.all_known:
            await movements.ask_each(self.locustfile, started, block.companions, self._log("asked"))

    def _log(self, name: str) -> Path:
        return self.settings.stack_dir / "logs" / f"duet-{name}.log"


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
