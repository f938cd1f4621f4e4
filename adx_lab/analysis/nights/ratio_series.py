"""The nights: what the run store's rows say of all duets against the baseline, and when it changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from adx_lab.analysis.nights.change_points import ChangePoint, Night, change_points

_RATIO = re.compile(r"^ratio (?P<subject>.+) (?P<metric>\S+)$")
_CAUSE = "cause "
_BASELINE = "baseline "
_INVALID = "invalid"


@dataclass(frozen=True)
class RatioSeries:
    """One subject's and metric's nights, and the changes found in them."""

    subject: str
    metric: str
    nights: tuple[Night, ...]
    changes: tuple[ChangePoint, ...]


@dataclass(frozen=True)
class Unjudged:
    """A night that says nothing, since it could not be measured."""

    run_id: str
    date: str
    commit: str


def series_of(
    rows: Iterable[Mapping[str, Any]], *, scenario: str = "mixed", metric: str | None = None
) -> tuple[RatioSeries, ...]:
    """Look for change points in the ratios of the duets among a run store's rows.

    Series of one metric are watched together: the chance of a false alarm is that of all of them.

    Parameters
    ----------
    rows
        As the run store lists them, oldest first.
    scenario
        Ratios of one scenario compare; of two they don't.
    metric
        Only this one, such as ``serial_ms``.
    """
    known = nights_of(rows, scenario)
    found: list[RatioSeries] = []
    for watched in sorted({key[1] for key in known}):
        if metric not in {None, watched}:
            continue
        some = [(key, nights) for key, nights in sorted(known.items()) if key[1] == watched]
        changes = _changes([nights for _, nights in some])
        found += [RatioSeries(*key, nights, told) for (key, nights), told in zip(some, changes, strict=True)]
    return tuple(sorted(found, key=lambda series: (series.subject, series.metric)))


def _changes(several: Sequence[tuple[Night, ...]]) -> list[tuple[ChangePoint, ...]]:
    """Look for changes, beginning anew with every baseline: against another one the same tree differs."""
    runs = sorted({(night.run_id, night.baseline) for nights in several for night in nights})
    found: list[tuple[ChangePoint, ...]] = [() for _ in several]
    for _, part in groupby(runs, lambda run: run[1]):
        those = {run_id for run_id, _ in part}
        told = change_points([[night for night in nights if night.run_id in those] for nights in several])
        found = [(*before, *after) for before, after in zip(found, told, strict=True)]
    return found


def nights_of(rows: Iterable[Mapping[str, Any]], scenario: str) -> dict[tuple[str, str], tuple[Night, ...]]:
    """Return the series of a store's rows: of each subject and metric, oldest first.

    Duets that are invalid say nothing (see `unjudged_nights`), and calibrations measure what was slowed on
    purpose.
    """
    series: dict[tuple[str, str], list[Night]] = {}
    for row in rows:
        if row["kind"] != "duet" or row["scenario"] != scenario or row["status"] == _INVALID:
            continue
        causes = tuple(name.removeprefix(_CAUSE) for name in row["figures"] if name.startswith(_CAUSE))
        for name, value in row["figures"].items():
            found = _RATIO.match(name)
            if found is not None and value is not None and value > 0:
                night = Night(
                    run_id=row["run_id"],
                    date=row["started_at"],
                    commit=row["commit_id"] or "",
                    ratio=float(value),
                    causes=causes,
                    baseline=_baseline(row) or "",
                )
                series.setdefault((found["subject"], found["metric"]), []).append(night)
    return {key: tuple(nights) for key, nights in series.items()}


def unjudged_nights(rows: Iterable[Mapping[str, Any]], scenario: str) -> tuple[Unjudged, ...]:
    """Return the nights against the baseline that were invalid, and those whose duet could not be played."""
    nights = [row for row in rows if row["scenario"] == scenario and row["kind"] in {"duet", "load"}]
    found = []
    for place, row in enumerate(nights):
        if row["status"] != _INVALID:
            continue
        after = nights[place + 1 : place + 2]
        alone = row["kind"] == "load" and not any(other["kind"] == "duet" for other in after)
        if alone or (row["kind"] == "duet" and _baseline(row) is not None):
            found.append(Unjudged(row["run_id"], row["started_at"], row["commit_id"] or ""))
    return tuple(found)


def _baseline(row: Mapping[str, Any]) -> str | None:
    named = (name.removeprefix(_BASELINE) for name in row["figures"] if name.startswith(_BASELINE))
    return next(named, None)
