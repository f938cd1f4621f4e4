"""All that a duet compares: each movement's times and strays, what was counted, what failed.

The serial movement says what the code costs, of every endpoint and every way to ask it. The open loop says
what only it can show: queueing, contention, the mix. Where a duet has no serial movement, since it was stored
before there was one, its pairs are the gates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.duet.block_ratios import ALL, BASE, HEAD, BlockSeries, block_quantiles, value_series
from adx_lab.analysis.duet.comparison import Comparison, compare
from adx_lab.analysis.duet.count_ratios import byte_series, count_series, query_series, variant_series
from adx_lab.analysis.duet.failures import compare_answers, compare_failures
from adx_lab.analysis.duet.pair_ratios import (
    METRIC,
    MOVEMENT_METRICS,
    pairs_of,
    ratio_series,
    stray_series,
    whole_pairs,
)
from adx_lab.analysis.duet.strays import count_strays
from adx_lab.records.run import Caveat

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import pandas as pd

    from adx_lab.analysis.stats.sequential_design import SequentialDesign

__all__ = ["Coverage", "DuetTables", "KnownWays", "compare_duet", "cover", "movement_of"]

OPEN, SERIAL, COLD, BURST = "open", "serial", "cold", "burst"
BEGAN_LATER = Caveat("began-later", "the answer began later, but the whole of it came no later")

_SERVED = "serial_server_ms"
"""The server's own time, until it begins its answer."""

_SERIAL_SHARE, _SERIAL_MS = 0.05, 0.05
"""What matters of an endpoint: both a twentieth of its time and 50 µs; nobody cares for 3% of 60 µs."""

_OPEN_SHARE, _OPEN_MS = 0.10, 0.2
_OPEN_ALL = 0.10
"""Where the code's cost is known from the serial movement, the open loop is asked for queueing only."""

_COLD_SHARE, _COLD_MS = 1.0, 2.0
_BURST_SHARE, _BURST_MS, _BURST_ALL = 0.5, 2.0, 0.25
_CAPACITY = 0.2
_PREFIX = re.compile(r"^(\S+) /api/v\d+(?=/)")
_TIMES = frozenset(MOVEMENT_METRICS.values())


def movement_of(samples: pd.DataFrame, movement: str) -> pd.DataFrame:
    """Return one movement's requests; all of a duet without movements are an open loop's."""
    if "movement" not in samples:
        return samples if movement == OPEN else samples.iloc[:0]
    return samples[(samples["movement"] == movement).to_numpy()]


@dataclass(frozen=True)
class DuetTables:
    """What a duet measured.

    Attributes
    ----------
    samples, queries
        Of all blocks and movements.
    counts
        Around each endpoint of the serial movement; None where there was none.
    companions, blocks
        What each variant did in each block, and the block's audit.
    """

    samples: pd.DataFrame
    queries: pd.DataFrame
    counts: pd.DataFrame | None
    companions: Sequence[Mapping[str, Any]]
    blocks: Sequence[Mapping[str, Any]]


def compare_duet(tables: DuetTables, design: SequentialDesign) -> tuple[Comparison, ...]:
    """Compare all that can be compared with the blocks so far.

    Parameters
    ----------
    tables
        All that was measured.
    design
        Fixed before the first block.
    """
    samples, counts = tables.samples, tables.counts
    table, numbers = whole_pairs(samples), samples["block"].unique().tolist()
    moved = {str(name): own for name, own in table.groupby("movement")}
    serial = moved.get(SERIAL)
    series: list[BlockSeries] = []
    if serial is not None:
        series += _serial(serial, numbers)
    if OPEN in moved:
        known = {one.subject for one in series if one.metric == MOVEMENT_METRICS[SERIAL]}
        series += _open(moved[OPEN], movement_of(samples, OPEN), numbers, known=known)
    series += _others(moved, numbers)
    series += byte_series(moved.get(SERIAL, table), numbers)
    series += count_series(counts) if counts is not None else query_series(samples, tables.queries)
    series += variant_series(tables.companions)
    series += _processor(samples, tables.blocks, tables.companions)
    spend = design.alpha_at(min(len(numbers), design.cap))
    found = compare(series, design)
    if spend:
        found = count_strays(found, series, alpha=spend / 4)
    # What fails plainly is plain between the looks, too.
    failures = compare_failures(table, alpha=(spend or design.alpha) / 2)
    return (*_whole_answers(found), *failures, *compare_answers(table))


def _whole_answers(comparisons: Sequence[Comparison]) -> Iterator[Comparison]:
    """Yield them all: who begins to answer later is no slower where the whole answer comes no later."""
    fine = {
        one.subject
        for one in comparisons
        if one.metric == MOVEMENT_METRICS[SERIAL] and (one.closed or one.status == "faster")
    }
    for one in comparisons:
        if one.metric == _SERVED and one.status == "slower" and one.subject in fine:
            yield replace(one, status="undecided", caveats=(*one.caveats, BEGAN_LATER))
        else:
            yield one


def _serial(serial: pd.DataFrame, blocks: Sequence[int]) -> Iterator[BlockSeries]:
    pairs = pairs_of(serial, blocks=blocks)
    yield from ratio_series(
        pairs, metric=MOVEMENT_METRICS[SERIAL], matters=_SERIAL_SHARE, matters_ms=_SERIAL_MS
    )
    yield from stray_series(pairs, metric="serial_strays")
    told = pairs_of(serial, column="server_ms", blocks=blocks)
    for one in ratio_series(told, metric=_SERVED, gate=False, matters=_SERIAL_SHARE, matters_ms=_SERIAL_MS):
        if one.subject != ALL:
            yield one


def _open(
    loop: pd.DataFrame, samples: pd.DataFrame, blocks: Sequence[int], *, known: Collection[str]
) -> Iterator[BlockSeries]:
    """Yield the open loop's series; what no serial movement knows is judged by them."""
    share, least = (_OPEN_SHARE, _OPEN_MS) if known else (_SERIAL_SHARE, _SERIAL_MS)
    pairs = pairs_of(loop, blocks=blocks)
    for one in ratio_series(pairs, metric=METRIC, matters=share, matters_ms=least):
        judged = one.subject not in known
        yield replace(one, matters=_OPEN_ALL) if one.subject == ALL and known else replace(one, gate=judged)
    for one in stray_series(pairs, metric="strays"):
        yield replace(one, gate=one.subject not in known)
    yield from (replace(one, gate=False) for one in block_quantiles(samples, gates=()))


def _others(moved: Mapping[str, pd.DataFrame], blocks: Sequence[int]) -> Iterator[BlockSeries]:
    for movement, share, least in ((COLD, _COLD_SHARE, _COLD_MS), (BURST, _BURST_SHARE, _BURST_MS)):
        if movement in moved:
            pairs = pairs_of(moved[movement], blocks=blocks)
            metric = MOVEMENT_METRICS[movement]
            for one in ratio_series(pairs, metric=metric, matters=share, matters_ms=least):
                both = one.subject == ALL and movement == BURST
                yield replace(one, matters=_BURST_ALL) if both else one


def _processor(
    samples: pd.DataFrame, blocks: Sequence[Mapping[str, Any]], companions: Sequence[Mapping[str, Any]]
) -> Iterator[BlockSeries]:
    """Yield the processor's time a request in the open loop, of the whole variant."""
    counted = movement_of(samples, OPEN).groupby(["block", "variant"], observed=True).size()
    cpu: dict[str, list[float]] = {BASE: [], HEAD: []}
    for block, told in zip(blocks, companions, strict=True):
        for side, values in cpu.items():
            requests = int(counted.get((block["block"], side), 0))
            values.append(1000 * float(told[side]["cpu_s"]) / requests if requests else 0.0)
    burst = movement_of(samples, BURST)
    if not burst.empty:
        # Each variant had the machine to itself for as long as the other one: what it served is its capacity.
        served = (
            burst.groupby(["block", "variant"], observed=True).size().unstack().reindex(columns=[BASE, HEAD])
        )
        capacity = [served[side].fillna(0).tolist() for side in (BASE, HEAD)]
        own = value_series(ALL, "capacity_per_s", *capacity, higher_is_better=True)
        yield replace(own, matters=_CAPACITY)
    if all(value > 0 for values in cpu.values() for value in values):
        yield value_series(ALL, "cpu_ms_per_request", cpu[BASE], cpu[HEAD], gate=False)
        if not burst.empty:
            return
        # What its CPU lets a process answer; the other way round, and so the same test at another price.
        capacity = [[1000 / ms for ms in cpu[side]] for side in (BASE, HEAD)]
        yield value_series(ALL, "capacity_per_s", *capacity, gate=False, higher_is_better=True)


@dataclass(frozen=True)
class KnownWays:
    """What a variant is known to have, whether or not anybody asked: routes and named queries."""

    routes: frozenset[str] = frozenset()
    queries: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Coverage:
    """What was asked and judged, and what was not.

    Attributes
    ----------
    endpoints, judged : int
        How many ways to ask were seen, and of how many the time could be judged.
    unjudged : tuple of str
        Endpoints that nothing is known of, with the reason: the verdict waits for them.
    unasked : tuple of str
        Named queries that no request executed.
    added, gone : tuple of str
        Routes that only head has, or only base.
    budgets : tuple of str
        Budgets of a night that none of its loads can tell.
    """

    endpoints: int
    judged: int
    unjudged: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()


def cover(
    samples: pd.DataFrame,
    executed: Collection[str],
    comparisons: Sequence[Comparison],
    base: KnownWays,
    head: KnownWays,
) -> Coverage:
    """Tell what of two variants was asked and judged.

    Parameters
    ----------
    samples
        Of all movements.
    executed
        The named queries that ran.
    comparisons
        All of the duet.
    base, head
        What each is known to have.
    """
    asked = sorted(set(samples["endpoint"].astype(str)))
    judged = {
        one.subject for one in comparisons if one.gate and one.metric in _TIMES and one.could_see is not None
    }
    lost = {one.subject for one in comparisons if one.metric == "failures" and one.status == "slower"}
    unjudged = [f"{name}: too few whole pairs" for name in asked if name not in judged | lost]
    routes = {_bare(name.split(" (")[0]) for name in asked}
    common = {_bare(name) for name in base.routes & head.routes}
    unjudged += [f"{name}: no request" for name in sorted(common - routes)]
    return Coverage(
        endpoints=len(asked),
        judged=len(set(asked) & (judged | lost)),
        unjudged=tuple(unjudged),
        unasked=tuple(sorted(head.queries - set(executed))),
        added=tuple(sorted(_bare(name) for name in head.routes - base.routes)) if base.routes else (),
        gone=tuple(sorted(_bare(name) for name in base.routes - head.routes)) if head.routes else (),
    )


def _bare(route: str) -> str:
    return _PREFIX.sub(r"\1 ", route)
