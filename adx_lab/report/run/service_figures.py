"""Pictures of what the service and its database waited for: the pool, the event loop, wait events."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from adx_lab.records.run import RunRecord
from adx_lab.report.parts.figure import COLOURS, Figure, styled
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.row_chart import rows_styled

_TIME = "time since the run began [s]"
_WAITS_MAX = 12


def pool_over_time(service: pd.DataFrame) -> Figure:
    """Draw the service's database connections, and how long requests waited for one."""
    series = _by_name(service)
    plot = go.Figure()
    for name, label, colour in (
        ("db_connections_active", "in use", COLOURS[1]),
        ("db_connections_idle", "idle", COLOURS[0]),
    ):
        if name in series:
            plot.add_scatter(
                x=series.index,
                y=series[name],
                name=label,
                stackgroup="connections",
                mode="lines",
                line={"color": colour, "width": 0.5},
                hovertemplate="%{y:.0f}",
            )
    if "db_connections_waiting" in series:
        plot.add_scatter(
            x=series.index,
            y=series["db_connections_waiting"],
            name="requests waiting",
            mode="lines",
            line={"color": COLOURS[4], "width": 2},
            hovertemplate="%{y:.0f}",
        )
    wait_ms = _mean_ms(series, "db_pool_wait_ms")
    plot.add_scatter(
        x=wait_ms.index,
        y=wait_ms,
        name="mean wait",
        yaxis="y2",
        mode="lines",
        line={"color": COLOURS[3]},
        hovertemplate="%{y:.3f} ms",
    )
    _two_panels(plot, "connections", "wait [ms]")
    return Figure(styled(plot, height_px=440), _pool_in_words(series, wait_ms))


def loop_lag_over_time(service: pd.DataFrame) -> Figure:
    """Draw how late the service's event loop woke, second by second."""
    lag_ms = _mean_ms(_by_name(service), "event_loop_lag_ms")
    plot = go.Figure(
        go.Scatter(
            x=lag_ms.index,
            y=lag_ms,
            name="late by",
            mode="lines+markers",
            line={"color": COLOURS[3]},
            hovertemplate="%{x:.0f} s: %{y:.2f} ms<extra></extra>",
        )
    )
    plot.update_xaxes(title=_TIME)
    plot.update_yaxes(title="event loop late by [ms]", rangemode="tozero")
    sentence = "The service does not tell how late its event loop is."
    if len(lag_ms):
        sentence = (
            "How late the event loop woke, asked once a second: a handler that blocks it shows. At worst "
            f"{number(float(lag_ms.max()))} ms, on average {number(float(lag_ms.mean()))} ms."
        )
    return Figure(styled(plot), sentence)


def wait_events(record: RunRecord) -> Figure:
    """Draw what the database's active clients waited for, the most frequent first."""
    counted: dict[str, int] = dict(list(record.load.waits.items())[:_WAITS_MAX])
    whole = sum(record.load.waits.values())
    names = list(counted)
    plot = go.Figure(
        go.Bar(
            x=[100 * count / whole for count in counted.values()],
            y=list(range(len(names))),
            orientation="h",
            width=0.4,
            marker={"color": COLOURS[0]},
            text=names,
            textposition="none",
            hovertemplate="%{text}: %{x:.1f}%<extra></extra>",
        )
    )
    plot.update_xaxes(title="share of samples [%]", rangemode="tozero")
    sentence = "No active client of the database was seen."
    if names:
        sentence = (
            f"What the database's active clients were doing in {whole:,} samples, five moments a second; "
            f"most often {names[0]}."
        )
    return Figure(rows_styled(plot, names), sentence)


def _by_name(service: pd.DataFrame) -> pd.DataFrame:
    return service.pivot_table(index="t_s", columns="name", values="value", aggfunc="sum")


def _mean_ms(series: pd.DataFrame, name: str) -> pd.Series[float]:
    """Return what a histogram's observations of each interval were on average; 0 where there were none."""
    if f"{name}_sum" not in series:
        return pd.Series(dtype="float64")
    grown = series[[f"{name}_sum", f"{name}_count"]].diff().iloc[1:].clip(lower=0)
    count = grown[f"{name}_count"]
    mean: pd.Series[float] = (grown[f"{name}_sum"] / count.where(count > 0)).fillna(0.0)
    return mean


def _two_panels(plot: go.Figure, above: str, below: str) -> None:
    plot.update_layout(
        yaxis={"title": above, "domain": [0.42, 1], "rangemode": "tozero"},
        yaxis2={"title": below, "domain": [0, 0.3], "anchor": "x", "rangemode": "tozero"},
        xaxis={"title": _TIME, "anchor": "y2"},
        hovermode="x unified",
    )


def _pool_in_words(series: pd.DataFrame, wait_ms: pd.Series[float]) -> str:
    if "db_connections_active" not in series:
        return "The service does not tell of its connections."
    busy = int(series["db_connections_active"].max())
    most = int(series["db_connections_max"].max()) if "db_connections_max" in series else 0
    waited = number(float(wait_ms.max())) if len(wait_ms) else "–"
    return (
        f"Database connections of the service, seen once a second: at most {busy} of {most} in use; the mean "
        f"wait for one was at most {waited} ms."
    )
