"""Pictures of a run, with units on every axis and a sentence that says what to see."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from adx_lab.analysis.run.cache.hit_ratio import HitShares, hit_shares
from adx_lab.analysis.run.distribution import heat_map, percentile_axis, timeline
from adx_lab.report.parts.figure import COLOURS, DASHES, Figure, cycle, styled
from adx_lab.report.parts.numbers import number

_TOLD_APART = 5
NO_LOOKUPS = "No cache look-up was counted: the service's metrics page would have to count them."

_NOT_KNOWN = frozenset({"none", "None", "nan", "<NA>", "other"})
_SAYS = {
    "group": "scenarios of the lab do",
    "tenant": "scenarios of the lab do",
    "cache": "the service would, in Server-Timing",
}

LAYERS = {"l1": "L1 (in process)", "l2": "L2 (Valkey)", "database": "missed both: database"}

LAYER_COLOURS = {"l1": COLOURS[2], "l2": COLOURS[0], "database": COLOURS[1]}


def latency_distribution(samples: pd.DataFrame, *, by: str = "group") -> Figure:
    """Draw latency on a percentile axis, HdrHistogram's picture: the tail gets the room that it deserves."""
    plot = go.Figure()
    curves = percentile_axis(samples, by=by)
    slowest_first = sorted(range(len(curves)), key=lambda place: -curves[place].value_ms[-1])
    ranks = {place: rank for rank, place in enumerate(slowest_first)}
    for place, curve in enumerate(curves):
        plot.add_scatter(
            x=[1 / (1 - fraction) for fraction in curve.fraction if fraction < 1],
            y=[ms for fraction, ms in zip(curve.fraction, curve.value_ms, strict=True) if fraction < 1],
            name=f"{curve.subject} ({curve.count:,})",
            mode="lines",
            line=_told_apart(ranks[place]),
            meta={"endpoint": curve.subject},
            customdata=[100 * fraction for fraction in curve.fraction if fraction < 1],
            hovertemplate="%{y:.2f} ms at %{customdata:.2f}%<extra>%{fullData.name}</extra>",
        )
    ticks = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999)
    plot.update_xaxes(
        type="log",
        title="percentile of requests",
        tickvals=[1 / (1 - tick) for tick in ticks],
        ticktext=[f"{100 * tick:g}%" for tick in ticks],
    )
    plot.update_yaxes(type="log", title="latency [ms]")
    worst = max(curves, key=lambda curve: curve.value_ms[-1], default=None)
    sentence = "No request was answered."
    if curves and {curve.subject for curve in curves} <= _NOT_KNOWN:
        return Figure(
            styled(go.Figure()), f"Nobody says the {by} of a request: {_SAYS.get(by, 'the service')}."
        )
    if worst is not None:
        slowest = number(worst.value_ms[-1])
        sentence = (
            f"Latency from the intended start, by {by}; the slowest took {slowest} ms ({worst.subject})."
        )
    return Figure(styled(plot), sentence)


def _told_apart(rank: int) -> dict[str, Any]:
    """Return how a line is drawn: the slowest five stand out, each with its dash; others are grey."""
    colours = [colour for colour in COLOURS if colour != COLOURS[5]]
    if rank >= _TOLD_APART:
        return {"color": COLOURS[5], "width": 1}
    return {"color": colours[rank], "width": 2.5, "dash": DASHES[rank]}


def latency_over_time(samples: pd.DataFrame) -> Figure:
    """Draw p50, p95 and p99 over time above the throughput."""
    line = timeline(samples)
    plot = go.Figure()
    for name, values, colour in (
        ("p99", line.p99_ms, COLOURS[4]),
        ("p95", line.p95_ms, COLOURS[1]),
        ("p50", line.p50_ms, COLOURS[0]),
    ):
        plot.add_scatter(
            x=line.t_s, y=values, name=name, mode="lines", line={"color": colour}, hovertemplate="%{y:.2f} ms"
        )
    plot.add_bar(
        x=line.t_s,
        y=line.rate_per_s,
        name="requests/s",
        yaxis="y2",
        marker={"color": COLOURS[5], "opacity": 0.5},
        hovertemplate="%{y:.0f}/s",
    )
    plot.update_layout(
        yaxis={"title": "latency [ms]", "domain": [0.36, 1], "type": "log"},
        yaxis2={"title": "requests/s", "domain": [0, 0.26], "anchor": "x", "rangemode": "tozero"},
        xaxis={"title": "time since the run began [s]", "anchor": "y2"},
        hovermode="x unified",
    )
    return Figure(styled(plot), "Latency percentiles in each slice of the run, above the requests answered.")


def latency_heat_map(samples: pd.DataFrame) -> Figure:
    """Draw how many requests took how long, over time."""
    shown = heat_map(samples)
    plot = go.Figure(
        go.Heatmap(
            x=shown.t_s,
            y=shown.ms,
            z=shown.counts,
            colorscale=[[0.0, "#eaf3fb"], [1.0, "#08427a"]],
            colorbar={"title": "requests"},
            hovertemplate="%{x:.1f} s, %{y:.2f} ms: %{z} requests<extra></extra>",
        )
    )
    plot.update_yaxes(type="log", title="latency [ms]")
    plot.update_xaxes(title="time since the run began [s]")
    return Figure(
        styled(plot), "How many requests took how long, over time: stalls are columns, slow paths are bands."
    )


def cache_over_time(cache: pd.DataFrame) -> Figure:
    """Draw which layer answered the cache look-ups, over time."""
    shares = hit_shares(cache)
    plot = go.Figure()
    for layer, label in LAYERS.items():
        if layer in shares.by_layer:
            plot.add_scatter(
                x=shares.t_s,
                y=[100 * share for share in shares.by_layer[layer]],
                name=label,
                stackgroup="all",
                mode="lines",
                line={"color": LAYER_COLOURS[layer], "width": 0.5},
                hovertemplate="%{y:.1f}%",
            )
    plot.update_layout(hovermode="x unified")
    plot.update_yaxes(title="share of look-ups [%]", range=[0, 100])
    plot.update_xaxes(title="time since the run began [s]")
    return Figure(styled(plot), _cache_sentence(shares))


def resources_over_time(resources: pd.DataFrame) -> Figure:
    """Draw CPU and memory of each role's processes, over time."""
    plot = go.Figure()
    for (role, rows), colour in zip(resources.groupby("process"), cycle(8), strict=False):
        cpu, memory = _usage(rows)
        plot.add_scatter(
            x=cpu.index,
            y=cpu,
            name=str(role),
            legendgroup=str(role),
            mode="lines",
            line={"color": colour},
            hovertemplate="%{y:.0f}% of a core",
        )
        plot.add_scatter(
            x=memory.index,
            y=memory,
            name=str(role),
            legendgroup=str(role),
            showlegend=False,
            yaxis="y2",
            mode="lines",
            line={"color": colour},
            hovertemplate="%{y:.0f} MB",
        )
    plot.update_layout(
        yaxis={"title": "CPU [% of a core]", "domain": [0.56, 1], "rangemode": "tozero"},
        yaxis2={"title": "memory [MB]", "domain": [0, 0.44], "anchor": "x", "rangemode": "tozero"},
        xaxis={"title": "time since the run began [s]", "anchor": "y2"},
        hovermode="x unified",
    )
    return Figure(styled(plot), "CPU above, resident memory below, for each part of the stack.")


def _usage(rows: pd.DataFrame) -> tuple[Any, Any]:
    by_pid = rows.pivot_table(index="t_s", columns="pid", values="cpu_s").ffill()
    spent = by_pid.diff().clip(lower=0).sum(axis=1)
    seconds = pd.Series(spent.index, index=spent.index).diff()
    return (100 * spent / seconds).iloc[1:], rows.groupby("t_s")["rss_mb"].sum()


def _cache_sentence(shares: HitShares) -> str:
    if not shares.lookups:
        return NO_LOOKUPS
    known = [layer for layer in LAYERS if layer in shares.overall]
    parts = [f"{LAYERS[layer]} {100 * shares.overall[layer]:.1f}%" for layer in known]
    return f"Who answered {shares.lookups:,} cache look-ups: {', '.join(parts)}."
