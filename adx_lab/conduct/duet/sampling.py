"""Where what became slower computes: blocks of their own, after all that is timed, and sampled alike.

The endpoints that became slower are asked by themselves: a function that costs 20 µs more at one of forty
endpoints is lost in the mean over all, and plain in what that one costs. They were chosen by other blocks
than those that are sampled, so that the choice favours no function.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from adx_lab.analysis.duet.block_ratios import ALL
from adx_lab.analysis.functions.suspects import suspects, waiting_ones
from adx_lab.capture.allocations.places import Allocations
from adx_lab.conduct.duet.block import Bench
from adx_lab.conduct.duet.judge import comparisons_of
from adx_lab.conduct.duet.left import SIDES, pids_of
from adx_lab.conduct.duet.movements import Movements
from adx_lab.conduct.duet.profiling import Profiling, SampledEndpoint
from adx_lab.conduct.duet.stored import Gathered
from adx_lab.conduct.duet.templates import VariantError
from adx_lab.errors import MeasurementError
from adx_lab.progress import Progress
from adx_lab.records.run import Caveat

BLOCKS = 10
"""Enough for the signs of whole blocks to tell one function among hundreds."""

_BLOCKS_MIN = 5
_LATER = 101
"""What the first is numbered: they are none of the duet's blocks."""

_GROWTH = "memory_growth_mb"


async def sample_suspects(
    bench: Bench, gathered: Gathered, scratch: Path, progress: Progress, *, rate_per_s: float, tag: str
) -> None:
    """Look into the endpoints that became slower, as far as the order wants it.

    What can't be sampled is a caveat: a duet without functions is a duet all the same.
    """
    wanted, blocks = bench.order.functions, min(len(gathered.audits), BLOCKS)
    if wanted is False or blocks < _BLOCKS_MIN:
        return
    evidence = gathered.evidence(tag)
    comparisons = comparisons_of(evidence)
    endpoints = suspects(comparisons, always=wanted is True)
    if not endpoints:
        return
    waiting = waiting_ones(endpoints, comparisons, evidence.counts, evidence.statements)
    progress.step(f"looking into {', '.join(endpoints)}: {blocks} blocks, sampled")
    command = bench.settings.service.profile or None
    for place in range(blocks):
        folder = scratch / f"sampled-{place}"
        samplers = {
            Profiling(command, waiting=waits): tuple(one for one in endpoints if (one in waiting) is waits)
            for waits in (False, True)
        }
        try:
            if bench.one_by_one:
                asked = await _asked(bench, place + _LATER, folder, samplers)
            else:
                asked = await _loaded(bench, place + _LATER, folder, next(iter(samplers)), rate_per_s)
            trouble = next((one.trouble for one in samplers if one.trouble is not None), None)
        except (VariantError, MeasurementError) as error:
            trouble = str(error)
        if trouble is not None:
            gathered.caveats.append(Caveat("no-profile", trouble))
            return
        gathered.add_sampled(place, asked)
        progress.advance("sampled", place + 1, blocks, "blocks")


async def look_for_growth(bench: Bench, gathered: Gathered, scratch: Path, progress: Progress) -> None:
    """Look for the lines that keep more memory with each request, where head grows more than base."""
    found = comparisons_of(gathered.evidence(""))
    grown = {one.subject for one in found if one.metric == _GROWTH and one.status == "slower"}
    endpoints = grown - {ALL} or {one.subject for one in found if grown and one.metric == _GROWTH} - {ALL}
    if bench.order.functions is False or not endpoints or not bench.one_by_one:
        return
    progress.step("looking for what keeps the memory")
    folders = {side: scratch / f"allocations-{side}" for side in SIDES}
    for folder in folders.values():
        await asyncio.to_thread(folder.mkdir)
    counting = replace(bench, counting=folders)
    try:
        async with counting.asking() as play, counting.up(1) as (slots, started):
            allocations = {side: Allocations(folder) for side, folder in folders.items()}
            rivals = counting.rivals(started, slots)
            movements = Movements(bench.settings, bench.order, rivals, 1, scratch / "counted", play)
            measured = await movements.play_counted(allocations, endpoints)
    except (VariantError, MeasurementError) as error:
        gathered.caveats.append(Caveat("no-allocations", str(error)))
        return
    gathered.add_growth(measured)


async def _asked(
    bench: Bench, number: int, folder: Path, samplers: Mapping[Profiling, Collection[str]]
) -> tuple[SampledEndpoint, ...]:
    """Ask both, fresh ones, for one endpoint after the other."""
    async with AsyncExitStack() as cleanup:
        play = await cleanup.enter_async_context(bench.asking())
        slots, started = await cleanup.enter_async_context(bench.up(number))
        rivals = bench.rivals(started, slots)
        asked: tuple[SampledEndpoint, ...] = ()
        for place, (profiling, endpoints) in enumerate(samplers.items()):
            if endpoints:
                own = folder / str(place)
                await asyncio.to_thread(own.mkdir, parents=True)
                cleanup.callback(profiling.close)
                movements = Movements(bench.settings, bench.order, rivals, number, own, play)
                asked += await movements.play_sampled(pids_of(started), profiling, endpoints)
        return asked


async def _loaded(
    bench: Bench, number: int, folder: Path, profiling: Profiling, rate_per_s: float
) -> tuple[SampledEndpoint, ...]:
    """Sample both while they are loaded: nobody knows how to ask for one endpoint by itself."""
    try:
        await bench.run_block(
            number, folder, rate_per_s=rate_per_s, seconds=bench.order.load_s, profiling=profiling
        )
        seen = await asyncio.to_thread(profiling.stop)
    finally:
        profiling.close()
    table = pq.read_table(folder / "samples.parquet", columns=["variant"])
    sides = table["variant"].to_pylist()
    counts = {side: sides.count(side) for side in SIDES}
    return (SampledEndpoint("", seen, counts),) if seen else ()
