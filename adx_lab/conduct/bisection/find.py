"""The search itself: which commit is next, its duet block by block, and what it said."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from adx_lab.analysis.bisection.answer import AnswerStatus, Culprit, SearchStep
from adx_lab.analysis.bisection.blame import Likelihood, blame, targets_of
from adx_lab.analysis.bisection.contrast import Contrast, Key, contrast_of
from adx_lab.analysis.bisection.history import CommitHistory
from adx_lab.analysis.bisection.search import Design, Search, middle
from adx_lab.analysis.duet.block_ratios import BlockSeries
from adx_lab.analysis.duet.comparison import compare
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.stats.sequential_design import SequentialDesign
from adx_lab.errors import MeasurementError, StackError
from adx_lab.progress import Progress
from adx_lab.services.history.commits import Range

FIRST_BLOCKS = 12
"""Of the good against the bad commit: they decide whether there is anything to look for, and how much."""

_LOST_MAX = 3
"""Measurements of a commit that fail in a row before it is passed over: one may be the machine's fault."""

_DIFF_LINES = 60


class Opponent(Protocol):
    """What plays duets of the good commit against others."""

    def blocks(self, sha: str) -> AsyncIterator[Mapping[Key, float]]:
        """Play blocks against a commit until nobody asks for more; yield each one's log ratios.

        Raises
        ------
        StackError
            The commit does not start.
        MeasurementError
            The measurement failed, by nobody's fault.
        """
        ...

    async def findings(self) -> tuple[Finding, ...]:
        """Return what the blocks so far say of the causes; it may look further into them."""
        ...


@dataclass
class Bisection:
    """A bisection under way.

    Attributes
    ----------
    keep
        Told after each step what there is so far: an interrupted search leaves that.
    limit_s
        When to stop at the latest.
    """

    bisection_id: str
    searched: Range
    opponent: Opponent
    progress: Progress
    design: Design = field(default_factory=Design)
    keep: Callable[[Culprit], None] = lambda _: None
    limit_s: float = math.inf
    first_blocks: int = FIRST_BLOCKS
    steps: list[SearchStep] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()
    likelihoods: tuple[Likelihood, ...] = ()
    contrast: Contrast | None = None
    began: float = field(default_factory=time.monotonic)

    async def run(self) -> Culprit:
        """Search to the end.

        Raises
        ------
        StackError
            The good or the bad commit does not start.
        MeasurementError
            Nothing could be measured.
        """
        rows = await self._first()
        if self.contrast is None:
            return self._answer("same", None)
        slowdown = np.array([self.contrast(row) for row in rows])
        search = Search(self._history(), slowdown[np.isfinite(slowdown)], self.design)
        self._note(search, self.searched.bad, slowdown.tolist())
        while (sha := search.next_commit()) is not None and not self._late:
            await self._ask(search, sha)
        return self._answer("found" if search.guilty else "stopped" if self._late else "narrowed", search)

    async def _first(self) -> list[Mapping[Key, float]]:
        """Play the bad commit's duet; with it comes what to look at."""
        bad, count = self.searched.bad, self.first_blocks
        self.progress.step(f"{bad[:10]} against {self.searched.good[:10]}: {count} blocks")
        rows: list[Mapping[Key, float]] = []
        lost = 0
        while len(rows) < count:
            try:
                async with aclosing(self.opponent.blocks(bad)) as blocks:  # type: ignore[type-var]
                    async for row in blocks:
                        rows.append(row)
                        lost = 0
                        if len(rows) == count:
                            break
            except MeasurementError:
                lost += 1
                if lost >= _LOST_MAX:
                    raise
        series = _series(rows)
        comparisons = compare(series, SequentialDesign(looks=(count,)))
        self.contrast = contrast_of(series, comparisons)
        self.findings = await self.opponent.findings()
        return rows

    def _history(self) -> CommitHistory:
        self.likelihoods = blame(self.searched.patches, targets_of(self.findings))
        # Without a finding that names a place in the source every commit is as likely as the next.
        named = any(
            one.share and one.touches.split()[0] in {"function", "query", "setting"}
            for one in self.likelihoods
        )
        return self.searched.history(self.likelihoods if named else ())

    async def _ask(self, search: Search, sha: str) -> None:
        """Play a commit's duet until what it says can be borne."""
        assert self.contrast is not None
        self.progress.step(f"{sha[:10]}: {self.searched.commit(sha).subject}")
        search.begin(sha)
        played, lost, values = 0, 0, list[float]()
        while True:
            try:
                async with aclosing(self.opponent.blocks(sha)) as blocks:  # type: ignore[type-var]
                    async for row in blocks:
                        played, lost = played + 1, 0
                        if math.isfinite(value := self.contrast(row)):
                            values.append(value)
                            search.add(sha, [value])
                        if self._late or search.settled(sha):
                            self._note(search, sha, values)
                            return
                        if played - len(values) >= _LOST_MAX:
                            raise MeasurementError("it does not answer what became slower")  # noqa: TRY301
                raise MeasurementError("the duet ended by itself")  # noqa: TRY301
            except StackError as error:
                self._pass_over(search, sha, error.message)
                return
            except MeasurementError as error:
                lost += 1
                if lost >= _LOST_MAX or played - len(values) >= _LOST_MAX:
                    self._pass_over(search, sha, error.message)
                    return

    def _pass_over(self, search: Search, sha: str, why: str) -> None:
        self.progress.step(f"{sha[:10]} can't be measured: {why}")
        search.skip(sha)
        self._note(search, sha, (), note=why)

    def _note(self, search: Search, sha: str, values: Sequence[float], *, note: str = "") -> None:
        """Write a step down, and let it be kept."""
        finite = np.array([value for value in values if math.isfinite(value)])
        effect = middle(finite) / search.effect if finite.size else None
        error = 1.96 * search.spread[0] / search.effect / math.sqrt(max(1, finite.size))
        suspects = len(search.suspects())
        step = SearchStep(
            sha=sha,
            subject=self.searched.commit(sha).subject,
            blocks=int(finite.size),
            effect=effect,
            low=None if effect is None else effect - error,
            high=None if effect is None else effect + error,
            slow_probability=None if effect is None else search.slow_probability(sha),
            suspects=suspects,
            note=note,
        )
        self.steps.append(step)
        if effect is not None:
            self.progress.step(f"{sha[:10]} has {effect:.0%} of the slowdown; {suspects} commits are left")
        self.keep(self._answer("stopped", search))

    def _answer(self, status: AnswerStatus, search: Search | None) -> Culprit:
        posterior = search.posterior() if search else np.zeros(0)
        suspects = search.suspects() if search else ()
        contrast = self.contrast
        return Culprit(
            bisection_id=self.bisection_id,
            status=status,
            good=self.searched.good,
            bad=self.searched.bad,
            commits=len(self.searched.commits),
            candidates=sum(one.weight > 0 for one in self.searched.commits),
            alpha=self.design.alpha,
            probability=float(np.sort(posterior)[::-1][: len(suspects)].sum()) if suspects else 0.0,
            suspects=suspects,
            slowdown=tuple((*key, effect) for key, effect in contrast.effects.items()) if contrast else (),
            steps=tuple(self.steps),
            findings=self.findings,
            likelihoods=self.likelihoods,
            diff=self._diff(suspects[0].sha) if suspects else "",
            took_s=time.monotonic() - self.began,
        )

    def _diff(self, sha: str) -> str:
        """Return what a commit changed, the places that touch a finding first."""
        ranked = next((one.hunks for one in self.likelihoods if one.sha == sha), ())
        lines = "\n\n".join(hunk.text for hunk in ranked).splitlines()
        cut = [f"… and {len(lines) - _DIFF_LINES} lines more"] if len(lines) > _DIFF_LINES else []
        return "\n".join([*lines[:_DIFF_LINES], *cut])

    @property
    def _late(self) -> bool:
        return time.monotonic() - self.began > self.limit_s


def _series(rows: Sequence[Mapping[Key, float]]) -> tuple[BlockSeries, ...]:
    """Put rows of blocks into series; what most blocks do not carry is left out."""
    keys = sorted({key for row in rows for key in row})
    series = (BlockSeries(*key, tuple(row.get(key, math.nan) for row in rows)) for key in keys)
    return tuple(one for one in series if np.isfinite(one.log_ratio).mean() > 0.5)
