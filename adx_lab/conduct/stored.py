"""What is done with stored runs as a whole: the index made anew from the folders, and runs removed.

A rebuilt index holds what is in a team's store, too; a run is removed there where its whole id was said, or
where this home had put it there.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from adx_lab.conduct.baseline import baseline_commits, read_baseline
from adx_lab.conduct.duet.judge import figures_of_duet, judge_duet
from adx_lab.conduct.duet.stored import read_evidence
from adx_lab.conduct.run.recorded import judge
from adx_lab.errors import AdxLabError, StoreError, UsageError
from adx_lab.progress import Progress
from adx_lab.report.run.judged_run import figures_of
from adx_lab.settings import Settings
from adx_lab.store.folders import StoredRun, delete_run_folder, open_run, run_ids
from adx_lab.store.rows import RunStore
from adx_lab.store.shared import AwayError, find_run, is_copy, remove_run, shared_runs

_DAYS_MAX = 36_500
"""A century: more than a calendar bears in the end, and NaN is below nothing."""


def rebuild(settings: Settings, progress: Progress) -> list[str]:
    """Make the run store anew from the journal and the folders, and return the runs that were added.

    A damaged database of the home's own is set aside; a team's gets what this home knows. A folder that
    can't be read, or judged, is passed over and named. What is only in the team's store is brought down to be
    judged, one at a time, and does not stay.

    Raises
    ------
    StoreError
        The database can't be used.
    """
    store = RunStore(settings)
    try:
        store.restart()
        store.require()
        known = {row["run_id"] for row in store.list()}
        local, elsewhere = _all_ids(settings, progress)
        added = []
        for run_id in sorted({*local, *elsewhere} - known):
            try:
                run = find_run(settings, run_id)
                figures, status = _figures(settings, run), _status(settings, run)
            except (AdxLabError, ValueError, TypeError, KeyError) as error:
                progress.step(f"{run_id} has no row: {error}")
                continue
            store.save(run.record, status=status, figures=figures)
            added.append(run_id)
            if run_id in elsewhere:
                delete_run_folder(settings.runs_dir, run_id)
        store.require()
    finally:
        store.close()
    return added


def _all_ids(settings: Settings, progress: Progress) -> tuple[list[str], list[str]]:
    """Return the runs that are here, and those that are only in the team's store."""
    local = run_ids(settings.runs_dir)
    try:
        shared = shared_runs(settings)
        there = [] if shared is None else shared.ids()
    except AwayError as error:
        progress.step(f"only what is here has rows: {error}")
        return local, []
    if shared is not None:  # copies of what was removed meanwhile
        local = [one for one in local if one in there or not is_copy(settings.runs_dir / one)]
    return local, [one for one in there if one not in local]


def delete(settings: Settings, run_id: str) -> None:
    """Remove one run, with its report and its row; in the team's store, too.

    Raises
    ------
    UsageError
        The id is not a whole one, or the run is of the commit of a baseline.
    AwayError
        The team's store can't be used: nothing is removed.
    """
    shared = shared_runs(settings)
    known = sorted({*run_ids(settings.runs_dir), *(shared.ids() if shared else ())})
    if run_id not in known:
        near = [name for name in known if run_id and name.startswith(run_id)]
        mend = f"say the whole id: {', '.join(near[:3])}" if near else "adx-lab runs list shows what there is"
        raise UsageError(f"there is no run {run_id or 'without a name'} in {settings.runs_dir}", mend=mend)
    commit = _commit_of(settings, run_id)
    if commit in _baselines(settings):
        mend = "set another baseline first: adx-lab baseline set REF"
        raise UsageError(f"run {run_id} is of the baseline's commit {str(commit)[:10]}, and stays", mend=mend)
    _remove(settings, [run_id], everywhere=True)


def delete_old(
    settings: Settings, *, older_than_days: float | None, keep: int | None, now: datetime | None = None
) -> list[str]:
    """Remove runs that are older, and all but the newest few; never the baseline's, nor a damaged one.

    In a team's store only those go that this home has put there; of the others their copies here.

    Parameters
    ----------
    older_than_days, keep
        Where both are given, a run goes that is older and not among the newest.
    now
        The present, where it is not the clock's.
    """
    days = older_than_days or 0
    if not 0 <= days <= _DAYS_MAX or (keep is not None and keep < 0):
        raise UsageError(
            "a number of days or runs can't be meant",
            mend=f"give one from 0 on, and at most {_DAYS_MAX:,} days",
        )
    oldest = (now or datetime.now(UTC)) - timedelta(days=days)
    baselines = _baselines(settings)
    ids = run_ids(settings.runs_dir)
    doomed = []
    for run_id in ids[: max(0, len(ids) - (keep or 0))]:
        try:
            record = open_run(settings.runs_dir, run_id).record
        except StoreError:  # a person decides, not the broom
            continue
        old = datetime.fromisoformat(record.started_at) < oldest
        if old and record.git.commit not in baselines:
            doomed.append(run_id)
    _remove(settings, doomed, everywhere=False)
    return doomed


def _remove(settings: Settings, doomed: Sequence[str], *, everywhere: bool) -> None:
    store = RunStore(settings)
    try:
        for run_id in doomed:
            others = not everywhere and is_copy(settings.runs_dir / run_id)
            remove_run(settings, run_id, everywhere=everywhere)
            shutil.rmtree(settings.reports_dir / run_id, ignore_errors=True)
            if not others:
                store.delete(run_id)
    finally:
        store.close()


def _baselines(settings: Settings) -> frozenset[str]:
    shared = shared_runs(settings)
    return baseline_commits(settings) | (frozenset() if shared is None else shared.baseline_commits())


def _baseline_commit(settings: Settings) -> str | None:
    baseline = read_baseline(settings)
    return None if baseline is None else baseline.commit


def _commit_of(settings: Settings, run_id: str) -> str | None:
    shared = shared_runs(settings)
    try:
        if shared is not None and run_id not in run_ids(settings.runs_dir):
            record = shared.record(run_id)
            return None if record is None else record.git.commit
        commit: str | None = open_run(settings.runs_dir, run_id).record.git.commit
    except AwayError:
        raise
    except StoreError:  # damaged: whoever names all of its id means it
        return None
    return commit


def _figures(settings: Settings, run: StoredRun) -> dict[str, float | None]:
    if run.record.kind != "duet":
        return figures_of(judge(settings, run))
    # Only a night's duet is of the tree against its baseline; who says so of another was in the lost row.
    verdict = judge_duet(read_evidence(run)).verdict
    return figures_of_duet(verdict, baseline=_baseline_commit(settings) if run.record.night else None)


def _status(settings: Settings, run: StoredRun) -> str | None:
    if run.record.kind == "duet":
        return judge_duet(read_evidence(run)).verdict.status
    try:
        verdict: dict[str, Any] = msgspec.json.decode(
            (settings.reports_dir / run.folder.name / "verdict.json").read_bytes(), type=dict
        )
    except (OSError, msgspec.MsgspecError):  # no report was made
        return None
    status = verdict.get("status")
    return status if isinstance(status, str) else None
