"""All nights of a scenario, as the run store knows them: budgets over time, ratios and their changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from adx_lab.analysis.nights.ratio_series import RatioSeries, Unjudged, series_of, unjudged_nights
from adx_lab.analysis.run.budgets import Budget
from adx_lab.report.nights.stored import stored_runs
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import Cell, Column, Table
from adx_lab.report.parts.words import metric_words, subject_words
from adx_lab.settings import Settings, read_budgets
from adx_lab.store.rows import stored_rows

_LOADS = frozenset({"load", "nightly"})
_LATEST = 20


@dataclass(frozen=True)
class BudgetTrend:
    """One budget over the nights: dates, values in the budget's unit, and the share of the limit used.

    Of a budget on many metrics (each query) it holds the worst of each night.
    """

    budget: Budget
    dates: tuple[str, ...]
    values: tuple[float, ...]
    used: tuple[float, ...]


@dataclass(frozen=True)
class NightSeries:
    """The rows of the run store for one scenario, oldest first."""

    settings: Settings
    scenario: str

    @cached_property
    def rows(self) -> tuple[Mapping[str, Any], ...]:
        """One a run, of the scenario."""
        known = stored_rows(self.settings)
        return tuple(row for row in known if row["scenario"] == self.scenario)

    @cached_property
    def budgets(self) -> tuple[BudgetTrend, ...]:
        """Each budget that at least one night measured."""
        limits = read_budgets(self.settings.budgets_file, self.scenario)
        nights = [row for row in self.rows if row["kind"] in _LOADS and row["status"] != "invalid"]
        trends = (_trend(budget, nights) for budget in limits)
        return tuple(trend for trend in trends if trend.values)

    def series(self, metric: str) -> tuple[RatioSeries, ...]:
        """Return the paired ratios against the baseline, with their change points."""
        return series_of(self.rows, scenario=self.scenario, metric=metric)

    @cached_property
    def unjudged(self) -> tuple[Unjudged, ...]:
        """The nights that say nothing."""
        return unjudged_nights(self.rows, self.scenario)


def runs_table(history: NightSeries) -> Table:
    """Return the latest runs of the scenario."""
    return stored_runs(history.rows[: -_LATEST - 1 : -1])


def changes_table(history: NightSeries, metric: str) -> Table:
    """Return every change found in the ratios: when, between which commits, by how much, and why."""
    return changes_of(history.series(metric))


def changes_of(found: Iterable[RatioSeries]) -> Table:
    """Return every change in some series of ratios."""
    columns = (
        *(Column("subject"), Column("metric"), Column("became", kind="status"), Column("by", kind="ratio")),
        *(
            Column("95% interval", kind="ratio", interval=True),
            Column("since"),
            Column("commits", kind="code"),
        ),
        Column("likely cause"),
    )
    rows = (
        (
            *(subject_words(series.subject), metric_words(series.metric), change.direction, change.ratio),
            *((change.low, change.high), change.after.date),
            *(f"{change.before.commit[:10]}..{change.after.commit[:10]}", change.cause),
        )
        for series in found
        for change in series.changes
    )
    return Table(columns, tuple(rows))


def budgets_table(history: NightSeries) -> Table:
    """Return where each budget stands: its first night, its latest, its worst."""
    columns = (
        *(Column("budget"), Column("limit", kind="number"), Column("unit"), Column("nights", kind="number")),
        *(Column(name, kind="number") for name in ("first", "latest", "worst")),
    )
    rows = (
        (
            trend.budget.name,
            Cell(
                trend.budget.limit,
                f"{'≥' if trend.budget.direction == 'above' else '≤'} {number(trend.budget.limit)}",
            ),
            *(trend.budget.unit, len(trend.values), trend.values[0], trend.values[-1]),
            max(zip(trend.used, trend.values, strict=True))[1],
        )
        for trend in history.budgets
    )
    return Table(columns, tuple(rows))


def _trend(budget: Budget, nights: list[Mapping[str, Any]]) -> BudgetTrend:
    found: list[tuple[str, float, float]] = []
    for row in nights:
        own = [
            (_used(budget, value), float(value))
            for name, value in row["figures"].items()
            if value is not None and (name == budget.metric or fnmatchcase(name, budget.metric))
        ]
        if own:
            used, value = max(own)
            found.append((row["started_at"], value, used))
    dates, values, used_of = zip(*found, strict=True) if found else ((), (), ())
    return BudgetTrend(budget, tuple(dates), tuple(values), tuple(used_of))


def _used(budget: Budget, value: float) -> float:
    if budget.direction == "above":
        return budget.limit / value if value > 0 else float("inf")
    return value / budget.limit if budget.limit else float("inf") if value else 0.0
