"""The nights: what the run store's rows say of all duets against the baseline, and when it changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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


def series_of(
    rows: Iterable[Mapping[str, Any]], *, scenario: str = "mixed", metric: str | None = None
) -> tuple[RatioSeries, ...]:
    """Look for change points in the ratios of the duets among a run store's rows.

    Parameters
    ----------
    rows
        As the run store lists them, oldest first.
    scenario
        Ratios of one scenario compare; of two they don't.
    metric
        Only this one, such as ``p50_ms``.
    """
    return tuple(
        RatioSeries(*key, nights, _changes(nights))
        for key, nights in sorted(nights_of(rows, scenario).items())
        if metric is None or key[1] == metric
    )


def _changes(nights: tuple[Night, ...]) -> tuple[ChangePoint, ...]:
    """Look for changes, beginning anew with every baseline: against another one the same tree differs."""
    parts = (tuple(some) for _, some in groupby(nights, lambda night: night.baseline))
    return tuple(change for part in parts for change in change_points(part))


def nights_of(rows: Iterable[Mapping[str, Any]], scenario: str) -> dict[tuple[str, str], tuple[Night, ...]]:
    """Return the series of a store's rows: of each subject and metric, oldest first.

    Duets that are invalid say nothing, and calibrations measure what was slowed on purpose.
    """
    series: dict[tuple[str, str], list[Night]] = {}
    for row in rows:
        if row["kind"] != "duet" or row["scenario"] != scenario or row["status"] == _INVALID:
            continue
        against = (name.removeprefix(_BASELINE) for name in row["figures"] if name.startswith(_BASELINE))
        baseline = next(against, "")
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
                    baseline=baseline,
                )
                series.setdefault((found["subject"], found["metric"]), []).append(night)
    return {key: tuple(nights) for key, nights in series.items()}
