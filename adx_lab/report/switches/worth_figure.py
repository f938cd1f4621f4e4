"""What each performance rule is worth, as one picture: how many times its figure grows when it is broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from adx_lab.report.parts.figure import COLOURS, Figure
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.row_chart import rows_styled
from adx_lab.store.rule_costs import RuleCost

_KINDS = {"cost": ("what breaking it costs", COLOURS[4]), "blindness": ("what keeping it costs", COLOURS[0])}
_LEAST = 1e-3


@dataclass(frozen=True, slots=True)
class _Factor:
    """A rule's effect as a factor, with its interval."""

    cost: RuleCost
    value: float
    low: float
    high: float


def worth_of_rules(costs: Sequence[RuleCost]) -> Figure:
    """Draw each rule's factor with its interval, the dearest on top; a factor of 1 is no difference."""
    rows = sorted(filter(None, map(_factor, costs)), key=lambda row: -row.value)
    plot = go.Figure()
    for kind, (label, colour) in _KINDS.items():
        own = [(place, row) for place, row in enumerate(rows) if row.cost.kind == kind]
        plot.add_scatter(
            x=[row.value for _, row in own],
            y=[place for place, _ in own],
            name=label,
            mode="markers",
            marker={"color": colour, "size": 10},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [row.high - row.value for _, row in own],
                "arrayminus": [row.value - row.low for _, row in own],
                "color": colour,
            },
            customdata=[[row.cost.metric, row.cost.subject] for _, row in own],
            hovertemplate="×%{x:.3g}: %{customdata[0]}, %{customdata[1]}<extra></extra>",
        )
    plot.add_vline(x=1, line={"color": COLOURS[5], "dash": "dash", "width": 1})
    rows_styled(plot, [row.cost.rule for row in rows])
    plot.update_xaxes(type="log", title="times as much")
    return Figure(plot, _sentence(rows))


def _factor(cost: RuleCost) -> _Factor | None:
    """Return the effect as a factor; a difference is put over the figure with the rule kept."""
    if cost.value is None or cost.low is None or cost.high is None:
        return None
    ends = [cost.value, cost.low, cost.high]
    if cost.effect == "difference":
        if not cost.kept or cost.kept <= 0:
            return None
        ends = [1 + end / cost.kept for end in ends]
    value, low, high = (max(end, _LEAST) for end in ends)
    return _Factor(cost, value, low, high)


def _sentence(rows: Sequence[_Factor]) -> str:
    dear = [row for row in rows if row.cost.kind == "cost"]
    if not dear:
        return "No rule has been measured yet."
    worst = dear[0]
    return (
        f"How many times its figure grows when a rule is broken, or for signals what keeping them costs; the "
        f"dearest to break is {worst.cost.rule}: {worst.cost.metric} of {worst.cost.subject} times "
        f"{number(worst.value)}."
    )
