"""A picture and the sentence that says what it shows, in one style.

A `Figure` draws itself in JupyterLab and in a page of a report, whose head loads the one copy of
plotly.js that lies in the report's folder: nothing needs a network.
"""

from __future__ import annotations

import json
import textwrap
import uuid
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

PLOTLY_JS = "plotly.min.js"
CONFIG = {"showSendToCloud": False, "displaylogo": False, "displayModeBar": False, "responsive": True}
HEIGHT_PX = 380
COLOURS = ("#3b76c4", "#d9822b", "#2f9e6e", "#a855b5", "#c23d4b", "#7a8599", "#b59f00", "#008b9c")
_GRID = "rgba(127,127,127,0.25)"
_READABLE = "#6e7781"
"""Text on a ground that may be light or dark: JupyterLab's theme is not known here."""
_CAPTION_CHARACTERS = 110
_CAPTION_LINE_PX = 18


@dataclass(frozen=True)
class Figure:
    """A picture and the sentence that says what it shows."""

    plot: go.Figure
    sentence: str

    def html(self) -> str:
        """Return the picture as HTML, for a page that has loaded plotly.js in its head."""
        name, height_px = f"figure-{uuid.uuid4().hex}", self.plot.layout.height or HEIGHT_PX
        # Inside a script tag some tags count as tags, whatever string they stand in.
        document = json.dumps(json.loads(self.plot.to_json())).replace("<", "\\u003c")
        return (
            f'<figure class="adx-figure" role="img" aria-label="{_escape(self.sentence)}">'
            f'<div id="{name}" class="adx-plot" style="min-height:{height_px}px"></div>'
            f"<figcaption>{_escape(self.sentence)}</figcaption></figure>"
            f"<script>(function(){{var f={document};var dark=window.matchMedia&&"
            "window.matchMedia('(prefers-color-scheme: dark)').matches;"
            "f.layout.font={...f.layout.font,color:dark?'#dde3ea':'#20262e'};"
            f"Plotly.newPlot('{name}',f.data,f.layout,{json.dumps(CONFIG)});}})()</script>"
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {
            "application/vnd.plotly.v1+json": self._captioned(),
            "text/html": self.html(),
            "text/plain": self.sentence,
        }

    def _captioned(self) -> dict[str, Any]:
        """Return the picture for JupyterLab, which has a plotly.js of its own and draws nothing around it."""
        plot = go.Figure(self.plot)
        lines = textwrap.wrap(self.sentence, _CAPTION_CHARACTERS)
        room = _CAPTION_LINE_PX * len(lines) + 8
        plot.update_layout(
            font={"color": _READABLE},
            margin={"b": (plot.layout.margin.b or 0) + room},
            height=(plot.layout.height or HEIGHT_PX) + room,
            title={
                "text": "<br>".join(_escape(line) for line in lines),
                "font": {"size": 13},
                "x": 0,
                "xref": "container",
                "xanchor": "left",
                "y": 0,
                "yref": "container",
                "yanchor": "bottom",
                "pad": {"l": 16, "b": 8},
            },
        )
        drawn: dict[str, Any] = json.loads(plot.to_json())
        return drawn | {"config": CONFIG}


def cycle(count: int) -> list[str]:
    """Return so many colours that can be told apart, beginning anew where there are too few."""
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def styled(plot: go.Figure, *, height_px: int = HEIGHT_PX) -> go.Figure:
    """Give a figure the look of all: no background of its own, light grid, the legend above."""
    plot.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 64, "r": 16, "t": 16, "b": 48},
        height=height_px,
        font={"family": "system-ui, sans-serif", "size": 13},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    plot.update_xaxes(gridcolor=_GRID, zeroline=False, automargin=True)
    plot.update_yaxes(gridcolor=_GRID, zeroline=False, automargin=True)
    # Plotly labels 20 and 50 as 2 and 5 between 10 and 100: a number must say what it is.
    plot.for_each_yaxis(lambda axis: _label_in_full(axis, (1, 2, 5)))
    plot.for_each_xaxis(lambda axis: _label_in_full(axis, (1, 3)))
    return plot


def _label_in_full(axis: Any, steps: tuple[int, ...]) -> None:
    if axis.type == "log" and axis.tickvals is None:
        values = [step * 10.0**power for power in range(-4, 7) for step in steps]
        axis.update(tickvals=values, ticktext=[f"{value:,.10g}" for value in values])


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
