"""What a run's page shows, and the pages: of a night, of a duet, of any run alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from adx_lab.analysis.plans.captures.matrix import Matrix, read_matrix
from adx_lab.analysis.verdict import Verdict
from adx_lab.conduct.duet.judge import judge_duet
from adx_lab.conduct.duet.stored import read_evidence, read_unplayed
from adx_lab.conduct.nights.history import crept_tonight
from adx_lab.conduct.nights.usual import compare_night, nights_before
from adx_lab.conduct.run import recorded
from adx_lab.errors import StoreError, UsageError
from adx_lab.progress import Progress
from adx_lab.records.run import Caveat
from adx_lab.report.duet.source_change import source_change
from adx_lab.report.duet.stored_duet import Duel
from adx_lab.report.notebooks.catalogue import CLIMB, DUET, LOAD, NIGHTS, RULES
from adx_lab.report.page.index import write_index
from adx_lab.report.page.measured_night import CROWD, Contents, NightDuet
from adx_lab.report.page.night_report import NotebookOrder, Report, make_report
from adx_lab.settings import Settings
from adx_lab.store.folders import StoredRun, judging, open_run, runs_naming
from adx_lab.store.rule_costs import read_rule_costs
from adx_lab.store.shared import bring_night

_PLANS, _CACHE = "query_plans", "cache"


async def report(
    settings: Settings,
    run: StoredRun,
    progress: Progress,
    *,
    notes: tuple[Caveat, ...] = (),
    stopped: str | None = None,
) -> Report:
    """Judge a stored run with what was measured the same night, execute the notebooks, write the report.

    Parameters
    ----------
    notes
        Caveats of the night as a whole.
    stopped
        Why the night ended early.

    Returns
    -------
    Report
        Of a duet its own page, of any other run that of its night.
    """
    with judging(run):
        return await _report(settings, run, progress, notes=notes, stopped=stopped)


async def _report(
    settings: Settings, run: StoredRun, progress: Progress, *, notes: tuple[Caveat, ...], stopped: str | None
) -> Report:
    contents = await asyncio.to_thread(contents_of, settings, run, notes=notes, stopped=stopped)
    orders = () if stopped is not None else notebooks_of(contents)
    judgement = contents.judgement
    if judgement is None:
        made = await make_report(settings, contents, orders, progress)
        await asyncio.to_thread(write_index, settings)
        return made
    # The notebooks of all nights must find this one, too.
    recorded.keep_row(settings, judgement, status=None)
    made = await make_report(settings, contents, orders, progress)
    recorded.keep_row(settings, judgement, status=made.verdict.status)
    await asyncio.to_thread(write_index, settings)
    return made


async def page_of(settings: Settings, run: StoredRun, progress: Progress) -> Report:
    """Write the page of one run without its notebooks: what every verb that stores a run ends with."""
    with judging(run):
        made = await make_report(settings, await asyncio.to_thread(contents_of, settings, run), (), progress)
    await asyncio.to_thread(write_index, settings)
    return made


def contents_of(
    settings: Settings, run: StoredRun, *, notes: tuple[Caveat, ...] = (), stopped: str | None = None
) -> Contents:
    """Return what a run's page shows: a duet alone, or a load with what was measured the same night."""
    if run.record.kind == "duet":
        return Contents(compared=_compared(settings, run), notes=notes)
    judgement = replace(recorded.judge(settings, run), nights=nights_before(settings, run))
    beside = list(of_the_night(settings, run))
    crowd = next((other for other in beside if other.record.scenario == CROWD), None)
    compared = next((_compared(settings, other) for other in beside if other.record.kind == "duet"), None)
    climbed = next((other.record.run_id for other in beside if other.record.kind == "climb"), None)
    # What the core's rules are worth says nothing of somebody else's service.
    known = read_rule_costs(settings) if run.record.target.get("tenants") else {}
    usual = compare_night(settings, judgement)
    if (
        not usual.nights
        and compared is None
        and run.record.purpose == "nightly"
        and not settings.is_reference
    ):
        text = "nothing was compared, since this is the first valid night of this service and scenario"
        notes = (*notes, Caveat("first-night", text))
    return Contents(
        judgement,
        compared,
        climbed,
        rules=tuple(known[name] for name in sorted(known)),
        stopped=stopped,
        notes=notes,
        unplayed=read_unplayed(run.folder),
        usual=usual,
        crowd=None if crowd is None else recorded.judge(settings, crowd),
        crept=() if compared is None else crept_tonight(settings, compared.run_id),
    )


def notebooks_of(contents: Contents) -> tuple[NotebookOrder, ...]:
    """Return the notebooks that have something to show."""
    runs = {} if contents.judgement is None else dict.fromkeys(LOAD, contents.run_id)
    if contents.judgement is not None and contents.record.kind == "climb":
        runs |= dict.fromkeys(CLIMB, contents.run_id)
    if contents.compared is not None:
        runs |= dict.fromkeys(DUET, contents.compared.run_id)
    if contents.knee_run_id is not None:
        runs |= dict.fromkeys(CLIMB, contents.knee_run_id)
    empty = _empty_of(contents)
    of_runs = (NotebookOrder(name, {"run_id": run_id}) for name, run_id in runs.items() if name not in empty)
    if contents.judgement is None:
        return tuple(of_runs)
    of_nights = (NotebookOrder(name, {"scenario": contents.record.scenario}) for name in NIGHTS)
    return (*of_runs, *of_nights, *(NotebookOrder(name) for name in RULES if contents.rules))


def _empty_of(contents: Contents) -> set[str]:
    """Return the notebooks that would be empty: the service tells nothing of what they show."""
    judgement, plans = contents.judgement, contents.plans
    empty = set() if plans is not None and plans.cells else {_PLANS}
    return empty if judgement is not None and len(judgement.cache) else {*empty, _CACHE}


def of_the_night(settings: Settings, run: StoredRun) -> list[StoredRun]:
    """Return the runs that were made for a night's loaded run."""
    own = run.record.run_id
    bring_night(settings, run)
    found = []
    # Of any time: a clock that was set back lets a duet seem older than its night.
    for run_id in runs_naming(settings.runs_dir, own):
        try:
            other = open_run(settings.runs_dir, run_id)
        except (
            UsageError,
            StoreError,
        ):  # no run, or a damaged one: it is none of this night that could be read
            continue
        if other.record.night == own:
            found.append(other)
    return found


def _compared(settings: Settings, run: StoredRun) -> NightDuet:
    evidence = read_evidence(run)
    verdict: Verdict = judge_duet(evidence).verdict
    base, head = run.record.variants
    first = evidence.companions[0]
    return NightDuet(
        run_id=run.record.run_id,
        base=base,
        head=head,
        verdict=verdict,
        caveats=run.record.caveats,
        base_plans=_plans(first["base"]),
        head_plans=_plans(first["head"]),
        duel=Duel(run, verdict.to_json()),
        change=source_change(evidence.variants, settings.source_dir),
    )


def _plans(companions: Any) -> Matrix | None:
    document = companions.get("matrix")
    return None if document is None else read_matrix(document)
