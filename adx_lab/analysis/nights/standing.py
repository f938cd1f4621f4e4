"""What the nights say tonight: the slowdowns that crept in and still stand, one for each cause."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from adx_lab.analysis.finding import CREPT_IN, Finding
from adx_lab.analysis.nights.change_points import ChangePoint, Night
from adx_lab.analysis.nights.ratio_series import RatioSeries

__all__ = ["KIND", "WATCHED", "Crept", "crept_in", "finding_of", "watched"]

KIND = CREPT_IN
WATCHED = ("serial_ms", "pair_ms")
"""What is watched, the first that there is: what the code costs, endpoint by endpoint. Counts hardly vary,
and have gates of their own."""

_NEAR_NIGHTS = 3
"""Changes that began so close to one another have one cause."""


@dataclass(frozen=True)
class Crept:
    """One slowdown that stands: the endpoints that it befell, the worst first, and where it began."""

    changes: tuple[tuple[str, ChangePoint], ...]
    metric: str

    @property
    def first(self) -> ChangePoint:
        """The change of the endpoint that lost the most."""
        return self.changes[0][1]

    @property
    def found(self) -> Night:
        """The night that told it first."""
        return min((change.found for _, change in self.changes), key=lambda night: night.run_id)


def watched(series: Sequence[RatioSeries]) -> tuple[RatioSeries, ...]:
    """Return the series that a verdict rests on."""
    for metric in WATCHED:
        own = tuple(one for one in series if one.metric == metric)
        if own:
            return own
    return ()


def crept_in(series: Sequence[RatioSeries]) -> tuple[Crept, ...]:
    """Return the slowdowns that were found and have not been undone, against the latest baseline.

    Parameters
    ----------
    series
        Those that are watched.
    """
    nights = sorted({night.run_id for one in series for night in one.nights})
    if not nights:
        return ()
    latest = max((night for one in series for night in one.nights), key=lambda night: night.run_id)
    place = {run_id: i for i, run_id in enumerate(nights)}
    standing = sorted(
        (
            (place[change.after.run_id], one.subject, change)
            for one in series
            for change in _standing(one, latest.baseline)
        ),
        key=lambda told: told[:2],
    )
    groups: list[list[tuple[int, str, ChangePoint]]] = [standing[:1]] if standing else []
    for before, after in pairwise(standing):
        if after[0] - before[0] <= _NEAR_NIGHTS:
            groups[-1].append(after)
        else:
            groups.append([after])
    return tuple(
        Crept(
            tuple(sorted(((name, change) for _, name, change in group), key=lambda told: -told[1].ratio)),
            series[0].metric,
        )
        for group in groups
    )


def _standing(one: RatioSeries, baseline: str) -> Iterator[ChangePoint]:
    """Yield the slowdowns of which at least a half is still there."""
    changes = [change for change in one.changes if change.after.baseline == baseline]
    for i, change in enumerate(changes):
        step = math.log(change.ratio)
        left = step
        for later in changes[i + 1 :]:
            left = min(left, left + math.log(later.ratio))
        if change.alarm and left >= step / 2:
            yield change


def finding_of(crept: Crept, *, tonight: str, commits: Sequence[str] = ()) -> Finding:
    """Put a slowdown into words.

    Parameters
    ----------
    crept
        What stands.
    tonight
        The run of the night that is judged: what was found then is news.
    commits
        Those between the night before and the first one that was slower, as far as anybody knows them.
    """
    change, (name, _) = crept.first, crept.changes[0]
    others = len(crept.changes) - 1
    more = f", and {others} more endpoint{'s' if others > 1 else ''} with it" if others else ""
    between = f"between commits {change.before.commit[:10]} and {change.after.commit[:10]}"
    why = f"; since then nights name {change.cause}" if change.cause else ""
    cause = (
        f"it crept in over the nights: since {change.after.date[:10]}, {between}, {name} takes "
        f"{change.ratio - 1:+.1%} ({change.low - 1:+.1%} to {change.high - 1:+.1%}){more}{why}"
    )
    evidence = {
        "metric": crept.metric,
        "ratio": change.ratio,
        "low": change.low,
        "high": change.high,
        "p": change.p,
        "began": {"run_id": change.after.run_id, "date": change.after.date},
        "found": {"run_id": crept.found.run_id, "date": crept.found.date},
        "news": crept.found.run_id == tonight,
        "commits": f"{change.before.commit}..{change.after.commit}",
        "commits_between": list(commits),
    }
    return Finding(
        KIND,
        name,
        cause,
        evidence,
        endpoints=tuple(name for name, _ in crept.changes),
        mend=f"adx-lab bisect {change.before.commit[:10]} {change.after.commit[:10]} names the commit; "
        "adx-lab baseline set accepts it",
        where=f"the commits {change.before.commit[:10]}..{change.after.commit[:10]}",
    )
