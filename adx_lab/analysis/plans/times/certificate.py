"""The rest of a statement's time, and the proof that all of it is accounted for.

``rest = Execution Time - root - triggers - serialization - data-modifying CTEs that outlived the main
plan``: the start and the end of the executor, and the sending of rows. AFTER triggers run outside the plan's
nodes and are a part of their own; BEFORE triggers run inside ModifyTable and are in its time already, though
EXPLAIN lists both alike.

Source: PostgreSQL ``commands/explain.c`` (``ExplainOnePlan``, ``report_triggers``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adx_lab.analysis.plans.records import ZERO, Certificate, Interval, PlanDocument, Trigger
from adx_lab.analysis.plans.tree import PlanTree, is_apart, number, text

if TYPE_CHECKING:
    from adx_lab.analysis.plans.times.settle import TimeAccount

_HALF_MS = 0.0005
_FLOAT_SLACK_MS = 1e-9


@dataclass(frozen=True, slots=True)
class Outside:
    """What a statement spent outside its nodes; ``rest`` is None where PostgreSQL gave no total."""

    execution_ms: float | None
    target: str
    triggers: tuple[Trigger, ...]
    serialization_ms: float | None
    rest: Interval | None


def executing_ms(document: PlanDocument) -> float | None:
    """Return how long an execution had for its nodes at most: without what surely ran beside them."""
    execution, _ = execution_of(document)
    if execution is None:
        return None
    listed = document.body.get("Triggers")
    after = [
        number(item, "Time") or 0.0
        for item in (listed if isinstance(listed, list) else ())
        if isinstance(item, dict) and "Constraint Name" in item
    ]
    beside = sum(max(0.0, ms - _HALF_MS) for ms in (*after, _serialization(document) or 0.0))
    return execution + _HALF_MS - beside


def outside_of_nodes(document: PlanDocument, tree: PlanTree, account: TimeAccount) -> Outside:
    """Split what the execution took beyond the root node."""
    execution, target = execution_of(document)
    serialization = _serialization(document)
    root = account.times.clock[0]
    if execution is None or root is None:
        return Outside(execution, target, _triggers(document, tree, None), serialization, None)
    rest = _rounded(execution) - root - account.outside
    if serialization is not None:
        rest -= _rounded(serialization)
    triggers = _triggers(document, tree, rest)
    for trigger in triggers:
        if not trigger.inside:
            rest -= _rounded(trigger.ms)
    return Outside(execution, target, triggers, serialization, rest)


def certify(tree: PlanTree, account: TimeAccount, outside: Outside) -> Certificate:
    """Add everything up afresh and compare with what PostgreSQL measured."""
    root = account.times.clock[0]
    if root is None or not any(account.selfs):
        return Certificate(False, None, None, None, "none", (), "no certificate: the plan holds no times")
    negative = tuple(
        tree.paths[index]
        for index, item in enumerate(account.selfs)
        if item is not None and item.high < -_FLOAT_SLACK_MS
    )
    apart = {inner for top in range(len(tree)) if is_apart(tree.nodes[top]) for inner in tree.below(top)}
    nodes_ms = sum(item.value for i, item in enumerate(account.selfs) if item is not None and i not in apart)
    timed = [trigger.ms for trigger in outside.triggers if not trigger.inside]
    parts = [nodes_ms, *timed, outside.serialization_ms or 0.0]
    if outside.rest is None or outside.execution_ms is None:
        aim, tolerance, target = (
            root.value + account.outside.value,
            _width(root) + _width(account.outside),
            "root",
        )
    else:
        parts.append(outside.rest.value)
        aim, tolerance, target = outside.execution_ms, _width(outside.rest), outside.target
        if outside.rest.high < -_FLOAT_SLACK_MS:
            negative = (*negative, "unattributed")
    total = sum(parts)
    holds = abs(total - aim) <= tolerance + _FLOAT_SLACK_MS * max(1.0, abs(aim)) and not negative
    line = f"{_sum(nodes_ms, sum(timed), outside)} = {total:.3f} ms; {target} {aim:.3f} ±{tolerance:.3f} ms"
    averaged = [item.processes for item in account.times.regions if item.processes and item.processes > 1]
    if averaged:
        line += f"; below a Gather averages over {max(averaged):.3g} processes: VERBOSE tells each one's time"
    if negative:
        line += f"; negative beyond rounding: {', '.join(negative)}"
    return Certificate(holds, total, aim, tolerance, target, negative, line)


def _sum(nodes_ms: float, triggers_ms: float, outside: Outside) -> str:
    parts = [f"nodes {nodes_ms:.3f}"]
    if triggers_ms:
        parts.append(f"triggers {triggers_ms:.3f}")
    if outside.serialization_ms is not None:
        parts.append(f"serialization {outside.serialization_ms:.3f}")
    if outside.rest is not None:
        parts.append(f"rest {outside.rest.value:.3f}")
    return " + ".join(parts)


def execution_of(document: PlanDocument) -> tuple[float | None, str]:
    """Return what a statement's execution took, where PostgreSQL or its log says so, and what says it."""
    printed = number(document.body, "Execution Time")
    if printed is None:
        printed = number(document.body, "Total Runtime")  # its name before PostgreSQL 9.4, and in forks
    if printed is not None:
        return printed, "execution time"
    return document.duration_ms, "logged duration"


def _serialization(document: PlanDocument) -> float | None:
    value = document.body.get("Serialization")
    return number(value, "Time") if isinstance(value, dict) else None


def _triggers(document: PlanDocument, tree: PlanTree, room: Interval | None) -> tuple[Trigger, ...]:
    """Read the triggers, and tell those that ran inside a node from those that ran after it.

    Constraint triggers are always AFTER. Of the others the plan does not say; those that find no room
    outside the root (the largest first) must have run inside.
    """
    value = document.body.get("Triggers")
    listed = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    has_writer = any(text(node, "Node Type") == "ModifyTable" for node in tree.nodes)
    space = ZERO if room is None else room
    order = sorted(listed, key=lambda item: ("Constraint Name" not in item, number(item, "Time") or 0.0))
    inside: dict[int, bool] = {}
    for item in order:
        spent = _rounded(number(item, "Time") or 0.0)
        fits = room is None or "Constraint Name" in item or not has_writer or spent.low <= space.high
        inside[id(item)] = not fits
        if fits:
            space -= spent
    return tuple(
        Trigger(
            text(item, "Constraint Name") or text(item, "Trigger Name"),
            text(item, "Relation") or None,
            number(item, "Calls") or 0.0,
            number(item, "Time") or 0.0,
            inside[id(item)],
            bool(text(item, "Constraint Name")),
        )
        for item in listed
    )


def _rounded(value: float) -> Interval:
    return Interval(value, max(0.0, value - _HALF_MS), value + _HALF_MS)


def _width(interval: Interval) -> float:
    return max(interval.high - interval.value, interval.value - interval.low)
