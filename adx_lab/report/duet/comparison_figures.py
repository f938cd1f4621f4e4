"""Pictures of a duet: each endpoint's ratio with its interval, and which parts of the time moved."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import plotly.graph_objects as go

from adx_lab.analysis.duet.block_ratios import ALL, BlockSeries
from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.duet.pair_ratios import METRIC as PAIR
from adx_lab.analysis.duet.pair_ratios import MOVEMENT_METRICS
from adx_lab.errors import UsageError, nearest
from adx_lab.report.duet.stored_duet import Duel
from adx_lab.report.parts.figure import COLOURS, Figure
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.row_chart import rows_styled, stacked_rows
from adx_lab.report.parts.words import metric_words, part_words, sentence_case, subject_words

METRICS = ("pair_ms", "p50_ms", "p95_ms", "p99_ms")

_FAR = 0.02
"""Of the blocks, at either end: a single one must not press all others together."""

_STATUS_COLOURS = {
    "slower": COLOURS[4],
    "faster": COLOURS[2],
    "undecided": COLOURS[5],
    "same": COLOURS[0],
}
"""In the order in which there is something to say."""


def forest(duel: Duel, *, metric: str, rows_max: int | None = None) -> Figure:
    """Draw head over base for each endpoint: a dot a block, and the interval over them; the slowest on top.

    Parameters
    ----------
    metric
        ``pair_ms`` (pair by pair, what the verdict waits for: where an endpoint was asked one at a time
        too, that), or ``p50_ms``, ``p95_ms``, ``p99_ms``.
    rows_max
        At most so many endpoints: those of which there is the most to say.

    Raises
    ------
    UsageError
        There is no such metric.
    """
    if metric not in METRICS:
        raise UsageError(f"there is no metric {metric}", mend=nearest(metric, METRICS))
    judged = _judged(duel, metric)
    of = {subject: one.metric for subject, one in judged.items()}
    series = [one for one in duel.blocks if one.metric == of.get(one.subject, metric)]
    series.sort(key=lambda one: (one.subject == ALL, _rank(judged.get(one.subject)), -_middle(one)))
    left_out = series[rows_max:] if rows_max is not None else []
    series = series[: len(series) - len(left_out)]
    plot = go.Figure()
    dots = [
        (place, ratio) for place, one in enumerate(series) for ratio in one.log_ratio if math.isfinite(ratio)
    ]
    plot.add_scatter(
        x=[100 * math.expm1(ratio) for _, ratio in dots],
        y=[place + 0.16 for place, _ in dots],
        name="one block",
        mode="markers",
        marker={"color": COLOURS[5], "size": 6, "opacity": 0.7},
        hovertemplate="%{x:+.1f}%<extra>one block</extra>",
    )
    for status, colour in _STATUS_COLOURS.items():
        rows = [
            (place, one)
            for place, own in enumerate(series)
            if (one := judged.get(own.subject)) and one.status == status and one.ratio is not None
        ]
        if rows:
            plot.add_scatter(**_points(rows, status, colour))
    plot.add_vline(x=0, line={"color": COLOURS[5], "dash": "dash"})
    smallest = min((one.smallest_effect for one in judged.values()), default=0.0)
    plot.add_vrect(x0=-100 * smallest, x1=100 * smallest, fillcolor=COLOURS[0], opacity=0.12, line_width=0)
    plot.update_xaxes(title="head is slower than base by [%]", range=_reach([ratio for _, ratio in dots]))
    names = [subject_words(one.subject) for one in series]
    words = _forest_in_words(list(judged.values()), metric)
    more = f" {len(left_out)} more are not drawn." if left_out else ""
    return Figure(rows_styled(plot, names), words + more)


def _judged(duel: Duel, metric: str) -> dict[str, Comparison]:
    """Return what was said of each endpoint: for the pairs, of all ways to ask it, the worst."""
    ways = (metric, MOVEMENT_METRICS["serial"]) if metric == PAIR else (metric,)
    found = [one for one in duel.comparisons if one.metric in ways]
    found.sort(key=lambda one: (one.ratio is None, not one.gate, _rank(one)), reverse=True)
    return {one.subject: one for one in found}  # the last one stays


def _rank(one: Comparison | None) -> int:
    return list(_STATUS_COLOURS).index(one.status) if one is not None else len(_STATUS_COLOURS)


def moved_parts(duel: Duel, *, only: Sequence[str] = ()) -> Figure:
    """Draw where each endpoint's mean went, part by part of its time, the one that gained the most on top.

    Parameters
    ----------
    only
        Some endpoints; all where left out.
    """
    changes = [change for change in duel.changes if not only or change.endpoint in only]
    shown = sorted(changes, key=lambda change: -change.change_ms)
    plot = stacked_rows(
        [change.endpoint for change in shown],
        [{part_words(part.name): part.change_ms for part in change.parts} for change in shown],
        title="head takes longer by, mean [ms]",
    )
    sentence = "No endpoint was answered by both variants."
    if shown:
        worst = shown[0]
        sentence = (
            "How the mean of each endpoint's time moved from base to head, by part; the most is "
            f"{worst.endpoint}, {_signed(worst.change_ms)} ms."
        )
    return Figure(plot, sentence)


def _points(rows: Sequence[tuple[int, Comparison]], status: str, colour: str) -> dict[str, object]:
    ratios = [one.ratio or 1.0 for _, one in rows]
    highs, lows = [one.high for _, one in rows], [one.low for _, one in rows]
    return {
        "x": [100 * (ratio - 1) for ratio in ratios],
        "y": [place for place, _ in rows],
        "name": status,
        "mode": "markers",
        "marker": {"color": colour, "size": 10},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [100 * ((high or ratio) - ratio) for high, ratio in zip(highs, ratios, strict=True)],
            "arrayminus": [100 * (ratio - (low or ratio)) for low, ratio in zip(lows, ratios, strict=True)],
            "color": colour,
            "thickness": 2,
        },
        "text": [one.subject for _, one in rows],
        "hovertemplate": "%{text}: %{x:+.1f}%<extra>%{fullData.name}</extra>",
    }


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '−'}{number(abs(value))}"


def _reach(ratios: Sequence[float]) -> list[float]:
    """Return the ends of an axis on which the blocks can be told apart; what lies far out runs off it."""
    ordered = sorted(ratios)
    far = math.ceil(_FAR * len(ordered)) if len(ordered) > 1 / _FAR else 0
    ends = [100 * math.expm1(ratio) for ratio in ordered[far : len(ordered) - far]] or [0.0]
    low, high = min(*ends, -5.0), max(*ends, 5.0)
    return [low - 0.3 * (high - low), high + 0.3 * (high - low)]


def _middle(series: BlockSeries) -> float:
    known = sorted(ratio for ratio in series.log_ratio if math.isfinite(ratio))
    return known[len(known) // 2] if known else 0.0


def _forest_in_words(judged: Sequence[Comparison], metric: str) -> str:
    if not judged:
        return f"The blocks of this duet are too short to carry a {metric_words(metric)}."
    what = f"{sentence_case(metric_words(metric))}, head over base, a dot a block"
    blocks, known = judged[0].n_blocks, [one for one in judged if one.ratio is not None]
    if not known:
        return f"{what}: {blocks} blocks are too few for an interval."
    told = ", ".join(f"{n} {status}" for status, n in Counter(one.status for one in known).items())
    return (
        f"{what}, with intervals over {blocks} blocks: {told}. Within the "
        f"band, ±{100 * min(one.smallest_effect for one in known):.0f}%, no difference matters; of an answer "
        "of less than a millisecond more must differ. An interval that runs off is wider than the blocks lie "
        "apart."
    )
