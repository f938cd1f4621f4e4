"""Forecasts held against a tenant that really grew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adx_lab.analysis.plans.captures.headroom import ROW_COST_FACTOR, Headroom, headrooms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adx_lab.analysis.plans.captures.matrix import Matrix

FACTOR_MAX = 2.0
"""How far a forecast may be off."""
GRAIN_MS = 0.05
"""What the clock and a busy machine add to any execution: nobody's forecast is about so little."""


@dataclass(frozen=True, slots=True)
class CheckedForecast:
    """What a query was expected to take with the rows that there are now, and what it took.

    Both are planning and execution for a custom plan, execution alone for a generic one. ``same_plan`` tells
    whether it is still executed as it was: a forecast is for the plan of its day.
    """

    query: str
    mode: str
    grows_with: str | None
    rows: float
    rows_then: float
    ms: float
    forecast_ms: float
    low_ms: float
    high_ms: float
    measured_ms: float
    known: bool
    same_plan: bool

    @property
    def factor(self) -> float:
        """How many times the measured is the forecast, or the other way round."""
        ratio = max(self.measured_ms, GRAIN_MS) / max(self.forecast_ms, GRAIN_MS)
        return max(ratio, 1 / ratio)

    @property
    def holds(self) -> bool:
        """Whether the forecast was near enough."""
        return self.factor <= FACTOR_MAX


def calmest(captures: Sequence[Matrix]) -> Matrix:
    """Return one of several captures of the same, with each plan's least disturbed execution."""
    cells = {
        key: min(
            (capture.cells[key] for capture in captures if key in capture.cells),
            key=lambda cell: cell.analysis.execution_ms or 0.0,
        )
        for key in captures[0].cells
    }
    return replace(captures[0], cells=cells)


def check_forecasts(base: Matrix, grown: Matrix, tenant: str) -> tuple[CheckedForecast, ...]:
    """Return each forecast of a tenant's queries beside what was measured, the worst first."""
    measured = {(room.query, room.tenant, room.mode): room for room in headrooms(grown)}
    found = [
        _checked(base, grown, room, measured[(room.query, room.tenant, room.mode)])
        for room in headrooms(base)
        if room.tenant == tenant and (room.query, room.tenant, room.mode) in measured
    ]
    return tuple(sorted(found, key=lambda item: -item.factor))


def _checked(base: Matrix, grown: Matrix, room: Headroom, then: Headroom) -> CheckedForecast:
    rows = rows_then = room.rows
    if room.grows_with is not None and room.of_tenant:
        rows_then = float(grown.tenant_rows(room.tenant).get(room.grows_with, rows))
    elif room.grows_with is not None:
        rows_then = grown.tables[room.grows_with].rows
    forecast = room.forecast_ms(rows_then)
    more = forecast - room.ms
    key = (room.query, room.tenant, room.mode)
    return CheckedForecast(
        query=room.query,
        mode=room.mode,
        grows_with=room.grows_with,
        rows=rows,
        rows_then=rows_then,
        ms=room.ms,
        forecast_ms=forecast,
        low_ms=room.ms + more / ROW_COST_FACTOR,
        high_ms=room.ms + more * ROW_COST_FACTOR,
        measured_ms=then.ms,
        known=room.known,
        same_plan=base.cells[key].analysis.shape == grown.cells[key].analysis.shape,
    )
