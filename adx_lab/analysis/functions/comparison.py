"""Which functions became slower: paired by block, with one error over all functions.

It is the duet's own test (`adx_lab.analysis.stats.sign_flip`): the signs of whole blocks are flipped, all
functions together, so that however many there are the chance that any is named wrongly stays `alpha`. What is
compared are microseconds a request, not ratios: a function that is new has no ratio.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from adx_lab.analysis.finding import Finding
from adx_lab.analysis.functions.stacks import OUTSIDE, Function, FunctionCost, costs_of
from adx_lab.analysis.stats.sign_flip import bootstrap_t, step_down

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from adx_lab.analysis.functions.stacks import StackProfile

__all__ = ["FunctionChange", "FunctionDesign", "compare_functions", "function_findings"]

FunctionStatus = Literal["slower", "faster", "undecided"]

_BLOCKS_MIN = 5


@dataclass(frozen=True)
class FunctionDesign:
    """What is fixed before the first block.

    Attributes
    ----------
    alpha : float
        The chance that any function is named although none changed, over all functions, on each side.
    smallest_us : float
        The smallest change that matters, microseconds a request.
    seed : int
        Of the resampling.
    """

    alpha: float = 0.005
    smallest_us: float = 5.0
    seed: int = 20_252


@dataclass(frozen=True)
class FunctionChange:
    """What a function costs in both variants, microseconds a request.

    Attributes
    ----------
    endpoint : str
        Of which requests; empty where they are the whole load.
    base_us, head_us : float
        Its self time: the mean over blocks.
    change_us, low_us, high_us : float
        Of the self time, and its 95% interval.
    inclusive_change_us : float
        With the functions that it calls.
    p : float
        One-sided, adjusted over all functions.
    line : int
        Where head computes most of it.
    waiting : bool
        Whether it is all the time that was spent there, and not only computing.
    caller : Function or None
        Who calls it most, of the service's functions.
    """

    function: Function
    endpoint: str
    base_us: float
    head_us: float
    change_us: float
    low_us: float
    high_us: float
    inclusive_change_us: float
    p: float
    status: FunctionStatus
    line: int = 0
    caller: Function | None = None
    waiting: bool = False


def compare_functions(
    blocks: Sequence[tuple[StackProfile, StackProfile]], design: FunctionDesign | None = None
) -> tuple[FunctionChange, ...]:
    """Compare what functions cost.

    Parameters
    ----------
    blocks
        Base and head of each block that was sampled, and of each endpoint that was asked by itself.
    design
        The error allowed, and what matters.

    Returns
    -------
    tuple of FunctionChange
        The largest change for the worse first; empty with too few blocks.
    """
    design = design or FunctionDesign()
    asked = _asked(blocks)
    waiting = {one.endpoint for one, _ in blocks if one.waiting}
    columns: list[tuple[str, Function]] = []
    made: list[NDArray[np.float64]] = []
    for endpoint, costs in asked.items():
        functions = sorted({one for pair in costs for side in pair for one in side} - {OUTSIDE}, key=_order)
        if not functions:
            continue
        table = np.stack([_table([pair[side] for pair in costs], functions) for side in (0, 1)])
        # What costs next to nothing in both can't change by what matters, and would only widen the family.
        kept = table[..., 0].mean(axis=1).max(axis=0) >= design.smallest_us / 2
        columns += [(endpoint, one) for one, keep in zip(functions, kept, strict=True) if keep]
        made.append(table[:, :, kept])
    if not columns:
        return ()
    tables = np.concatenate(made, axis=2)
    differences = tables[1] - tables[0]
    test = step_down(differences[:, :, 0], alpha=design.alpha, seed=design.seed)
    changes = []
    for i, (endpoint, function) in enumerate(columns):
        own = differences[:, i, 0]
        low, high = bootstrap_t(own, tail=0.025, seed=design.seed, inflation=test.inflation)
        slower, faster = float(test.slower[i]), float(test.faster[i])
        line, caller = _place([pair[1] for pair in asked[endpoint]], function)
        changes.append(
            FunctionChange(
                function=function,
                endpoint=endpoint,
                base_us=float(tables[0][:, i, 0].mean()),
                head_us=float(tables[1][:, i, 0].mean()),
                change_us=float(own.mean()),
                low_us=low,
                high_us=high,
                inclusive_change_us=float(differences[:, i, 1].mean()),
                p=min(slower, faster),
                status=_status(float(own.mean()), slower, faster, design),
                line=line,
                caller=caller,
                waiting=endpoint in waiting,
            )
        )
    return tuple(sorted(changes, key=lambda one: -one.change_us))


def _asked(
    blocks: Sequence[tuple[StackProfile, StackProfile]],
) -> dict[str, list[tuple[Mapping[Function, FunctionCost], Mapping[Function, FunctionCost]]]]:
    """Return what was sampled of each endpoint, as many blocks of each as all have; none with too few."""
    found: dict[str, list[tuple[Mapping[Function, FunctionCost], Mapping[Function, FunctionCost]]]] = (
        defaultdict(list)
    )
    for base, head in blocks:
        pair = (costs_of(base), costs_of(head))
        if all(pair):
            found[base.endpoint].append(pair)
    enough = {name: own for name, own in found.items() if len(own) >= _BLOCKS_MIN}
    least = min((len(own) for own in enough.values()), default=0)
    return {name: own[:least] for name, own in enough.items()}


def _status(change_us: float, slower: float, faster: float, design: FunctionDesign) -> FunctionStatus:
    if slower <= design.alpha and change_us >= design.smallest_us:
        return "slower"
    return "faster" if faster <= design.alpha and change_us <= -design.smallest_us else "undecided"


def _table(
    blocks: Sequence[Mapping[Function, FunctionCost]], functions: Sequence[Function]
) -> NDArray[np.float64]:
    """Return blocks x functions x (self, inclusive): what a sampler never saw costs nothing."""
    nothing = FunctionCost(0.0, 0.0, {}, {})
    found = ([costs.get(one, nothing) for one in functions] for costs in blocks)
    return np.array([[(cost.self_us, cost.inclusive_us) for cost in row] for row in found])


def _place(
    blocks: Sequence[Mapping[Function, FunctionCost]], function: Function
) -> tuple[int, Function | None]:
    """Return the line where most is computed, and who calls it most."""
    lines: dict[int, float] = defaultdict(float)
    callers: dict[Function, float] = defaultdict(float)
    for costs in blocks:
        if function in costs:
            for number, spent_us in costs[function].lines.items():
                lines[number] += spent_us
            for one, spent_us in costs[function].callers.items():
                callers[one] += spent_us
    line = max(lines, key=lambda one: lines[one], default=0)
    return line, max(callers, key=lambda one: callers[one], default=None)


def _order(function: Function) -> tuple[str, str]:
    return function.file, function.name


def function_findings(
    changes: Sequence[FunctionChange], differs: Callable[[Function], bool | None] = lambda _: None
) -> tuple[Finding, ...]:
    """Turn the functions that became slower into findings, the likeliest cause first.

    Parameters
    ----------
    changes
        As `compare_functions` returns them.
    differs
        Whether a function's lines differ between the variants' sources; None where nobody knows. Of two
        functions the one whose lines differ is the likelier cause: the other may only be called more often.
    """
    slower: dict[Function, list[FunctionChange]] = defaultdict(list)
    added_us: dict[str, float] = defaultdict(float)
    for one in changes:
        added_us[one.endpoint] += max(0.0, one.change_us)
        if one.status == "slower":
            slower[one.function].append(one)
    told = []
    for function, own in slower.items():
        most = max(own, key=lambda one: one.change_us)
        callers = None if most.caller is None else differs(most.caller)
        weight = sum(one.change_us for one in own) * (1.0 if differs(function) else 0.5)
        told.append((weight, _finding(most, own, differs(function), callers, added_us[most.endpoint])))
    return tuple(finding for _, finding in sorted(told, key=lambda one: -one[0]))


def _finding(
    change: FunctionChange,
    all_of_it: Sequence[FunctionChange],
    own: bool | None,
    callers: bool | None,
    added_us: float,
) -> Finding:
    function = change.function
    where = f"{function.file}:{change.line}" if change.line else function.file or "an unknown file"
    lines, does = _words(own, callers, change.caller), "takes" if change.waiting else "computes"
    endpoints = tuple(one.endpoint for one in all_of_it if one.endpoint)
    request = f"each {change.endpoint}" if change.endpoint else "each request"
    others = len(endpoints) - 1
    more = f" (and for {others} other endpoint{'s' if others > 1 else ''})" if others > 0 else ""
    return Finding(
        "function",
        function.name,
        f"the function {function.name} ({where}) {does} {change.change_us:,.0f} µs more "
        f"for {request}{more}, {change.head_us:,.0f} instead of {change.base_us:,.0f} µs{lines}",
        {
            "function": function.name,
            "file": function.file,
            "line": change.line,
            "base_us": change.base_us,
            "head_us": change.head_us,
            "change_us": change.change_us,
            "low_us": change.low_us,
            "high_us": change.high_us,
            "inclusive_change_us": change.inclusive_change_us,
            "p": change.p,
            "lines_differ": own,
            "caller": None if change.caller is None else change.caller.name,
            "caller_lines_differ": callers,
        },
        share=change.change_us / added_us if added_us > 0 else None,
        endpoints=endpoints,
    )


def _words(own: bool | None, callers: bool | None, caller: Function | None) -> str:
    if own:
        return "; its lines differ"
    if own is None:
        return ""
    if callers and caller is not None:
        return f"; its own lines are the same, those of {caller.name}, which calls it, differ"
    return "; its lines are the same: what it calls, or how often it is called, differs"
