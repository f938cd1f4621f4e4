"""Conduct a duet: read the variants, go from block to block as planned, judge, store, and tell the store."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.analysis.duet.comparison import needs_more, still_open
from adx_lab.analysis.duet.failures import does_not_start
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.run.audit import ValidityCheck
from adx_lab.analysis.verdict import decide
from adx_lab.conduct.baseline import read_baseline
from adx_lab.conduct.duet.block import Bench
from adx_lab.conduct.duet.judge import (
    DuetAnswer,
    broken_early,
    comparisons_of,
    figures_of_duet,
    judge_duet,
)
from adx_lab.conduct.duet.left import SIDES, Block, named_queries
from adx_lab.conduct.duet.order import DECISIVE_MIN, DuetOrder
from adx_lab.conduct.duet.sampling import look_for_growth, sample_suspects
from adx_lab.conduct.duet.stored import Gathered, read_evidence, write_verdict
from adx_lab.conduct.duet.templates import VariantError, prepare
from adx_lab.conduct.duet.trials import latest_calibration, note_equal
from adx_lab.conduct.run.built import build_record, describe_git
from adx_lab.conduct.run.request import find_scenario
from adx_lab.conduct.sharing import put_up
from adx_lab.errors import MeasurementError
from adx_lab.files import scratch
from adx_lab.progress import Progress, Watched
from adx_lab.records.run import Caveat, RunRecord, new_run_id
from adx_lab.services.servers import Servers, servers
from adx_lab.services.variants import Variant, read_variant, shown_variant
from adx_lab.settings import Settings
from adx_lab.stack.locks import hold
from adx_lab.store.folders import StoredRun, new_run_folder, open_folder, open_run
from adx_lab.store.rows import RunStore
from adx_lab.store.shared import owe

_LIBRARIES = ("asyncpg", "granian", "locust", "numpy", "pandas", "scipy", "valkey")
_PROBE_RATE_PER_S = 120.0
_PROBE_S = 2.0
"""Many pairs, since the clones' checkpoint and cold caches are paid for in the same seconds: from 40 a second
it took 33 for the rate to measure at, on a busy machine where 200 were answered with a median of 3 ms.
"""

_UTILISATION = 0.4
"""Of what the slower variant can serve: the method asks for at most a half."""

_RATE_MIN, _RATE_MAX = 10.0, 300.0
_FREE_MIN = 0.3
LIMIT_S = 300.0
"""A duet of which nobody said how long takes at most so long, unless its first look alone takes longer."""

_NARROW_SHARE = 0.6
"""How long a block takes that asks for a few endpoints, of a whole one's time."""


@dataclass(frozen=True)
class Played:
    """A duet that was played, or why it could not be; ``run`` is None where nothing was measured."""

    answer: DuetAnswer
    run: StoredRun | None
    caveats: tuple[Caveat, ...] = ()


async def play(settings: Settings, order: DuetOrder, progress: Progress) -> Played:
    """Play a duet to its verdict, and store it.

    Raises
    ------
    UsageError
        A variant, the scenario or a number is wrong.
    BusyError
        Another duet of this checkout is being played.
    """
    with hold(settings.data_dir / "duet.lock", what="a duet of this checkout"):
        scenario = find_scenario(settings, order.scenario)
        variants = {
            BASE: read_variant(order.base, settings),
            HEAD: read_variant(order.head, settings),
        }
        run_id = new_run_id()
        try:
            started = any(variant.tree is not None for variant in variants.values())
            async with servers(settings, progress, needed=started) as up:
                run = await _Duet(settings, order, variants, run_id, progress).measure(
                    up, scenario.locustfile
                )
        except (VariantError, MeasurementError) as error:
            return Played(_not_measured(settings, run_id, error), None)
    answer = judge_duet(read_evidence(run))
    _keep_row(settings, run, answer, baseline=_baseline_of(settings, order, variants))
    if len(run.record.duet.blocks) >= DECISIVE_MIN:
        note_equal(settings, run, answer.verdict)
    await put_up(settings, progress)
    return Played(answer, run, run.record.caveats)


@dataclass
class _Duet:
    """One duet that is under way."""

    settings: Settings
    order: DuetOrder
    variants: Mapping[str, Variant]
    run_id: str
    progress: Progress
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def measure(self, up: Servers, locustfile: Path) -> StoredRun:
        """Play the blocks and write the run."""
        settings, order = self.settings, self.order
        sides = await prepare(settings, up, self.variants, self.progress)
        described = {side: self.variants[side].describe() for side in SIDES}
        named = {side: named_queries(self.variants[side].queries_folder) for side in SIDES}
        roots = {side: tree.path if (tree := self.variants[side].tree) else None for side in SIDES}
        gathered = Gathered(order.design, described, latest_calibration(settings), named, roots)
        bench = Bench(settings, order, up, sides, locustfile, self.run_id.rpartition("-")[2])
        with (
            new_run_folder(settings.runs_dir, self.run_id) as run_dir,
            scratch(settings.data_dir, "duet") as blocks_dir,
        ):
            owe(settings, run_dir)
            if order.rate_per_s is None:
                self.progress.step("looking for a rate that both can serve easily")
            rate_per_s = order.rate_per_s or await find_rate(bench, blocks_dir)
            await self._play_blocks(bench, gathered, blocks_dir, rate_per_s)
            await sample_suspects(
                bench, gathered, blocks_dir, self.progress, rate_per_s=rate_per_s, tag=self.run_id
            )
            await look_for_growth(bench, gathered, blocks_dir, self.progress)
            gathered.write(run_dir, self._record(gathered, rate_per_s))
            # From the files, not from memory: what is sealed is what can be judged again.
            write_verdict(run_dir, judge_duet(read_evidence(open_folder(run_dir))).verdict)
        return open_run(settings.runs_dir, self.run_id)

    async def _play_blocks(
        self, bench: Bench, gathered: Gathered, blocks_dir: Path, rate_per_s: float
    ) -> None:
        order, design, progress = self.order, gathered.design, self.progress
        target, number, began = min(design.looks[0], order.cap), 0, time.monotonic()
        only: frozenset[str] | None = None
        progress.step(
            f"{target} blocks of {order.load_s:g} s at {rate_per_s:.3g} pairs/s; "
            f"up to {order.cap} where that does not decide it"
        )
        while number < target:
            number += 1
            folder = blocks_dir / f"block-{number}"
            block = await bench.run_block(
                number, folder, rate_per_s=rate_per_s, seconds=order.load_s, only=only
            )
            gathered.add(block)
            progress.advance("duet", number, target, "blocks")
            if isinstance(progress, Watched):
                progress.shown("comparisons", comparisons_of(gathered.evidence(self.run_id)))
            if number == 1 and broken_early(gathered.evidence(self.run_id)):
                progress.step("one block is enough: what fails there is plain to see")
                return
            if number == target:
                compared = comparisons_of(gathered.evidence(self.run_id))
                more = needs_more(compared, design, blocks=number)
                only = still_open(compared)
                spent_s = time.monotonic() - began
                cost = more / number * (1 if only is None else _NARROW_SHARE)
                if more and order.blocks is None and (1 + cost) * spent_s > LIMIT_S:
                    # The clock decides, not what was seen: that costs an answer, and no error.
                    progress.step(f"undecided, and no time for more blocks; --blocks {order.cap} takes it")
                    return
                target = min(number + more, order.cap)
                if target > number:
                    asked = "" if only is None else f", with {len(only)} of the endpoints"
                    progress.step(f"undecided after {number} blocks: going on to {target}{asked}")

    def _record(self, gathered: Gathered, rate_per_s: float) -> RunRecord:
        order = self.order
        caveats = tuple(caveat for variant in self.variants.values() for caveat in variant.caveats)
        caveats += tuple(gathered.caveats)
        if len(gathered.audits) < DECISIVE_MIN:
            text = f"{len(gathered.audits)} blocks can't decide anything: {DECISIVE_MIN} is the least"
            caveats += (Caveat("few-blocks", text),)
        measured = {"rate_per_s": rate_per_s, "seconds": order.load_s, "warmup_s": order.warming_s}
        return build_record(
            self.settings,
            run_id=self.run_id,
            purpose=order.purpose,
            scenario=order.scenario,
            started_at=self.started_at,
            duration_s=gathered.duration_s,
            seed=order.seed,
            audit=gathered.audit(**measured),
            variants=(shown_variant(order.base), shown_variant(order.head)),
            git=describe_git(self.settings.source_dir),
            caveats=caveats,
            night=order.night,
            service=self.settings.key[0],
            environment=self.settings.key[1],
        )


async def find_rate(bench: Bench, folder: Path) -> float:
    """Find a rate well below what the slower variant can serve, from what a slow one costs.

    Pairs are limited by a core's event loop, and by the processors that both cores, the database and the
    load generator share. The share that somebody else takes just now is not ours.
    """
    block = await bench.run_block(0, folder / "probe", rate_per_s=_PROBE_RATE_PER_S, seconds=_PROBE_S)
    return _rate_from(block)


def _rate_from(block: Block) -> float:
    pairs = max(block.collected.requests / 2, 1)
    free = (os.cpu_count() or 1) * max(_FREE_MIN, 1 - block.foreign_cpu_share)
    limits = [free / max(block.busy_s / pairs, 1e-6)]
    # Of somebody else's service nobody knows the CPU: it can serve what it has just served.
    lasted_s = max(block.collected.duration_s, 1e-6)
    spent_s = (float(one["cpu_s"]) for one in block.companions.values())
    limits += [pairs / (cpu_s if cpu_s > 0 else lasted_s) for cpu_s in spent_s]
    return round(min(max(_UTILISATION * min(limits), _RATE_MIN), _RATE_MAX))


def _not_measured(settings: Settings, run_id: str, error: VariantError | MeasurementError) -> DuetAnswer:
    """Return the verdict of a duet that could not be played.

    A head that does not start or lets nobody in is worse than a base that does; without a base there is
    nothing to compare with, and that is invalid as a load that could not be made is.
    """
    name = f"{error.side}_starts" if isinstance(error, VariantError) else "load_generated"
    broken = isinstance(error, VariantError) and error.side == HEAD
    kind = "start" if broken else "invalid"
    return DuetAnswer(
        decide(
            run_id=run_id,
            comparisons=(does_not_start(),) if broken else (),
            findings=(Finding(kind, name, str(error), {}),),
            validity=() if broken else (ValidityCheck(name, 0.0, 1.0, ok=False),),
            calibration=latest_calibration(settings),
        )
    )


def _baseline_of(settings: Settings, order: DuetOrder, variants: Mapping[str, Variant]) -> str | None:
    """Return the baseline's commit where this is the working tree, as it is, against it; else None.

    What somebody tries out in between is no night: it has no commit yet, or too few blocks.
    """
    baseline, base, head = read_baseline(settings), variants[BASE].tree, variants[HEAD].tree
    if baseline is None or base is None or head is None or order.purpose != "duet" or order.head != ".":
        return None
    against = (base.commit, base.changed) == (baseline.commit, False)
    whole = order.night is not None or (not head.changed and order.cap >= DECISIVE_MIN)
    return baseline.commit if against and whole and variants[BASE].start == variants[HEAD].start else None


def _keep_row(settings: Settings, run: StoredRun, answer: DuetAnswer, *, baseline: str | None) -> None:
    figures = figures_of_duet(answer.verdict, baseline=baseline)
    store = RunStore(settings)
    try:
        store.save(run.record, status=answer.verdict.status, figures=figures)
    finally:
        store.close()
