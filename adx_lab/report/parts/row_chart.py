"""Charts of one row a subject; its name stands above its row, so that a narrow page has room too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from adx_lab.report.parts.figure import cycle, styled

_ROW_PX = 46
_EDGES_PX, _LEGEND_PX = 80, 70
_PARTS_MAX = 7
_OTHER = "everything else"


def rows_styled(plot: go.Figure, names: Sequence[str]) -> go.Figure:
    """Put names above the rows 0, 1, 2… of a chart, the first one on top, and give it the look of all."""
    for place, name in enumerate(names):
        plot.add_annotation(
            x=0,
            xref="paper",
            xanchor="left",
            y=place,
            yref="y",
            yshift=20,
            text=name.replace("<", "&lt;"),
            showarrow=False,
            font={"size": 12},
        )
    edges_px = _EDGES_PX + (_LEGEND_PX if len(plot.data) > 1 else 0)
    styled(plot, height_px=edges_px + _ROW_PX * max(1, len(names)))
    plot.update_layout(margin={"l": 12})
    plot.update_yaxes(
        range=[len(names) - 0.5, -0.75], showticklabels=False, showgrid=False, zeroline=False, title=""
    )
    return plot


def stacked_rows(names: Sequence[str], parts: Sequence[Mapping[str, float]], *, title: str) -> go.Figure:
    """Draw each row as a bar made of parts; the smallest parts are drawn as one.

    Parameters
    ----------
    parts
        For each row, milliseconds by the part's name; negative ones stand to the left of zero.
    title
        Of the axis, with its unit.
    """
    weights: Counter[str] = Counter()
    for row in parts:
        for part, ms in row.items():
            weights[part] += abs(ms)  # type: ignore[assignment]  # a sum of milliseconds
    shown = [part for part, _ in weights.most_common(_PARTS_MAX)]
    plot = go.Figure()
    for part, colour in zip((*shown, _OTHER), cycle(_PARTS_MAX + 1), strict=False):
        rest = part == _OTHER
        lengths = [
            sum(ms for name, ms in row.items() if name == part or (rest and name not in shown))
            for row in parts
        ]
        if any(lengths):
            plot.add_bar(
                x=lengths,
                y=list(range(len(names))),
                name=part,
                orientation="h",
                width=0.4,
                marker={"color": colour},
                text=list(names),
                textposition="none",
                hovertemplate="%{text}: %{x:+.2f} ms<extra>%{fullData.name}</extra>",
            )
    plot.update_layout(barmode="relative")
    plot.update_xaxes(title=title)
    return rows_styled(plot, names)
