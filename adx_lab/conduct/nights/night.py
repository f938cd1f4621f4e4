"""The night: load, duet, rules, notebooks, one report, one verdict.

Everything is stored as soon as it is measured, so that a night that is interrupted leaves what it had, as an
invalid report.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from adx_lab.analysis.nights.standing import KIND as CREPT_IN
from adx_lab.analysis.verdict import Verdict, decide
from adx_lab.conduct.baseline import Baseline, read_baseline, set_baseline
from adx_lab.conduct.bisection.play import bisect_night
from adx_lab.conduct.checks import before_a_night
from adx_lab.conduct.duet.order import DuetOrder
from adx_lab.conduct.duet.play import play
from adx_lab.conduct.duet.stored import write_unplayed
from adx_lab.conduct.nights.pages import of_the_night, report
from adx_lab.conduct.run import recorded
from adx_lab.conduct.run.request import LoadRequest, find_scenario, usual_scenario
from adx_lab.conduct.run.surroundings import Surroundings, elsewhere, surroundings
from adx_lab.conduct.sharing import put_up
from adx_lab.conduct.switches.catalogue import measures_of
from adx_lab.conduct.switches.measure import RulesOrder, measure_rules
from adx_lab.errors import AdxLabError, StoreError, UsageError
from adx_lab.progress import Progress, Watched
from adx_lab.records.documents import to_json
from adx_lab.records.run import Caveat
from adx_lab.report.page.measured_night import CROWD
from adx_lab.report.page.night_report import Report
from adx_lab.services.sources import working_tree
from adx_lab.services.stack_state import read_state
from adx_lab.settings import LoadSettings, Settings
from adx_lab.stack.locks import hold
from adx_lab.store.folders import StoredRun, open_run, run_ids
from adx_lab.store.pruning import prune
from adx_lab.store.rule_costs import read_rule_costs
from adx_lab.store.shared import AwayError, is_copy, owe

ProfileName = Literal["quick", "nightly"]
_WEBHOOK_S = 10.0


@dataclass(frozen=True, slots=True)
class NightProfile:
    """How thorough a night is.

    Attributes
    ----------
    load
        Settings of the load, by their dotted names.
    duet
        Fields of the duet's order; no ``blocks`` compare nothing.
    steps
        Whether the load is raised until a budget breaks, too.
    crowd
        Whether as many users as the budgets ask for are let in at once, too.
    rules
        Whether each performance rule is measured, too.
    bisect
        Whether the guilty commit is looked for after a regression.
    """

    load: dict[str, float]
    duet: dict[str, Any] = field(default_factory=dict)
    steps: bool = False
    crowd: bool = False
    rules: bool = False
    bisect: bool = False


PROFILES: dict[ProfileName, NightProfile] = {
    "quick": NightProfile(
        {"load.rate_per_s": 300.0, "load.duration_s": 40.0, "load.warmup_s": 5.0}, {"profile": "quick"}
    ),
    "nightly": NightProfile(
        {"load.rate_per_s": 300.0, "load.duration_s": 240.0, "load.warmup_s": 10.0},
        {"profile": "nightly"},
        steps=True,
        crowd=True,
        rules=True,
        bisect=True,
    ),
}


@dataclass
class _Night:
    """One night under way: what it has so far."""

    settings: Settings
    profile: NightProfile
    progress: Progress
    run: StoredRun | None = None
    notes: list[Caveat] = field(default_factory=list)

    async def measure(self, request: LoadRequest) -> None:
        """Load, raise the load, compare, and measure the rules; each is stored as it ends."""
        beside = [] if self.run is None else of_the_night(self.settings, self.run)
        if self.run is None:
            await self._load(request)
        elif request.url is None:
            await self._go_on(beside)
        assert self.run is not None
        await put_up(self.settings, self.progress)
        if isinstance(self.progress, Watched):
            self.progress.shown("budgets", recorded.judge(self.settings, self.run).budgets)
        if self._plays_duets(request) and self.profile.duet.get("blocks") != 0:
            played = next((other for other in beside if other.record.kind == "duet"), None)
            await self._compare(self.run, played)
        if request.url is None and self.settings.is_reference and self.profile.rules:
            await self._measure_rules(self.run)

    async def _load(self, request: LoadRequest) -> None:
        settings, progress = self.settings, self.progress
        if request.url is not None:
            around = await elsewhere(settings, request)
            self.run = await recorded.record_load(settings, around, request, progress)
            return
        async with surroundings(settings, progress, fresh=read_state(settings) is None) as around:
            self.run = await recorded.record_load(settings, around, request, progress)
            await self._climb(around)
            await self._let_in(around)

    async def _go_on(self, beside: Sequence[StoredRun]) -> None:
        """Load once more what an interrupted night had not loaded yet."""
        climbed = any(other.record.kind == "climb" for other in beside) or not self.profile.steps
        crowded = any(other.record.scenario == CROWD for other in beside) or not self.profile.crowd
        if not self.settings.is_reference or (climbed and crowded):
            return
        async with surroundings(self.settings, self.progress) as around:
            if not climbed:
                await self._climb(around)
            if not crowded:
                await self._let_in(around)

    async def _climb(self, around: Surroundings) -> None:
        assert self.run is not None
        if self.profile.steps and self.settings.is_reference:
            steps = replace(find_scenario(self.settings, "steps"), night=self.run.record.run_id)
            settings = for_climbing(self.settings)
            recorded.keep(settings, await recorded.record_load(settings, around, steps, self.progress))

    async def _let_in(self, around: Surroundings) -> None:
        """Let the crowd in; a machine that can't hold it can still tell everything else."""
        if not (self.profile.crowd and self.settings.is_reference):
            return
        assert self.run is not None
        crowd = replace(find_scenario(self.settings, CROWD), night=self.run.record.run_id)
        settings = for_climbing(self.settings)
        try:
            recorded.keep(settings, await recorded.record_load(settings, around, crowd, self.progress))
        except AdxLabError as error:
            text = f"the crowd could not be let in: {error}"
            self.progress.step(text)
            self.notes.append(Caveat("no-crowd", text))

    def _plays_duets(self, request: LoadRequest) -> bool:
        """Tell whether the service can be started as it was: the core, and whoever names a ref."""
        started = request.url is None and bool(self.settings.service.start.command)
        return started and (self.settings.is_reference or bool(self.settings.baseline.ref))

    async def _compare(self, run: StoredRun, played: StoredRun | None) -> None:
        """Play the duet, unless the night that goes on has it, and look for the guilty commit."""
        baseline = read_baseline(self.settings) or self._first_baseline()
        if baseline is None:
            return
        status = None if played is None else (played.verdict() or {}).get("status")
        if played is None:
            self.progress.step(f"comparing with the baseline {baseline.ref} ({baseline.commit[:10]})")
            scenario, night = usual_scenario(self.settings), run.record.run_id
            order = DuetOrder(baseline.commit, ".", scenario=scenario, night=night, **self.profile.duet)
            made = await play(self.settings, order, self.progress)
            if made.run is None:
                write_unplayed(run.folder, made.answer.verdict.findings[0])
                owe(self.settings, run.folder)
                return
            status = made.answer.verdict.status
        if self.profile.bisect and status == "regressed":
            await self._bisect(baseline.commit)

    async def _bisect(self, good: str) -> None:
        """Look for the guilty commit, where there is more than one that it could be."""
        answer = await bisect_night(self.settings, good, self.progress)
        if answer is not None:
            self.progress.step(answer.answer.sentence)
            self.notes.append(Caveat("bisection", f"{answer.answer.sentence}; {answer.page}"))

    async def _measure_rules(self, run: StoredRun) -> None:
        """Measure each rule that was not measured since the night began."""
        costs = read_rule_costs(self.settings).values()
        measured = {cost.rule for cost in costs if cost.at >= run.record.started_at}
        names = tuple(one.rule for one in measures_of(()) if one.rule not in measured)
        if names:
            await measure_rules(self.settings, RulesOrder(names), self.progress)

    def _first_baseline(self) -> Baseline | None:
        """Set what this night and later ones are compared with; None where that is what is measured now."""
        settings = self.settings
        try:
            made: Baseline = set_baseline(settings, settings.baseline.ref or "HEAD")
        except UsageError as error:
            text = f"nothing was compared, and nothing can be: {error.message}"
        else:
            tree = working_tree(settings.source_dir, settings.service.start)
            if settings.baseline.ref and (tree.commit, tree.changed) != (made.commit, False):
                return made
            text = (
                f"nothing was compared, since there was no baseline; this commit ({made.commit[:10]}) is the "
                "baseline from now on"
            )
        self.progress.step(text)
        self.notes.append(Caveat("no-baseline", text))
        return None


async def nightly(
    settings: Settings,
    request: LoadRequest,
    profile: NightProfile,
    progress: Progress,
    *,
    resumed: StoredRun | None = None,
) -> Report:
    """Do everything: stack, load, captures, comparison, notebooks, report, verdict.

    A night that is stopped after its load leaves an invalid report of what it had. ``resumed`` is the load of
    such a night: what was stored of it is not measured again.

    Raises
    ------
    BusyError
        Another nightly runs in this checkout.
    """
    with hold(settings.data_dir / "nightly.lock", what="a nightly of this checkout"):
        before_a_night(settings, progress, attached=request.url is not None)
        night = _Night(settings, profile, progress, run=resumed)
        try:
            await night.measure(request)
        except (asyncio.CancelledError, KeyboardInterrupt, Exception) as stopped:
            if night.run is None:
                raise
            await _leave_what_there_is(night, stopped)
            raise
        assert night.run is not None
        made = await report(settings, night.run, progress, notes=tuple(night.notes))
        await put_up(settings, progress)
        await asyncio.to_thread(_prune, settings, night.run, progress)
        await asyncio.to_thread(_tell, settings, made, progress)
        return made


def unfinished(settings: Settings) -> StoredRun:
    """Return the load of the latest night, where that night did not come to its end.

    Raises
    ------
    UsageError
        There is no night, or the latest one is whole.
    """
    for run_id in reversed(run_ids(settings.runs_dir)):
        try:
            run = open_run(settings.runs_dir, run_id)
        except StoreError:  # damaged: nothing can be taken up from it
            continue
        if run.record.purpose != "nightly" or is_copy(run.folder):
            continue
        if _is_whole(settings.reports_dir / run_id / "verdict.json"):
            mend = "start another with adx-lab nightly"
            raise UsageError(f"the latest night, {run_id}, came to its end", mend=mend)
        return run
    raise UsageError("there is no night to go on with", mend="start one with adx-lab nightly")


def _is_whole(verdict: Path) -> bool:
    try:
        checks = json.loads(verdict.read_text(encoding="utf-8"))["validity"]
        return not any(check["check"] == "night_stopped_early" for check in checks)
    except (OSError, ValueError, KeyError, TypeError):  # no report, or none that can be read
        return False


def for_climbing(settings: Settings) -> Settings:
    """Return the settings without the night's own rate and length: what climbs has its own, and a crowd."""
    usual = LoadSettings()
    load = msgspec.structs.replace(
        settings.load,
        rate_per_s=usual.rate_per_s,
        duration_s=usual.duration_s,
        warmup_s=usual.warmup_s,
        users=usual.users,
    )
    return msgspec.structs.replace(settings, load=load)


async def _leave_what_there_is(night: _Night, stopped: BaseException) -> None:
    """Write an invalid report of an interrupted night, without its notebooks: somebody waits for the end."""
    assert night.run is not None
    if isinstance(stopped, AdxLabError):
        why = str(stopped)
    elif isinstance(stopped, Exception):
        why = f"a fault of ADX Lab itself: {type(stopped).__name__}: {stopped}"
    else:
        why = "it was interrupted"
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
    made = await report(night.settings, night.run, night.progress, notes=tuple(night.notes), stopped=why)
    night.progress.step(f"the night ended early; what it had is in {made.index}")


def _prune(settings: Settings, run: StoredRun, progress: Progress) -> None:
    baseline = read_baseline(settings)
    commit = None if baseline is None else baseline.commit
    try:
        removed = prune(settings, baseline_commit=commit, keep=frozenset({run.record.run_id}))
    except AwayError as error:
        progress.step(f"old runs stay for tonight: {error}")
        return
    if removed:
        progress.step(f"removed {len(removed)} old run{'s' if len(removed) > 1 else ''}")


def _tell(settings: Settings, made: Report, progress: Progress) -> None:
    """Send the verdict to the webhook; a receiver that is away makes no verdict worse, and is told."""
    url = settings.night.webhook_url
    if url is None:
        return
    if not is_news(made.verdict):
        progress.step("the webhook knows what crept in, and nothing else is wrong: it is not told again")
        return
    document = {"summary": made.summary, **json.loads(to_json(made.verdict.to_json()))}
    try:
        request = urllib.request.Request(
            url, to_json(document).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=_WEBHOOK_S) as answer:
            progress.step(f"told the webhook: {answer.status}")
    except (http.client.HTTPException, OSError, ValueError) as error:
        progress.step(f"the webhook could not be told: {error}")


def is_news(verdict: Verdict) -> bool:
    """Tell whether a verdict says more than that a slowdown of an earlier night, told then, still stands."""
    crept = [one for one in verdict.findings if one.kind == CREPT_IN]
    if not crept or any(one.evidence["news"] for one in crept):
        return True
    rest = tuple(one for one in verdict.findings if one.kind != CREPT_IN)
    without = decide(
        run_id=verdict.run_id,
        budgets=verdict.budgets,
        comparisons=verdict.comparisons,
        coverage=verdict.coverage,
        findings=rest,
        validity=verdict.validity,
    )
    return without.status in {"regressed", "invalid"}
