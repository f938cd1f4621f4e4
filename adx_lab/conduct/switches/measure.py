"""Measure what each performance rule is worth: the core against itself with that rule off, block by block."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.analysis.run.budgets import Budget
from adx_lab.analysis.switches.block_figures import figures_of_block
from adx_lab.analysis.switches.worth import BLOCKS_DECISIVE, RuleBlock, keeps, weigh
from adx_lab.conduct.duet.block import Bench
from adx_lab.conduct.duet.left import SIDES, Started
from adx_lab.conduct.duet.order import BLOCKS_MAX, DuetOrder
from adx_lab.conduct.duet.templates import Prepared, prepare
from adx_lab.conduct.duet.trials import machine_id
from adx_lab.conduct.run.request import find_scenario
from adx_lab.conduct.switches.catalogue import Measure, measures_of
from adx_lab.conduct.switches.probes import Ground
from adx_lab.conduct.switches.signals import seen
from adx_lab.errors import AdxLabError, UsageError
from adx_lab.files import scratch
from adx_lab.progress import Progress
from adx_lab.records.run import Caveat, new_run_id
from adx_lab.report.switches.worth_table import evidence_text
from adx_lab.services.servers import Servers, servers
from adx_lab.services.sources import working_tree
from adx_lab.services.variants import read_variant
from adx_lab.settings import Settings, read_budgets
from adx_lab.stack.locks import hold
from adx_lab.store.rule_costs import RuleCost, RuleCosts

SECONDS, WARMUP_S = 2.5, 0.8
_SIGNAL_BLOCKS = 2
_FOREIGN_CPU_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class RulesOrder:
    """How rules are measured.

    Attributes
    ----------
    names
        Which; all of them where none is named.
    blocks
        Of each; fewer than `BLOCKS_DECISIVE` run and decide nothing.
    seconds, rate_per_s
        Of load in a block, and pairs of requests in each of them, where a rule is shown under load; None is
        what suits the rule.
    seed
        Of schedules and coins.
    """

    names: tuple[str, ...] = ()
    blocks: int = BLOCKS_DECISIVE
    seconds: float = SECONDS
    rate_per_s: float | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what can't be measured.

        Raises
        ------
        UsageError
            A rule is unknown, or a number is out of its range.
        """
        measures_of(self.names)
        if not 1 <= self.blocks <= BLOCKS_MAX:
            raise UsageError(f"--blocks {self.blocks} is not between 1 and {BLOCKS_MAX}")
        if self.seconds <= 0:
            raise UsageError("a block needs some seconds of load", mend="give --seconds a number above 0")
        if self.rate_per_s is not None and self.rate_per_s <= 0:
            raise UsageError(f"--rate {self.rate_per_s:g} is not a positive number")


async def measure_rules(settings: Settings, order: RulesOrder, progress: Progress) -> tuple[RuleCost, ...]:
    """Measure rules one after another; each is stored as soon as it is known.

    Returns
    -------
    tuple of RuleCost
        In the order asked for. One that could not be measured is *undecided*, and its caveat says why.

    Raises
    ------
    UsageError
        A scenario is missing, or the budgets are wrong.
    BusyError
        A duet of this checkout is being played.
    """
    measures = measures_of(order.names)
    call = _Call(settings, order, progress, new_run_id())
    with hold(settings.data_dir / "duet.lock", what="a duet of this checkout"):
        async with servers(settings, progress) as up:
            return tuple([await call.measure(measure, up) for measure in measures])


@dataclass(frozen=True, slots=True)
class _Call:
    """One call, which measures some rules under one id."""

    settings: Settings
    order: RulesOrder
    progress: Progress
    run_id: str

    async def measure(self, measure: Measure, up: Servers) -> RuleCost:
        """Measure a rule and store what it is worth."""
        began = time.monotonic()
        self.progress.step(f"{measure.rule}: {measure.scenario}")
        blocks: list[RuleBlock] = []
        signals: list[dict[str, bool]] = []
        caveats: list[Caveat] = []
        try:
            await self._play(measure, up, blocks, caveats)
            if measure.signal is not None:
                signals += await self._look(measure, up)
        except UsageError:
            raise
        except AdxLabError as error:
            caveats.append(Caveat("not-measured", str(error)))
        made = self._weighed(measure, blocks, signals, caveats, seconds=time.monotonic() - began)
        store = RuleCosts(self.settings)
        try:
            store.add(made)
        finally:
            store.close()
        self.progress.step(f"{made.rule}: {made.status}; {made.evidence}")
        return made

    async def _play(
        self, measure: Measure, up: Servers, blocks: list[RuleBlock], caveats: list[Caveat]
    ) -> None:
        bench = await self._bench(measure, up, measure.options)
        others: list[float] = []
        with scratch(self.settings.data_dir, "rules") as blocks_dir:
            for number in range(1, self.order.blocks + 1):
                if measure.probe is None:
                    block, foreign = await self._load(bench, measure, number, blocks_dir / str(number))
                    others.append(foreign)
                else:
                    block = await self._probe(bench, measure, number)
                blocks.append(block)
                self.progress.advance(measure.rule, number, self.order.blocks, "blocks")
        usual = sorted(others)[len(others) // 2] if others else 0.0
        if usual > _FOREIGN_CPU_SHARE:
            caveats.append(Caveat("busy", f"others took {usual:.0%} of the machine meanwhile"))

    async def _load(
        self, bench: Bench, measure: Measure, number: int, folder: Path
    ) -> tuple[RuleBlock, float]:
        rate_per_s = self.order.rate_per_s or measure.rate_per_s
        played = await bench.run_block(number, folder, rate_per_s=rate_per_s, seconds=self.order.seconds)
        samples = pq.read_table(folder / "samples.parquet").to_pandas()
        queries = pq.read_table(folder / "queries.parquet").to_pandas()
        cpu_s = {side: float(played.companions[side]["cpu_s"]) for side in SIDES}
        return (
            figures_of_block(samples, queries, cpu_s, endpoint=measure.subject),
            played.foreign_cpu_share,
        )

    async def _probe(self, bench: Bench, measure: Measure, number: int) -> RuleBlock:
        assert measure.probe is not None
        figures: dict[str, dict[str, float]] = {}
        async with self._grounds(bench, number) as grounds:
            for side, ground in grounds:
                figures[side] = await measure.probe(ground)
        return RuleBlock(figures[BASE], figures[HEAD], {})

    async def _look(self, measure: Measure, up: Servers) -> list[dict[str, bool]]:
        """Look for the signal, in blocks of their own: its settings may not be those of the price."""
        assert measure.signal is not None
        bench = await self._bench(measure, up, measure.signal_options)
        found = []
        for number in range(1, min(_SIGNAL_BLOCKS, self.order.blocks) + 1):
            async with self._grounds(bench, number) as grounds:
                found.append({side: await seen(measure.signal, ground) for side, ground in grounds})
        return found

    @asynccontextmanager
    async def _grounds(self, bench: Bench, number: int) -> AsyncIterator[list[tuple[str, Ground]]]:
        """Have both variants up; the one in the first slot, a coin's choice, is asked first."""
        async with bench.up(number) as (slots, started):
            yield [
                (side, await self._ground(bench.sides[side], started[side]))
                for side in sorted(SIDES, key=lambda side: slots[side])
            ]

    async def _ground(self, prepared: Prepared, started: Started) -> Ground:
        assert started.core is not None
        assert prepared.sample_file is not None
        assert started.watched.database_url is not None
        text = await asyncio.to_thread(prepared.sample_file.read_text, encoding="utf-8")
        logs = self.settings.stack_dir / "logs"
        return Ground(started.core, json.loads(text), started.watched.database_url, logs)

    async def _bench(self, measure: Measure, up: Servers, options: str) -> Bench:
        order = DuetOrder(
            f".{options}",
            f".{options}+{measure.rule}=off",
            scenario=measure.scenario,
            warmup_s=WARMUP_S,
            seed=self.order.seed,
        )
        file = find_scenario(self.settings, measure.scenario).locustfile if measure.probe is None else None
        variants = {
            side: await asyncio.to_thread(read_variant, text, self.settings)
            for side, text in zip(SIDES, (order.base, order.head), strict=True)
        }
        sides = await prepare(self.settings, up, variants, self.progress)
        tag = f"{self.run_id.rpartition('-')[2]}-{measure.rule}"
        return Bench(self.settings, order, up, sides, file, tag, plans=False)

    def _weighed(
        self,
        measure: Measure,
        blocks: Sequence[RuleBlock],
        signals: Sequence[dict[str, bool]],
        caveats: Sequence[Caveat],
        *,
        seconds: float,
    ) -> RuleCost:
        price = measure.signal is not None
        # The price of keeping a rule is the cost of the other direction.
        turned = [replace(block, kept=block.broken, broken=block.kept, log_ratio={}) for block in blocks]
        cost = weigh(turned if price else blocks, measure.figure, measure.effect)
        tree = working_tree(self.settings.source_dir, self.settings.service.start)
        both = [block for block in blocks if measure.figure in block.kept and measure.figure in block.broken]
        shows = [(shown.figure, shown.words, shown.unit) for shown in measure.shows]
        signal = (measure.signal.says(), signals) if measure.signal is not None else None
        return RuleCost(
            run_id=self.run_id,
            rule=measure.rule,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=machine_id(),
            kind=measure.kind,
            scenario=measure.scenario,
            subject=measure.subject,
            metric=measure.metric,
            unit=measure.unit,
            effect=measure.effect,
            status=_blind(signals) if price else cost.status,
            level=cost.level,
            p=cost.p,
            blocks=len(blocks),
            seconds=seconds,
            commit=tree.commit,
            changed=tree.changed,
            kept=cost.broken if price else cost.kept,
            broken=cost.kept if price else cost.broken,
            value=cost.value,
            low=cost.low,
            high=cost.high,
            **self._held(measure, blocks),
            evidence=evidence_text(blocks, shows, signal),
            kept_blocks=tuple(block.kept[measure.figure] for block in both),
            broken_blocks=tuple(block.broken[measure.figure] for block in both),
            caveats=(*measure.caveats, *cost.caveats, *caveats),
        )

    def _held(self, measure: Measure, blocks: Sequence[RuleBlock]) -> dict[str, Any]:
        against = measure.against
        if against is None:
            return {}
        name, limit = against.name, against.limit
        if against.metric is not None:
            budget = self._budget(against.metric)
            name, limit = budget.name, budget.limit
        kept = [block.kept[against.figure] for block in blocks if against.figure in block.kept]
        broken = [block.broken[against.figure] for block in blocks if against.figure in block.broken]
        return {
            "budget": name,
            "limit": limit,
            "budget_kept": keeps(kept, limit),
            "budget_broken": keeps(broken, limit),
        }

    def _budget(self, metric: str) -> Budget:
        known = read_budgets(self.settings.budgets_file, "rules")
        for budget in known:
            if budget.metric == metric:
                return budget
        raise UsageError(f"no budget is on {metric}", mend="restore data/budgets.toml")


def _blind(signals: Sequence[dict[str, bool]]) -> str:
    """Tell whether the signal was there with the rule on, and never with it off."""
    told = bool(signals) and all(one[BASE] and not one[HEAD] for one in signals)
    return "blind" if told else "undecided"
