"""What is done with stored runs as a whole: the index made anew from the folders, and runs removed."""

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

_DAYS_MAX = 36_500
"""A century: more than a calendar bears in the end, and NaN is below nothing."""


def rebuild(settings: Settings, progress: Progress) -> list[str]:
    """Make the run store anew from the journal and the folders, and return the runs that were added.

    A damaged database of the home's own is set aside; a team's gets what this home knows. A folder that
    can't be read, or judged, is passed over and named.

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
        added = []
        for run_id in run_ids(settings.runs_dir):
            if run_id in known:
                continue
            try:
                run = open_run(settings.runs_dir, run_id)
                figures, status = _figures(settings, run), _status(settings, run)
            except (AdxLabError, ValueError, TypeError, KeyError) as error:
                progress.step(f"{run_id} has no row: {error}")
                continue
            store.save(run.record, status=status, figures=figures)
            added.append(run_id)
        store.require()
    finally:
        store.close()
    return added


def delete(settings: Settings, run_id: str) -> None:
    """Remove one run, with its report and its row.

    Raises
    ------
    UsageError
        The id is not a whole one, or the run is of the baseline's commit.
    """
    known = run_ids(settings.runs_dir)
    if run_id not in known:
        near = [name for name in known if run_id and name.startswith(run_id)]
        mend = f"say the whole id: {', '.join(near[:3])}" if near else "adx-lab runs list shows what there is"
        raise UsageError(f"there is no run {run_id or 'without a name'} in {settings.runs_dir}", mend=mend)
    commit = _commit_of(settings, run_id)
    if commit in baseline_commits(settings):
        mend = "set another baseline first: adx-lab baseline set REF"
        raise UsageError(f"run {run_id} is of the baseline's commit {str(commit)[:10]}, and stays", mend=mend)
    _remove(settings, [run_id])


def delete_old(
    settings: Settings, *, older_than_days: float | None, keep: int | None, now: datetime | None = None
) -> list[str]:
    """Remove runs that are older, and all but the newest few; never the baseline's, nor a damaged one.

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
    baselines = baseline_commits(settings)
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
    _remove(settings, doomed)
    return doomed


def _remove(settings: Settings, doomed: Sequence[str]) -> None:
    store = RunStore(settings)
    try:
        for run_id in doomed:
            delete_run_folder(settings.runs_dir, run_id)
            shutil.rmtree(settings.reports_dir / run_id, ignore_errors=True)
            store.delete(run_id)
    finally:
        store.close()


def _baseline_commit(settings: Settings) -> str | None:
    baseline = read_baseline(settings)
    return None if baseline is None else baseline.commit


def _commit_of(settings: Settings, run_id: str) -> str | None:
    try:
        commit: str | None = open_run(settings.runs_dir, run_id).record.git.commit
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
