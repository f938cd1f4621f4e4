"""What the nights before say of tonight: slowdowns too small for one night, that crept in."""

from __future__ import annotations

from adx_lab.analysis.finding import Finding
from adx_lab.analysis.nights.ratio_series import series_of
from adx_lab.analysis.nights.standing import Crept, crept_in, finding_of, watched
from adx_lab.conduct.bisection.play import places_of
from adx_lab.errors import StoreError, UsageError
from adx_lab.services.history.commits import read_range
from adx_lab.settings import Settings
from adx_lab.store.folders import open_run
from adx_lab.store.rows import stored_rows

_COMMITS_MAX = 20


def crept_tonight(settings: Settings, run_id: str) -> tuple[Finding, ...]:
    """Return the slowdowns that had crept in by a night and still stood then, one finding a cause.

    Parameters
    ----------
    settings
        Of the service and the environment.
    run_id
        The night's duet; later ones are left out, so that an old night's page can be made again.
    """
    try:
        scenario = open_run(settings.runs_dir, run_id).record.scenario
    except (StoreError, UsageError):
        return ()
    rows = [row for row in stored_rows(settings) if row["run_id"] <= run_id]
    found = crept_in(watched(series_of(rows, scenario=scenario)))
    return tuple(finding_of(one, tonight=run_id, commits=_commits(settings, one)) for one in found)


def _commits(settings: Settings, crept: Crept) -> list[str]:
    """Return the commits between, newest last; none where the repository does not hold them."""
    before, after = crept.first.before.commit, crept.first.after.commit
    if not before or not after:
        return []
    try:
        between = read_range(settings.source_dir, before, after, paths=places_of(settings))
    except UsageError:
        return []
    told = [f"{one.sha[:10]} {one.subject}" for one in between.commits if one.weight > 0]
    return told[-_COMMITS_MAX:]
