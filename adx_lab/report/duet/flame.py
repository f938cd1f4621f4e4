"""The differential flame graph: what calls what, how wide it costs, and what grew.

The picture is plotly's own icicle, turned over: it draws thousands of frames, zooms into the one that is
clicked, and needs nothing that a page does not have already. The search beside it is ours.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

import plotly.graph_objects as go

from adx_lab.analysis.functions.stacks import StackProfile
from adx_lab.analysis.functions.tree import CallNode, call_tree, prune
from adx_lab.report.parts.figure import Figure, styled

FRAMES_MAX = 2_000
_ROW_PX = 19
_HEIGHT_MIN_PX, _HEIGHT_MAX_PX = 260, 1_400
_SAME = (214, 217, 222)
_GREW, _SHRANK = (200, 46, 46), (44, 98, 190)
_FOUND = "#f2c037"


@dataclass(frozen=True)
class FlameGraph(Figure):
    """A flame graph; on a page with a field to search it by."""

    def html(self) -> str:
        """Return the picture with its search, for a page that has loaded plotly.js."""
        name = f"flame-{uuid.uuid4().hex}"
        return (
            f'<div class="adx-flame" id="{name}"><label>Search <input type="search" '
            f'placeholder="a function or a file" spellcheck="false"></label> <output class="dim"></output>'
            f"{super().html()}</div><script>{_script()}({json.dumps(name)},{json.dumps(_FOUND)})</script>"
        )

    def search(self, text: str) -> FlameGraph:
        """Return the graph with what matches marked, as a page's search does: for a notebook."""
        plot = go.Figure(self.plot)
        trace = plot.data[0]
        told = zip(trace.labels, trace.customdata, trace.marker.colors, strict=True)
        found = [text.lower() in f"{label} {more[0]}".lower() for label, more, _ in told]
        own = zip(found, self.plot.data[0].marker.colors, strict=True)
        trace.marker.colors = [_FOUND if match else colour for match, colour in own]
        return FlameGraph(plot, f"{self.sentence} {sum(found)} frames match {text!r}.")


def flame_graph(
    blocks: Sequence[tuple[StackProfile, StackProfile]], *, base: str = "base", head: str = "head"
) -> FlameGraph:
    """Draw what both variants compute for a request, head over base.

    Parameters
    ----------
    blocks
        The profiles of each block, base and head.
    base, head
        What the variants are called.
    """
    tree = prune(call_tree(blocks), FRAMES_MAX)
    ids, parents, labels, values, colours, more = [], [], [], [], [], []
    largest = max((abs(call.change_us) for _, call in tree.walk()), default=0.0)
    for number, parent, call, width_us in _rows(tree):
        ids.append(str(number))
        parents.append("" if parent is None else str(parent))
        labels.append(call.name)
        values.append(width_us)
        colours.append(_colour(call.change_us, largest))
        more.append([call.file, call.base_us, call.head_us, call.change_us])
    depth = max((depth for depth, _ in tree.walk()), default=0)
    plot = go.Figure(
        go.Icicle(
            ids=ids,
            parents=parents,
            labels=[escape(label) for label in labels],
            values=values,
            branchvalues="total",
            customdata=more,
            marker={"colors": colours, "line": {"width": 0.5, "color": "rgba(255,255,255,0.7)"}},
            tiling={"orientation": "v", "flip": "y", "pad": 0},
            pathbar={"visible": True, "thickness": 18},
            textposition="middle left",
            textfont={"color": "#16191d", "size": 11},
            sort=False,
            hovertemplate=(
                "<b>%{label}</b><br>%{customdata[0]}<br>"
                f"{escape(base)} %{{customdata[1]:,.1f}} µs a request<br>"
                f"{escape(head)} %{{customdata[2]:,.1f}} µs a request<br>"
                "change %{customdata[3]:+,.1f} µs<extra></extra>"
            ),
        )
    )
    height = min(max(_HEIGHT_MIN_PX, _ROW_PX * (depth + 3)), _HEIGHT_MAX_PX)
    styled(plot, height_px=height).update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8})
    return FlameGraph(
        plot,
        f"What {head} computes for a request over {base}: {tree.head_us:,.0f} instead of "
        f"{tree.base_us:,.0f} µs; red grew, blue shrank, the width is the larger of both. A click zooms in.",
    )


def _rows(root: CallNode) -> Sequence[tuple[int, int | None, CallNode, float]]:
    """Return the calls, numbered from the root, each as wide as it needs to hold what it calls."""
    rows: list[tuple[int, int | None, CallNode, float]] = []

    def visit(call: CallNode, parent: int | None) -> float:
        number = len(rows)
        rows.append((number, parent, call, 0.0))
        ordered = sorted(call.calls.values(), key=lambda one: (one.name, one.file))
        below = sum(visit(one, number) for one in ordered)
        # Where one child grew and another one shrank they are wider than what either variant computes.
        width_us = max(call.width_us, below)
        rows[number] = (number, parent, call, width_us)
        return width_us

    visit(root, None)
    return rows


def _colour(change_us: float, largest: float) -> str:
    """Return red for what grew, blue for what shrank, the paler the less."""
    share = min(1.0, abs(change_us) / largest) ** 0.6 if largest > 0 else 0.0
    end = _GREW if change_us > 0 else _SHRANK
    mixed = (round(start + share * (stop - start)) for start, stop in zip(_SAME, end, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)


@cache
def _script() -> str:
    return (Path(__file__).parent / "flame.js").read_text(encoding="utf-8").strip().rstrip(";")
