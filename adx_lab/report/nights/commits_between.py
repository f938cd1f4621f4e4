"""The commits between the two nights of a change, and what they touched: where to look first."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from adx_lab.analysis.bisection.blame import blame, targets_of
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.nights.ratio_series import RatioSeries
from adx_lab.errors import UsageError
from adx_lab.report.nights.night_series import NightSeries
from adx_lab.report.parts.table import Column, Table
from adx_lab.services.history.commits import CORE, Range, read_range
from adx_lab.settings import CHECKOUT

_EACH = 8


def commits_table(history: NightSeries, metric: str) -> Table:
    """Return the commits behind every change found in the ratios, the likeliest of each first."""
    return commits_of(history.series(metric), checkout=CHECKOUT)


def commits_of(found: Iterable[RatioSeries], *, checkout: Path, paths: tuple[str, ...] = CORE) -> Table:
    """Return the commits behind every change in some series.

    Parameters
    ----------
    found
        With their changes.
    checkout, paths
        The service's repository, and where it lies in it. A change whose commits it does not hold (a
        repository that was cloned without its history) has none.
    """
    columns = (
        *(Column("subject"), Column("since"), Column("commit", kind="code"), Column("message")),
        *(Column("touches"), Column("likelihood", kind="share")),
    )
    rows = []
    ranges: dict[tuple[str, str], Range | None] = {}
    for series in found:
        for change in series.changes:
            key = (change.before.commit, change.after.commit)
            if key not in ranges:
                ranges[key] = _range(checkout, *key, paths)
            rows += [
                (series.subject, change.after.date[:10], *told)
                for told in _likeliest(ranges[key], change.cause)
            ]
    return Table(columns, tuple(rows))


def _range(checkout: Path, before: str, after: str, paths: tuple[str, ...]) -> Range | None:
    if not before or not after:
        return None
    try:
        return read_range(checkout, before, after, paths=paths)
    except UsageError:
        return None


def _likeliest(searched: Range | None, cause: str | None) -> list[tuple[str, str, str, float]]:
    if searched is None:
        return []
    kind, _, subject = (cause or "").partition(" ")
    named = [Finding(kind, subject, "", {"function": subject} if kind == "function" else {})] if cause else []
    ranked = [one for one in blame(searched.patches, targets_of(named)) if one.share > 0]
    return [
        (one.sha[:10], searched.commit(one.sha).subject, one.touches, one.share) for one in ranked[:_EACH]
    ]
