"""Self time and self pages of each node: what is left when every part is taken out exactly once.

``self = inclusive - regular children - share of CTEs - share of InitPlans``; the same for pages, which
PostgreSQL prints as totals already and which therefore are never multiplied by loops. The intervals carry
the rounding of what was printed: ±0.0005 ms times the loops.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adx_lab.analysis.plans.records import ZERO, Interval
from adx_lab.analysis.plans.times.deferred import (
    charged_node,
    ctes,
    init_plans,
    is_debt,
    shares,
    whole_shares,
)
from adx_lab.analysis.plans.times.inclusive import MADE_BY_ONE, Times, inclusive_times
from adx_lab.analysis.plans.tree import PlanTree, count, is_apart, is_gather, number, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COUNTERS = (
    "Shared Hit Blocks",
    "Shared Read Blocks",
    "Shared Dirtied Blocks",
    "Shared Written Blocks",
    "Local Hit Blocks",
    "Local Read Blocks",
    "Temp Read Blocks",
    "Temp Written Blocks",
)


@dataclass(frozen=True, slots=True)
class TimeAccount:
    """Where a plan's time and pages went.

    ``outside`` and ``outside_pages`` are what data-modifying CTEs did after the main plan had ended: no part
    of the root, but of the statement.
    """

    times: Times
    selfs: tuple[Interval | None, ...]
    outside: Interval
    self_pages: Mapping[str, tuple[int | None, ...]]
    outside_pages: Mapping[str, int]


def settle(tree: PlanTree, executing_ms: float | None = None) -> TimeAccount:
    """Give every node its own time and its own pages.

    Parameters
    ----------
    executing_ms
        How long the executor had for its nodes, where PostgreSQL says so: what comes after the main plan has
        no more than what that leaves.
    """
    times = inclusive_times(tree)
    selfs = [_own_time(tree, times.clock, index) for index in range(len(tree))]
    pages = {key: _own_counts(tree, key) for key in COUNTERS}
    rescanned = _settle_rescans(tree, times.clock, selfs, pages)
    sources = ctes(tree)
    root = times.clock[0]
    after_ms = None if executing_ms is None or root is None else executing_ms - root.low
    outside = _take_from_scans(tree, times.clock, selfs, sources, after_ms)
    outside_pages = {key: _take_pages_from_scans(tree, key, held, sources) for key, held in pages.items()}
    for source in init_plans(tree):
        _charge(tree, source, times.clock, selfs, pages)
    outside += _settle_shutdown(tree, selfs) + rescanned
    return TimeAccount(
        times, tuple(selfs), outside, {key: tuple(held) for key, held in pages.items()}, outside_pages
    )


def bounded_self(tree: PlanTree, account: TimeAccount, index: int) -> Interval | None:
    """Return a node's own time with the bounds that are certain, also where averages stand for processes.

    Below a Gather whose processes are not told apart the leader's part is between what the others can't have
    taken, each of which had no more time than the Gather, and all of it.
    """
    own = account.selfs[index]
    region = next((item for item in account.times.regions if item.first <= index < item.end), None)
    if own is None or region is None or not region.processes or region.processes <= 1:
        return own
    if text(tree.nodes[index], "Node Type") in MADE_BY_ONE:
        return own
    gather = account.times.clock[region.gather]
    if gather is None:
        return own
    everywhere = own.value * region.processes
    low = max(0.0, everywhere - (region.processes - 1) * gather.high)
    return Interval(own.value, min(low, own.low), max(own.high, min(everywhere, gather.high)))


def _own_time(tree: PlanTree, clock: Sequence[Interval | None], index: int) -> Interval | None:
    own = clock[index]
    if own is None:
        return None
    for child in tree.children[index]:
        if not is_debt(tree.nodes[child]) and not is_apart(tree.nodes[child]):
            own -= clock[child] or ZERO
    return own


def _own_counts(tree: PlanTree, key: str) -> list[int | None]:
    printed = [count(node, key) for node in tree.nodes]
    own = list(printed)
    for index, spent in enumerate(printed):
        parent = tree.parents[index]
        if spent and parent is not None and not (is_debt(tree.nodes[index]) or is_apart(tree.nodes[index])):
            _lower_count(own, parent, spent)
    return own


def _settle_rescans(
    tree: PlanTree,
    clock: Sequence[Interval | None],
    selfs: list[Interval | None],
    pages: Mapping[str, list[int | None]],
) -> Interval:
    """Charge a subquery that makes an index's key to whoever calls the scan; return what nobody calls.

    The keys are made as the scan begins anew, which its own clock doesn't see (``executor/execProcnode.c``).
    """
    uncalled = ZERO
    for index, node in enumerate(tree.nodes):
        if not tree.children[index]:
            continue
        keys = " ".join(text(node, key) for key in ("Index Cond", "Order By", "TID Cond"))
        for child in tree.children[index]:
            name = text(tree.nodes[child], "Subplan Name").partition(" (returns ")[0] or "SubPlan"
            mention = rf"\({re.escape(name)}\b"
            if is_debt(tree.nodes[child]) or not re.search(mention, keys, re.IGNORECASE):
                continue
            caller, spent = tree.parents[index], clock[child] or ZERO
            _lower(selfs, index, ZERO - spent)
            if caller is None:
                uncalled += spent
            else:
                _lower(selfs, caller, spent)
                for key, held in pages.items():
                    amount = count(tree.nodes[child], key) or 0
                    _lower_count(held, index, -amount)
                    _lower_count(held, caller, amount)
    return uncalled


def _take_from_scans(
    tree: PlanTree,
    clock: Sequence[Interval | None],
    selfs: list[Interval | None],
    sources: Mapping[int, tuple[int, ...]],
    after_ms: float | None,
) -> Interval:
    """Take each CTE's time from its scans, in proportion; return what passed after the main plan."""
    outside = ZERO
    for source, scans in sources.items():
        spent = clock[source]
        if spent is None or spent.value <= 0:
            continue
        held = [selfs[scan] or ZERO for scan in scans]
        rounding = sum((item.high - item.value for item in held), spent.value - spent.low)
        left = spent.value - sum(max(0.0, item.value) for item in held)
        weights = [item.value for item in held]
        if left <= rounding and any(weight > 0 for weight in weights):
            # What is missing is only rounding: the scans bear it, so that nothing is left over.
            weights = [weight * max(1.0, spent.value / (spent.value - left)) for weight in weights]
            left = 0.0
        for scan, part in zip(scans, shares(spent.value, weights), strict=True):
            _lower(selfs, scan, spent.scaled(part / spent.value))
        if left > 0:
            rest = Interval(left, max(0.0, left - rounding), left + rounding)
            has_room = after_ms is None or outside.low + rest.low <= after_ms
            if _outlives(tree, source, selfs, rest, has_room=has_room):
                outside += rest
            else:
                _lower(selfs, tree.parents[source] or 0, rest)
    return outside


def _outlives(
    tree: PlanTree, source: int, selfs: Sequence[Interval | None], rest: Interval, *, has_room: bool
) -> bool:
    """Tell whether what no scan waited for passed after the main plan, and not in the CTE's owner.

    A data-modifying CTE is run to its end after the main plan. Any other that is still at work when the plan
    is done (workers of a Gather below it) is waited for by its owner, as PostgreSQL shuts the nodes down; so
    is the end of one that writes, where there was no time for it later.
    """
    owner = selfs[tree.parents[source] or 0]
    writes = text(tree.nodes[source], "Node Type") == "ModifyTable" and has_room
    return writes or owner is None or owner.high < rest.low


def _lower(selfs: list[Interval | None], index: int, amount: Interval) -> None:
    own = selfs[index]
    if own is not None:
        selfs[index] = own - amount


def _take_pages_from_scans(
    tree: PlanTree, key: str, held: list[int | None], sources: Mapping[int, tuple[int, ...]]
) -> int:
    outside = 0
    for source, scans in sources.items():
        spent = count(tree.nodes[source], key)
        if not spent:
            continue
        parts = whole_shares(spent, [held[scan] or 0 for scan in scans])
        for scan, part in zip(scans, parts, strict=True):
            _lower_count(held, scan, part)
        left = spent - sum(parts)
        owner = tree.parents[source] or 0
        if text(tree.nodes[source], "Node Type") == "ModifyTable" or (held[owner] or 0) < left:
            outside += left
        else:
            _lower_count(held, owner, left)
    return outside


def _lower_count(held: list[int | None], index: int, amount: int) -> None:
    own = held[index]
    if own is not None:
        held[index] = own - amount


def _charge(
    tree: PlanTree,
    source: int,
    clock: Sequence[Interval | None],
    selfs: list[Interval | None],
    pages: Mapping[str, list[int | None]],
) -> None:
    """Take an InitPlan's time and pages from the node that first needed it."""
    spent = clock[source]
    counts = {key: count(tree.nodes[source], key) or 0 for key in pages}

    owner = tree.parents[source] or 0

    def has_room(*places: int) -> bool:
        held = [selfs[index] for index in places]
        highest = sum(own.high for own in held if own is not None)
        if spent is not None and None not in held and highest < spent.low:
            return False
        return all(
            sum(pages[key][index] or 0 for index in places) >= amount
            for key, amount in counts.items()
            if amount
        )

    if number(tree.nodes[source], "Actual Loops") == 0 or not (spent or any(counts.values())):
        return
    user = charged_node(tree, source, has_room, lambda index: has_room(*{index, owner}))
    own = selfs[user]
    if spent is not None and own is not None:
        if own.high < spent.low and user != owner:
            # It ran in two places: workers it had left running were waited for by its owner, at the end.
            _lower(selfs, owner, spent - own)
            spent = own
        _lower(selfs, user, spent)
    for key, amount in counts.items():
        part = min(amount, max(0, pages[key][user] or 0)) if user != owner else amount
        _lower_count(pages[key], user, part)
        _lower_count(pages[key], owner, amount - part)


def _settle_shutdown(tree: PlanTree, selfs: list[Interval | None]) -> Interval:
    """Charge the shutdown of a Gather to the node that waited for it, where those between were not timed.

    A LIMIT that is done shuts down the workers below it. Before PostgreSQL 12 that time counted for the
    Gather and for the LIMIT but for no node between them, which seem to take less time than what is below
    them. Where no node waited it came after the plan, and is returned.
    """
    after = ZERO
    for index in tree.bottom_up():
        own = selfs[index]
        if own is None or own.high >= 0 or not any(is_gather(tree.nodes[i]) for i in tree.below(index)):
            continue
        for ancestor in tree.ancestors(index):
            above = selfs[ancestor]
            if above is not None and above.high + own.high >= 0:
                selfs[ancestor] = above + own
                break
        else:
            after += Interval(-own.value, -own.high, -own.low)
        selfs[index] = Interval(0.0, 0.0, own.high - own.low)
    return after
