"""Pictures of where a run's latency is: endpoint by endpoint with intervals, and what makes the tail."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from adx_lab.analysis.run.latency import LatencySummary
from adx_lab.analysis.run.tail import TailAttribution
from adx_lab.analysis.stats.quantiles import Estimate
from adx_lab.report.parts.figure import COLOURS, Figure
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.row_chart import rows_styled, stacked_rows
from adx_lab.report.parts.words import part_words


def endpoint_intervals(summaries: Sequence[LatencySummary]) -> Figure:
    """Draw p50, p95 and p99 of each endpoint with their 95% intervals, the slowest p95 on top."""
    shown = sorted(summaries, key=lambda row: -(row.p95_ms.value or 0.0))
    plot = go.Figure()
    for name, colour, estimates in (
        ("p50", COLOURS[0], [row.p50_ms for row in shown]),
        ("p95", COLOURS[1], [row.p95_ms for row in shown]),
        ("p99", COLOURS[4], [row.p99_ms for row in shown]),
    ):
        plot.add_scatter(
            x=[estimate.value for estimate in estimates],
            y=list(range(len(shown))),
            name=name,
            mode="markers",
            marker={"color": colour, "size": 9},
            error_x=_bars(estimates, colour),
            text=[row.subject for row in shown],
            hovertemplate="%{text}: %{x:.2f} ms<extra>%{fullData.name}</extra>",
        )
    plot.update_xaxes(type="log", title="latency [ms]")
    known = [row for row in shown if row.p95_ms.value is not None]
    sentence = "No endpoint was asked often enough for a percentile."
    if known:
        worst = known[0]
        sentence = (
            f"Percentiles of each endpoint with 95% intervals; the slowest p95 is {worst.subject} at "
            f"{number(worst.p95_ms.value)} ms. An interval that is open on one side is not drawn there."
        )
    return Figure(rows_styled(plot, [row.subject for row in shown]), sentence)


def tail_parts(tails: Sequence[TailAttribution]) -> Figure:
    """Draw, for each endpoint, which parts of the time its slowest requests take longer in."""
    shown = sorted(tails, key=lambda tail: tail.rest_ms - tail.tail_ms)
    plot = stacked_rows(
        [tail.subject for tail in shown],
        [{part_words(part.name): part.tail_ms - part.rest_ms for part in tail.parts} for tail in shown],
        title="the slowest 5% take longer by [ms]",
    )
    sentence = "No endpoint has a tail that can be told apart from the rest."
    if shown and shown[0].parts:
        worst = shown[0]
        sentence = (
            "What the slowest 5% of each endpoint's requests take longer than the others, by part of their "
            f"time; for {worst.subject} {worst.parts[0].share:.0%} of it is "
            f"{part_words(worst.parts[0].name)}."
        )
    return Figure(plot, sentence)


def _bars(estimates: Sequence[Estimate], colour: str) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [_distance(one.value, one.high) for one in estimates],
        "arrayminus": [_distance(one.low, one.value) for one in estimates],
        "color": colour,
        "thickness": 2,
        "width": 4,
    }


def _distance(low: float | None, high: float | None) -> float:
    return 0.0 if low is None or high is None else max(0.0, high - low)
