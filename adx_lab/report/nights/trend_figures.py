"""Pictures of the nights: how much of each budget is used, and what crept in against the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import plotly.graph_objects as go

from adx_lab.analysis.nights.ratio_series import RatioSeries
from adx_lab.report.nights.night_series import NightSeries
from adx_lab.report.parts.figure import COLOURS, Figure, cycle, styled

_SERIES_MAX = 8
_HALF_DAY = timedelta(hours=12)


def budgets_over_nights(history: NightSeries) -> Figure:
    """Draw the share of its limit that each budget used, night by night."""
    trends = history.budgets
    plot = go.Figure()
    for place, (trend, colour) in enumerate(zip(trends, cycle(len(trends)), strict=True)):
        used = [100 * share if math.isfinite(share) else None for share in trend.used]
        plot.add_scatter(
            x=list(trend.dates),
            y=used,
            name=trend.budget.name,
            mode="lines+markers",
            line={"color": colour, "dash": "solid" if place < len(COLOURS) else "dot"},
            customdata=list(trend.values),
            hovertemplate=f"%{{customdata:.3g}} {trend.budget.unit}, %{{y:.0f}}% of the limit",
        )
    plot.add_hline(y=100, line={"color": COLOURS[4], "dash": "dash"})
    _date_axis(plot, [date for trend in trends for date in trend.dates])
    plot.update_yaxes(title="of the limit used [%]", rangemode="tozero")
    sentence = f"No load of {history.scenario} has been stored yet."
    if trends:
        over = [trend.budget.name for trend in trends if trend.used[-1] > 1]
        nights = max(len(trend.values) for trend in trends)
        latest = f"beyond it on the latest: {', '.join(over)}" if over else "none is beyond it on the latest"
        sentence = (
            f"How much of its limit (dashed) each budget used, night by night ({nights}), of "
            f"{history.scenario}; {latest}."
        )
    return Figure(styled(plot, height_px=460), sentence)


def ratios_over_nights(history: NightSeries, metric: str) -> Figure:
    """Draw the paired ratios of the tree over its baseline, with the changes that were found in them."""
    found = sorted(history.series(metric), key=_weight)
    shown = found[:_SERIES_MAX]
    plot = go.Figure()
    for series, colour in zip(shown, cycle(len(shown)), strict=True):
        plot.add_scatter(
            x=[night.date for night in series.nights],
            y=[100 * (night.ratio - 1) for night in series.nights],
            name=series.subject,
            mode="lines+markers",
            line={"color": colour},
            customdata=[night.commit[:10] for night in series.nights],
            hovertemplate="%{y:+.1f}% at %{customdata}",
        )
        plot.add_scatter(
            x=[change.after.date for change in series.changes],
            y=[100 * (change.after.ratio - 1) for change in series.changes],
            name=f"{series.subject} changed",
            mode="markers",
            marker={"color": colour, "size": 14, "symbol": "diamond-open", "line": {"width": 3}},
            showlegend=False,
            hovertemplate="changed",
        )
    plot.add_hline(y=0, line={"color": COLOURS[5], "dash": "dash"})
    lost = history.unjudged
    if lost:
        plot.add_scatter(
            x=[night.date for night in lost],
            y=[0.0] * len(lost),
            name="invalid",
            mode="markers",
            marker={"color": COLOURS[4], "size": 10, "symbol": "x"},
            customdata=[night.run_id for night in lost],
            hovertemplate="%{customdata} is invalid",
        )
    nights = [night.date for series in shown for night in series.nights]
    _date_axis(plot, [*nights, *(night.date for night in lost)])
    plot.update_yaxes(title="slower than the baseline by [%]")
    return Figure(styled(plot, height_px=460), _ratios_in_words(history, found, metric))


def _date_axis(plot: go.Figure, dates: Sequence[str]) -> None:
    """Give one night as much room as many."""
    moments = sorted(datetime.fromisoformat(date) for date in dates)
    ends = [(moments[0] - _HALF_DAY).isoformat(), (moments[-1] + _HALF_DAY).isoformat()] if moments else None
    plot.update_xaxes(title="night [UTC]", type="date", nticks=6, range=ends)


def _weight(series: RatioSeries) -> tuple[int, float]:
    """Order series by what deserves a look: changes first, then the latest ratio."""
    return -len(series.changes), -abs(math.log(series.nights[-1].ratio))


def _ratios_in_words(history: NightSeries, found: list[RatioSeries], metric: str) -> str:
    if not found:
        return (
            f"No duet of {history.scenario} against the baseline has been stored yet: adx-lab baseline set "
            "REF and adx-lab duet REF . make the first."
        )
    nights = max(len(series.nights) for series in found)
    changes = sum(len(series.changes) for series in found)
    more = f"; the {_SERIES_MAX} that moved the most are drawn" if len(found) > _SERIES_MAX else ""
    lost = len(history.unjudged)
    if lost:
        more += f"; {lost} night{'' if lost == 1 else 's'} invalid (crosses)"
    return (
        f"{metric} of the tree over its baseline on up to {nights} nights, {changes} "
        f"change{'' if changes == 1 else 's'} found (diamonds){more}."
    )
