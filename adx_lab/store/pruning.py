"""Remove old runs and their reports; their rows stay, since the history is drawn from those.

Of a team's store what this home has put there goes with them; what it has not put there yet stays here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from adx_lab.errors import StoreError
from adx_lab.records.run import RunRecord
from adx_lab.settings import Settings
from adx_lab.store.folders import open_run, run_ids
from adx_lab.store.shared import owed, remove_run, shared_runs


def prune(
    settings: Settings, *, baseline_commit: str | None, keep: frozenset[str], now: datetime | None = None
) -> list[str]:
    """Remove the folders of runs older than ``night.keep_days``, with their reports.

    Parameters
    ----------
    baseline_commit
        Runs of this commit stay, however old: the nights are compared with it. Of a team all homes' count.
    keep
        Runs that stay in any case, with those that were made for them.
    now
        The present, where it is not the clock's.

    Returns
    -------
    list of str
        What was removed.

    Raises
    ------
    AwayError
        The team's store can't be used: then nothing is removed, or no more.
    """
    if settings.night.keep_days <= 0:
        return []
    shared, waiting = shared_runs(settings), owed(settings)
    baselines = {baseline_commit} | (frozenset() if shared is None else shared.baseline_commits())
    records = [record for record in _own(settings) if not {record.run_id, record.night} & keep]
    ends = [datetime.fromisoformat(record.started_at) for record in records]
    # Counted from the night before this one, too: a clock that is years ahead removes nothing.
    oldest = min([now or datetime.now(UTC), *ends[-1:]]) - timedelta(days=settings.night.keep_days)
    removed = []
    for record, ended in zip(records, ends, strict=True):
        commit = record.git.commit
        if ended >= oldest or (commit and commit in baselines) or record.run_id in waiting:
            continue
        remove_run(settings, record.run_id, everywhere=False)
        shutil.rmtree(settings.reports_dir / record.run_id, ignore_errors=True)
        removed.append(record.run_id)
    return removed


def _own(settings: Settings) -> Iterator[RunRecord]:
    """Yield the runs of the described service, oldest first; other services' nights remove theirs."""
    for run_id in run_ids(settings.runs_dir):
        with suppress(StoreError):  # damaged, or of a newer version: a person decides, not the broom
            record = open_run(settings.runs_dir, run_id).record
            if (record.service, record.environment) == settings.key:
                yield record
