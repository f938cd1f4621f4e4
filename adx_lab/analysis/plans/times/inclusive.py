"""The wall-clock time that each node and everything below it took.

PostgreSQL prints the average of a loop, rounded to a microsecond, over the loops of all processes together.
Outside a Gather the product with the loops is the time. Below one it is the sum over processes that ran side
by side; what belongs on the query's clock is the leader's part, since the Gather above is timed in the
leader.

With VERBOSE each worker's part is known and the leader's is what they leave: exact, however skewed the work.
Without it, or where the leader took no part, the average over the processes stands in for it.

Source: PostgreSQL ``src/backend/commands/explain.c`` (``ExplainNode``), ``executor/instrument.c``
(``InstrAggNode``) and ``executor/execParallel.c`` (``ExecParallelRetrieveInstrumentation``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adx_lab.analysis.plans.records import ZERO, Interval
from adx_lab.analysis.plans.tree import PlanTree, is_gather, is_sub_plan, number, text, workers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HALF_MS = 0.0005
"""Times are printed with three decimals of a millisecond: half of the last one may be missing."""


MADE_BY_ONE = frozenset({"Bitmap Index Scan", "BitmapAnd", "BitmapOr"})
"""What one process makes for all that scan a table side by side."""


@dataclass(frozen=True, slots=True)
class Region:
    """What the workers of one Gather run: nodes from ``first`` to before ``end``.

    ``processes`` divides the sum over processes; None where the leader's part is known exactly.
    """

    gather: int
    first: int
    end: int
    processes: float | None


@dataclass(frozen=True, slots=True)
class Times:
    """Inclusive times on the query's clock, and summed over all processes; None where a node isn't timed."""

    clock: tuple[Interval | None, ...]
    everywhere: tuple[float | None, ...]
    regions: tuple[Region, ...]


def inclusive_times(tree: PlanTree) -> Times:
    """Return every node's inclusive time."""
    regions = parallel_regions(tree)
    clock = [_total(tree, index) for index in range(len(tree))]
    everywhere = tuple(None if item is None else item.value for item in clock)
    for region in regions:
        for index in range(region.first, region.end):
            total = clock[index]
            if total is not None:
                clock[index] = _on_clock(tree, clock, index, total, region)
    return Times(tuple(clock), everywhere, regions)


def parallel_regions(tree: PlanTree) -> tuple[Region, ...]:
    """Find what runs below each Gather, and how its time is brought onto the query's clock."""
    verbose = any("Output" in node for node in tree.nodes)
    found = []
    for gather, node in enumerate(tree.nodes):
        if not is_gather(node):
            continue
        for child in tree.children[gather]:
            if text(tree.nodes[child], "Parent Relationship") != "InitPlan" and not is_sub_plan(
                tree.nodes[child]
            ):
                members = tree.below(child)
                named = verbose or any(workers(tree.nodes[index]) for index in members)
                exact = named and _leader_loops(tree, child) > 0
                found.append(
                    Region(gather, child, members.stop, None if exact else _processes(tree, gather, child))
                )
    return tuple(found)


def _total(tree: PlanTree, index: int) -> Interval | None:
    node = tree.nodes[index]
    loops, average = number(node, "Actual Loops"), number(node, "Actual Total Time")
    if loops == 0:
        return ZERO
    if loops is None or average is None:
        return None
    return Interval(average * loops, max(0.0, (average - _HALF_MS) * loops), (average + _HALF_MS) * loops)


def _on_clock(
    tree: PlanTree, clock: Sequence[Interval | None], index: int, total: Interval, region: Region
) -> Interval:
    if region.processes is not None:
        scan = _scan_of_bitmap(tree, index)
        share = 1 / region.processes if scan is None else _share_of_one(tree, clock, scan, region.processes)
        own, gather = total.scaled(share), clock[region.gather]
        # Workers that go on after the leader has what it wants had more time than the Gather; it had not.
        return own if gather is None or own.value <= gather.high else gather
    if _leader_loops(tree, index) <= 0:
        return ZERO
    leader = total
    for worker in workers(tree.nodes[index]):
        leader -= _worker_total(worker)
    return Interval(leader.value, max(0.0, leader.low), max(0.0, leader.high))


def _scan_of_bitmap(tree: PlanTree, index: int) -> int | None:
    """Return the parallel scan that a bitmap is made for, by one process while the others wait for it."""
    if text(tree.nodes[index], "Node Type") not in MADE_BY_ONE:
        return None
    for above in tree.ancestors(index):
        if text(tree.nodes[above], "Node Type") not in MADE_BY_ONE:
            return above if tree.nodes[above].get("Parallel Aware") is True else None
    return None


def _share_of_one(tree: PlanTree, clock: Sequence[Interval | None], scan: int, processes: float) -> float:
    """Return how much of a shared bitmap's time is on the query's clock: all, but what nobody waited for."""
    bitmap = next((_total(tree, child) for child in tree.children[scan]), None)
    waited = clock[scan]
    if bitmap is None or waited is None or bitmap.value <= 0:
        return 1.0
    return min(1.0, max(waited.value / bitmap.value, 1 / processes))


def _worker_total(worker: Mapping[str, object]) -> Interval:
    loops = number(worker, "Actual Loops") or 0.0
    average = number(worker, "Actual Total Time") or 0.0
    return Interval(average * loops, (average - _HALF_MS) * loops, (average + _HALF_MS) * loops)


def _leader_loops(tree: PlanTree, index: int) -> float:
    node = tree.nodes[index]
    taken = sum(number(worker, "Actual Loops") or 0.0 for worker in workers(node))
    return (number(node, "Actual Loops") or 0.0) - taken


def _processes(tree: PlanTree, gather: int, child: int) -> float:
    """Return how many processes ran the child: it runs once in each, each time that the Gather runs.

    Not ``Workers Launched``, which tells of the last run only, and counts workers that came too late to work.
    """
    runs = number(tree.nodes[gather], "Actual Loops") or 0.0
    loops = number(tree.nodes[child], "Actual Loops") or 0.0
    return max(1.0, loops / runs) if runs > 0 else 1.0
