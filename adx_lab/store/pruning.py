"""Remove old runs and their reports; their rows stay, since the history is drawn from those."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

from adx_lab.errors import StoreError
from adx_lab.settings import Settings
from adx_lab.store.folders import delete_run_folder, open_run, run_ids


def prune(
    settings: Settings, *, baseline_commit: str | None, keep: frozenset[str], now: datetime | None = None
) -> list[str]:
    """Remove the folders of runs older than ``night.keep_days``, with their reports.

    Parameters
    ----------
    baseline_commit
        Runs of this commit stay, however old: the nights are compared with it.
    keep
        Runs that stay in any case.
    now
        The present, where it is not the clock's.

    Returns
    -------
    list of str
        What was removed.
    """
    if settings.night.keep_days <= 0:
        return []
    oldest = (now or datetime.now(UTC)) - timedelta(days=settings.night.keep_days)
    removed = []
    for run_id in run_ids(settings.runs_dir):
        if run_id in keep:
            continue
        try:
            record = open_run(settings.runs_dir, run_id).record
        except StoreError:  # damaged, or of a newer version: a person decides, not the broom
            continue
        if (record.service, record.environment) != settings.key:
            continue  # another service's: its own nights remove them
        commit = record.git.commit
        if datetime.fromisoformat(record.started_at) >= oldest or (commit and commit == baseline_commit):
            continue
        delete_run_folder(settings.runs_dir, run_id)
        shutil.rmtree(settings.reports_dir / run_id, ignore_errors=True)
        removed.append(run_id)
    return removed
