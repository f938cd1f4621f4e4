"""Pictures of the cache: who answers which family, what a miss costs, what another L1 would be worth."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from adx_lab.analysis.run.cache.hit_ratio import hit_shares
from adx_lab.analysis.run.cache.miss_ratio import CurvePoint, MissRatioCurves, miss_ratio_curves
from adx_lab.analysis.run.latency import failed
from adx_lab.report.parts.figure import COLOURS, Figure, cycle, styled
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.row_chart import rows_styled
from adx_lab.report.run.figures import LAYER_COLOURS, LAYERS, NO_LOOKUPS

_REACHED = {"l1": "L1 had it", "l2": "L2 had it", "miss": "missed both"}
_REACHED_COLOURS = {"l1": LAYER_COLOURS["l1"], "l2": LAYER_COLOURS["l2"], "miss": LAYER_COLOURS["database"]}
_REQUESTS_MIN = 5
_TTLS_S = (1.0, 5.0, 20.0)


def hits_by_family(cache: pd.DataFrame) -> Figure:
    """Draw, for each family of entries, which layer answered its look-ups."""
    shares = {str(family): hit_shares(cache, family=str(family)) for family in cache["family"].unique()}
    families = sorted(
        (name for name in shares if shares[name].lookups), key=lambda name: -shares[name].lookups
    )
    plot = go.Figure()
    for layer, label in LAYERS.items():
        plot.add_bar(
            x=[100 * shares[name].overall.get(layer, 0.0) for name in families],
            y=list(range(len(families))),
            name=label,
            orientation="h",
            width=0.4,
            marker={"color": LAYER_COLOURS[layer]},
            text=families,
            textposition="none",
            hovertemplate="%{text}: %{x:.1f}%<extra>%{fullData.name}</extra>",
        )
    plot.update_layout(barmode="stack")
    plot.update_xaxes(title="share of look-ups [%]", range=[0, 100])
    sentence = NO_LOOKUPS
    if families:
        worst = min(families, key=lambda name: shares[name].overall.get("l1", 0.0))
        own = 100 * shares[worst].overall.get("l1", 0.0)
        sentence = (
            f"Which layer answered each family's look-ups; {worst} is answered by L1 the least, {own:.1f}%."
        )
    names = [f"{name} ({shares[name].lookups:,} look-ups)" for name in families]
    return Figure(rows_styled(plot, names), sentence)


def cost_of_a_miss(samples: pd.DataFrame) -> Figure:
    """Draw each endpoint's service time by the deepest layer that its request had to ask."""
    usable = samples[~failed(samples) & samples["cache"].isin(list(_REACHED)).to_numpy()]
    medians = usable.groupby(["endpoint", "cache"], observed=True)["service_ms"].agg(
        count="size", low=lambda ms: ms.quantile(0.25), middle="median", high=lambda ms: ms.quantile(0.75)
    )
    medians = medians[medians["count"] >= _REQUESTS_MIN]
    kinds = medians.reset_index().groupby("endpoint", observed=True)["cache"].nunique()
    endpoints = [str(name) for name in kinds[kinds > 1].index]
    plot, dearest = go.Figure(), ("", 0.0)
    for layer, label in _REACHED.items():
        own = medians.reindex([(name, layer) for name in endpoints])
        plot.add_scatter(
            x=own["middle"],
            y=list(range(len(endpoints))),
            name=label,
            mode="markers",
            marker={"color": _REACHED_COLOURS[layer], "size": 10},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": own["high"] - own["middle"],
                "arrayminus": own["middle"] - own["low"],
                "color": _REACHED_COLOURS[layer],
            },
            text=endpoints,
            hovertemplate="%{text}: median %{x:.2f} ms<extra>%{fullData.name}</extra>",
        )
    for name in endpoints:
        layers = medians.loc[name]["middle"]
        extra = float(layers.max() - layers.min())
        dearest = max(dearest, (name, extra), key=lambda pair: pair[1])
    plot.update_xaxes(type="log", title="service time, median and quartiles [ms]")
    sentence = "No endpoint was answered by several layers often enough to compare them."
    if endpoints:
        sentence = (
            "What a request takes by the deepest layer it had to ask; the dearest miss is that of "
            f"{dearest[0]}, {number(dearest[1])} ms more at the median."
        )
    return Figure(rows_styled(plot, endpoints), sentence)


def another_l1(trace: pd.DataFrame, *, scopes: int, ttl_s: float) -> Figure:
    """Draw the hit ratio of L1 over its size, one line a time to live, and mark the L1 that is asked about.

    Parameters
    ----------
    trace
        The run's ``cache_trace`` table.
    scopes, ttl_s
        How many scopes the other L1 holds, and how long its entries live.
    """
    found = miss_ratio_curves(trace, sorted({*_TTLS_S, float(ttl_s)}), also=[scopes])
    plot = go.Figure()
    plot.update_xaxes(type="log", title="L1 size [scopes, for each worker]")
    plot.update_yaxes(title="hit ratio of L1 [%]", rangemode="tozero")
    if not found.curves:
        return Figure(
            styled(plot), "No look-up was traced: the service traces none, or this lab did not start it."
        )
    for (life_s, points), colour in zip(found.curves.items(), cycle(len(found.curves)), strict=True):
        plot.add_scatter(
            x=[point.scopes for point in points],
            y=[100 * point.hit_ratio for point in points],
            name=f"entries live {number(life_s)} s",
            mode="lines",
            line={"color": colour, "width": 2},
            hovertemplate="%{x:,} scopes: %{y:.1f}%<extra>%{fullData.name}</extra>",
        )
    asked = next(point for point in found.curves[float(ttl_s)] if point.scopes == scopes)
    plot.add_scatter(
        x=[asked.scopes],
        y=[100 * asked.hit_ratio],
        name="asked",
        mode="markers",
        marker={"color": COLOURS[4], "size": 12, "symbol": "diamond"},
        hovertemplate="asked: %{x:,} scopes, %{y:.1f}%<extra></extra>",
    )
    plot.add_hline(y=100 * found.measured, line={"color": COLOURS[5], "dash": "dash"})
    return Figure(styled(plot), _another_in_words(found, asked))


def _another_in_words(found: MissRatioCurves, asked: CurvePoint) -> str:
    caveats = "; ".join(caveat.text for caveat in found.caveats)
    return (
        f"An L1 of {asked.scopes:,} scopes whose entries live {number(asked.ttl_s)} s would answer "
        f"{100 * asked.hit_ratio:.1f}% of the run's {found.accesses:,} look-ups in {found.scopes:,} scopes; "
        f"the run's own (dashed) answered {100 * found.measured:.1f}%. {caveats[:1].upper()}{caveats[1:]}."
    )
