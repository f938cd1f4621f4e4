"""What the rules are worth, as one table for the terminal, notebooks and the report."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.switches.worth import RuleBlock
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import Cell, Column, Table, change
from adx_lab.report.parts.words import metric_words, quantity
from adx_lab.store.rule_costs import RuleCost

_COLUMNS = (
    *(Column("rule", kind="code"), Column("measured"), Column("kept", kind="number")),
    *(Column("broken", kind="number"), Column("cost of breaking it", kind="number", key="value")),
    *(
        Column("interval", kind="number", key="{}", interval=True),
        Column("budget"),
        Column("says", kind="status"),
    ),
    Column("evidence"),
)
_BUDGET = {
    ("pass", "pass"): "kept",
    ("pass", "fail"): "broken",
    ("fail", "fail"): "broken either way",
}


def rules_table(costs: Iterable[RuleCost], *, evidence: bool = True) -> Table:
    """Return one row a rule: what was measured, what breaking the rule costs, and whether a budget breaks."""
    shown = len(_COLUMNS) if evidence else -1
    return Table(_COLUMNS[:shown], tuple(_row(cost)[:shown] for cost in costs))


def switches_table(
    measured: Iterable[tuple[str, str, Comparison | None, str, str | None]],
) -> Table:
    """Return one row a switch of any service: what its duet shows of it, off over on."""
    columns = (
        *(Column("switch", kind="code"), Column("says", kind="status"), Column("shown by")),
        *(Column("on", kind="number"), Column("off", kind="number"), Column("unit")),
        Column("change", kind="ratio", key="ratio", words="off over on"),
        *(Column("why"), Column("run", kind="code", key="run_id")),
    )
    rows = (
        (
            *(switch, status, None if one is None else f"{one.subject} {metric_words(one.metric)}"),
            *((None, None, None, None) if one is None else (one.base, one.head, one.unit, one.ratio)),
            *(words or None, run_id),
        )
        for switch, status, one, words, run_id in measured
    )
    return Table(columns, tuple(rows))


def cost_text(cost: RuleCost) -> str:
    """Return the cost, or the price, in words."""
    if cost.value is None:
        return "–"
    if cost.status == "nothing":
        return "no measurable cost"
    sign = "price " if cost.kind == "blindness" else ""
    return sign + _effect(cost, cost.value)


def interval_text(cost: RuleCost) -> str:
    """Return the interval of the cost."""
    if cost.low is None or cost.high is None:
        return "–"
    return f"{_effect(cost, cost.low)} to {_effect(cost, cost.high)}"


def budget_text(cost: RuleCost) -> str:
    """Return whether breaking the rule breaks the budget that it is held against."""
    if cost.budget is None or cost.limit is None:
        return "none fits"
    word = _BUDGET.get((cost.budget_kept or "", cost.budget_broken or ""), "undecided")
    return f"{cost.budget} {number(cost.limit)}: {word}"


def evidence_text(
    blocks: Sequence[RuleBlock],
    shows: Iterable[tuple[str, str, str]],
    signal: tuple[str, Sequence[Mapping[str, bool]]] | None,
) -> str:
    """Say in words what else was seen.

    Parameters
    ----------
    blocks
        Of one rule.
    shows
        Figure, words, unit.
    signal
        What it is called, and in which blocks it was seen on either side.
    """
    said = []
    if signal is not None:
        name, found = signal
        kept, broken = (sum(one[side] for one in found) for side in (BASE, HEAD))
        said.append(f"{name} seen in {kept} of {len(found)} with the rule on, in {broken} with it off")
    for figure, words, unit in shows:
        kept_values = [block.kept[figure] for block in blocks if figure in block.kept]
        broken_values = [block.broken[figure] for block in blocks if figure in block.broken]
        if kept_values and broken_values:
            before, after = statistics.median(kept_values), statistics.median(broken_values)
            said.append(f"{words} {number(before)} -> {number(after)} {unit}".rstrip())
    return "; ".join(said)


def _row(cost: RuleCost) -> tuple[Any, ...]:
    return (
        cost.rule,
        f"{cost.metric}, {cost.subject} ({cost.scenario})",
        Cell(cost.kept, quantity(cost.kept, cost.unit)),
        Cell(cost.broken, quantity(cost.broken, cost.unit)),
        Cell(cost.value, cost_text(cost)),
        Cell((cost.low, cost.high), interval_text(cost)),
        budget_text(cost),
        cost.status,
        cost.evidence,
    )


def _effect(cost: RuleCost, value: float) -> str:
    if cost.effect == "difference":
        return f"{'+' if value >= 0 else '−'}{number(abs(value))} {cost.unit}"
    return change(value - 1)
