"""Duets of one commit against others, block by block, on servers that stay up over the whole search."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from adx_lab.analysis.bisection.contrast import Key
from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.analysis.duet.pair_ratios import MOVEMENT_METRICS, pairs_of, ratio_series, whole_pairs
from adx_lab.analysis.finding import Finding
from adx_lab.conduct.duet.block import Bench
from adx_lab.conduct.duet.judge import judge_duet
from adx_lab.conduct.duet.order import DuetOrder
from adx_lab.conduct.duet.play import find_rate
from adx_lab.conduct.duet.sampling import sample_suspects
from adx_lab.conduct.duet.stored import Gathered
from adx_lab.conduct.duet.templates import prepare
from adx_lab.errors import MeasurementError
from adx_lab.progress import Progress, Silent
from adx_lab.services.servers import Servers
from adx_lab.services.variants import read_variant
from adx_lab.settings import Settings


@dataclass
class DuetOpponent:
    """Plays the duets of a search.

    Attributes
    ----------
    order
        Of the good against the bad commit; of others only the head differs.
    rate_per_s
        Pairs a second, the same for all; None finds it by a short probe.
    """

    settings: Settings
    order: DuetOrder
    servers: Servers
    locustfile: Path
    scratch: Path
    rate_per_s: float | None
    tag: str
    progress: Progress = field(default_factory=Silent)
    _bench: Bench | None = None
    _gathered: Gathered | None = None
    _number: int = 0

    async def blocks(self, sha: str) -> AsyncIterator[Mapping[Key, float]]:
        """Play blocks against a commit.

        Raises
        ------
        VariantError
            A commit does not start.
        MeasurementError
            The load generator failed, or the commit answers nothing.
        """
        variants = {
            BASE: read_variant(self.order.base, self.settings),
            HEAD: read_variant(sha, self.settings),
        }
        sides = await prepare(self.settings, self.servers, variants, Silent())
        described = {side: variant.describe() for side, variant in variants.items()}
        roots = {side: variant.tree.path if variant.tree else None for side, variant in variants.items()}
        gathered = Gathered(self.order.design, described, roots=roots)
        # What the causes are is asked once, of the bad commit, which is the first.
        first = self._gathered is None
        self._gathered = self._gathered or gathered
        bench = Bench(self.settings, self.order, self.servers, sides, self.locustfile, self.tag, plans=first)
        self._bench = self._bench or bench
        rate_per_s = self.rate_per_s = self.rate_per_s or await find_rate(bench, self.scratch)
        played = 0
        while True:
            self._number, played = self._number + 1, played + 1
            folder = self.scratch / f"block-{self._number}"
            number = 1 if first and played == 1 else self._number + 1
            block = await bench.run_block(number, folder, rate_per_s=rate_per_s, seconds=self.order.load_s)
            gathered.add(block)
            self.progress.advance(sha[:10], played, played, "blocks")
            samples = gathered.evidence(self.tag).samples
            shutil.rmtree(folder, ignore_errors=True)
            samples = samples[samples["block"] == block.number]
            if samples.empty:
                raise MeasurementError(f"{sha[:10]} answered nothing")
            yield _row(samples)

    async def findings(self) -> tuple[Finding, ...]:
        """Return the causes of the bad commit's slowdown, as its duet tells them, down to its functions."""
        if self._bench is None or self._gathered is None or not self._gathered.audits:
            return ()
        assert self.rate_per_s is not None
        await sample_suspects(
            self._bench,
            self._gathered,
            self.scratch,
            self.progress,
            rate_per_s=self.rate_per_s,
            tag=self.tag,
        )
        return judge_duet(self._gathered.evidence(self.tag)).verdict.findings


def _row(samples: pd.DataFrame) -> dict[Key, float]:
    """Return a block's log ratios: of each movement and endpoint."""
    moved = whole_pairs(samples).groupby("movement")
    return {
        (one.subject, one.metric): one.log_ratio[0]
        for movement, own in moved
        for one in ratio_series(pairs_of(own), metric=MOVEMENT_METRICS[str(movement)])
    }
