"""A picture and the sentence that says what it shows, in one style.

A `Figure` draws itself in JupyterLab, and in a page of a report, whose script draws what comes into sight
with the one copy of plotly.js that all reports share: nothing needs a network.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from adx_lab.report.parts.script import show_script

CONFIG = {"showSendToCloud": False, "displaylogo": False, "displayModeBar": False, "responsive": True}
HEIGHT_PX = 380
CAPTION = "adx-caption"
"""Of a sentence in a notebook; a page has it in its figure, and hides this one."""
COLOURS = ("#0072b2", "#b87300", "#00875f", "#b0508a", "#c8500a", "#767f8c", "#8a6d00", "#2b8cbe")
"""After Okabe and Ito, darkened until each has a contrast of 3:1 on white; the page's script has the lighter
ones for a dark ground. Green is good, the fifth (vermilion) bad, the sixth (grey) of no weight."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_GRID = "rgba(127,127,127,0.25)"
_READABLE = "#6e7781"
"""Text on a ground that may be light or dark: JupyterLab's theme is not known here."""


@dataclass(frozen=True)
class Figure:
    """A picture and the sentence that says what it shows."""

    plot: go.Figure
    sentence: str

    def html(self) -> str:
        """Return the picture as HTML, for a page whose script draws it."""
        height_px = self.plot.layout.height or HEIGHT_PX
        # Inside a script tag some tags count as tags, whatever string they stand in.
        document = json.dumps(json.loads(self.plot.to_json())).replace("<", "\\u003c")
        return (
            '<figure class="adx-figure"><div class="adx-plot" role="img" '
            f'aria-label="{_escape(self.sentence)}" style="min-height:{height_px}px"></div>'
            f"<figcaption>{_escape(self.sentence)}</figcaption>"
            f'<script type="application/json">{document}</script></figure>'
        )

    def _ipython_display_(self) -> None:
        """Show the picture and its sentence below it, each an output of its own: neither covers the other."""
        from IPython.display import display  # noqa: PLC0415  # only a notebook calls this

        show_script()
        display(self._repr_mimebundle_(), raw=True)
        caption = f'<p class="{CAPTION}" style="margin:0 8px 12px;opacity:.85">{_escape(self.sentence)}</p>'
        display({"text/html": caption, "text/plain": self.sentence}, raw=True)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {
            "application/vnd.plotly.v1+json": self._plain(),
            "text/html": self.html(),
            "text/plain": self.sentence,
        }

    def _plain(self) -> dict[str, Any]:
        """Return the picture for JupyterLab, which has a plotly.js of its own."""
        plot = go.Figure(self.plot).update_layout(font={"color": _READABLE})
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
