"""What a climbing load says of the machine: its steps, its knee, the law, the users that it carries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import plotly.graph_objects as go

from adx_lab.analysis.run.capacity import (
    STEPS_MIN,
    ScalabilityLaw,
    Step,
    capacity_steps,
    fit_scalability,
    knee_place,
    throughput_at,
    users_carried,
)
from adx_lab.records.run import ClimbAudit
from adx_lab.report.parts.figure import COLOURS, Figure, styled
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import Column, Table, facts
from adx_lab.report.run.judged_run import Judgement

_CURVE_POINTS = 120


@dataclass(frozen=True)
class Capacity:
    """A stored load that climbed."""

    judgement: Judgement

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Its steps, in order."""
        audit = self.judgement.record.audit
        assert isinstance(audit, ClimbAudit)
        seconds = [float(stage["seconds"]) for stage in audit.schedule["stages"]]
        judged = self.judgement
        samples = judged.samples if judged.one_in == 1 else judged.run.table("samples")
        return capacity_steps(samples, audit.steps, seconds)

    @property
    def knee(self) -> Step | None:
        """The last step before the first that broke a budget; None where even the first did."""
        place = knee_place([bool(step.broken) for step in self.steps])
        return self.steps[place] if place >= 0 else None

    @property
    def broke(self) -> Step | None:
        """The first step that broke a budget."""
        return next((step for step in self.steps if step.broken), None)

    @cached_property
    def law(self) -> ScalabilityLaw | None:
        """Gunther's law, fitted to the steps."""
        return fit_scalability(
            [step.concurrency for step in self.steps], [step.answered_per_s for step in self.steps]
        )


def knee_figure(capacity: Capacity) -> Figure:
    """Draw what was answered and how long it took over what was asked for, and the knee."""
    steps = capacity.steps
    offered = [step.offered_per_s for step in steps]
    marks = [COLOURS[4] if step.broken else COLOURS[2] for step in steps]
    plot = go.Figure()
    plot.add_scatter(
        x=offered, y=offered, name="all answered", mode="lines", line={"color": COLOURS[5], "dash": "dot"}
    )
    plot.add_scatter(
        x=offered,
        y=[step.answered_per_s for step in steps],
        name="answered",
        mode="lines+markers",
        line={"color": COLOURS[0]},
        marker={"color": marks, "size": 9},
        hovertemplate="%{y:.0f}/s",
    )
    plot.add_scatter(
        x=offered,
        y=[step.p95_ms for step in steps],
        name="p95",
        yaxis="y2",
        mode="lines+markers",
        line={"color": COLOURS[1]},
        marker={"color": marks, "size": 9},
        hovertemplate="%{y:.1f} ms",
    )
    plot.update_layout(
        yaxis={"title": "answered [requests/s]", "domain": [0.46, 1], "rangemode": "tozero"},
        yaxis2={"title": "p95 [ms]", "domain": [0, 0.36], "anchor": "x", "type": "log"},
        xaxis={"title": "asked for [requests/s]", "anchor": "y2"},
        hovermode="x unified",
    )
    if capacity.knee is not None:
        plot.add_vline(x=capacity.knee.offered_per_s, line={"color": COLOURS[2], "dash": "dash"})
    return Figure(styled(plot, height_px=460), _knee_in_words(capacity))


def law_figure(capacity: Capacity) -> Figure:
    """Draw throughput over the requests in the service, and the law fitted to it."""
    steps, law = capacity.steps, capacity.law
    plot = go.Figure(
        go.Scatter(
            x=[step.concurrency for step in steps],
            y=[step.answered_per_s for step in steps],
            name="measured steps",
            mode="markers",
            marker={"color": COLOURS[0], "size": 10},
            hovertemplate="%{x:.1f} at once: %{y:.0f}/s<extra></extra>",
        )
    )
    plot.update_xaxes(type="log", title="requests in the service at once (throughput × latency)")
    plot.update_yaxes(title="throughput [requests/s]", rangemode="tozero")
    if law is None:
        said = f"The law needs at least {STEPS_MIN} steps; this load has {len(steps)}."
        return Figure(styled(plot), said)
    low, high = min(step.concurrency for step in steps), max(step.concurrency for step in steps)
    reach = max(high, min(law.peak_concurrency or high, 10 * high)) * 1.2
    along = np.geomspace(low, reach, _CURVE_POINTS)
    plot.add_scatter(
        x=along,
        y=throughput_at(law, along.tolist()),
        name="scalability law",
        mode="lines",
        line={"color": COLOURS[1], "width": 2},
        hovertemplate="%{x:.1f} at once: %{y:.0f}/s<extra></extra>",
    )
    return Figure(styled(plot), _law_in_words(law))


def steps_table(capacity: Capacity) -> Table:
    """Return the steps: what was asked for, what came of it, what broke."""
    columns = (
        *(Column("asked for", "/s", "number"), Column("answered", "/s", "number")),
        *(Column("mean", "ms", "number"), Column("p95", "ms", "number"), Column("at once", kind="number")),
        Column("broke"),
    )
    rows = (
        (
            *(step.offered_per_s, step.answered_per_s, step.latency_ms, step.p95_ms, step.concurrency),
            ", ".join(step.broken) or "nothing",
        )
        for step in capacity.steps
    )
    return Table(columns, tuple(rows))


def users_table(capacity: Capacity, *, think_s: float) -> Table:
    """Return how many users the machine carries at its knee, and what bounds it.

    Parameters
    ----------
    think_s
        How long a user waits between an answer and the next request.
    """
    knee, law = capacity.knee, capacity.law
    shown: dict[str, str] = {}
    if knee is None:
        shown["knee"] = "below the first step"
    else:
        users = users_carried(knee.answered_per_s, knee.latency_ms, think_s)
        shown["knee [requests/s]"] = number(knee.offered_per_s)
        shown[f"users who think {number(think_s)} s"] = f"{users:,.0f}"
    if law is not None:
        shown["one at a time [requests/s]"] = number(law.rate_per_s)
        shown["contention σ [%]"] = number(100 * law.contention)
        shown["coherence κ [%]"] = number(100 * law.coherence)
        shown["highest throughput [requests/s]"] = number(law.peak_per_s)
        shown["reached at so many requests at once"] = number(law.peak_concurrency)
        shown["law's error [%]"] = number(100 * law.error)
    return facts(shown)


def _knee_in_words(capacity: Capacity) -> str:
    knee, broke = capacity.knee, capacity.broke
    if broke is None:
        return f"Every step kept its budgets, up to {number(capacity.steps[-1].offered_per_s)} requests/s."
    first = f"the first broken is {broke.broken[0]} at {number(broke.offered_per_s)} requests/s"
    if knee is None:
        return f"Even the first step broke a budget: {first}."
    return f"The knee is at {number(knee.offered_per_s)} requests/s (dashed): {first}."


def _law_in_words(law: ScalabilityLaw) -> str:
    caveats = "".join(f" {caveat.text[:1].upper()}{caveat.text[1:]}." for caveat in law.caveats)
    bound = "what is shared" if law.contention >= law.coherence * 10 else "what must be agreed upon"
    peak = "" if law.peak_per_s is None else f" Its peak is {number(law.peak_per_s)} requests/s."
    return (
        f"Throughput by the requests in the service, and Gunther's scalability law: {bound} bounds it most "
        f"(contention {number(100 * law.contention)}%, coherence {number(100 * law.coherence)}%)."
        f"{peak}{caveats}"
    )
