"""What hit ratio another L1 would have had, from the trace of one: any size, any time to live, in one pass.

The L1 drops whole scopes, those used least recently, and each entry dies a time to live after it was filled.
An expired entry keeps its place until it is dropped, so that the order of the scopes depends neither on the
size nor on the time to live. Therefore one pass yields each access's *stack distance*, the number of other
scopes used since its own was used last; and an access hits in an L1 of n scopes and time to live T exactly
when no distance of its scope has reached n since the entry was used last, and the entry was filled no longer
than T ago. An invalidation leaves a hole in the stack, which the next scope that comes up from below fills.

What is assumed: a miss fills at once, all entries live equally long (the core's jitter is left out, and so
are the shorter lives of answers that say "does not exist"), and no scope holds too many entries.

Sources
-------
R. L. Mattson, J. Gecsei, D. R. Slutz, I. L. Traiger: Evaluation techniques for storage hierarchies.
IBM Systems Journal 9 (1970): stack distances, and holes for what is deleted.
C. A. Waldspurger, N. Park, A. Garthwaite, I. Ahmad: Efficient MRC construction with SHARDS. FAST 2015:
beyond 200,000 accesses a share of the scopes, chosen by hash, stands for all.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adx_lab.records.run import Caveat

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = [
    "CacheTrace",
    "CurvePoint",
    "MissRatioCurves",
    "miss_ratio_curves",
    "read_trace",
    "stack_distances",
]

ACCESSES_MAX = 200_000
SIZES = 24
_HASH_STEPS = 1 << 24
_FORGET, _CLEAR = 1, 2
_HIT_OR_MISS, _PUT = 0, 3
_KINDS = {"hit": _HIT_OR_MISS, "miss": _HIT_OR_MISS, "put": _PUT, "forget": _FORGET, "clear": _CLEAR}

SAMPLED = Caveat("sampled-scopes", "computed from a share of the scopes, chosen by hash")
WARM = Caveat("warm-start", "entries that were in L1 before the trace began are left out at their first use")
NO_END = Caveat("short-trace", "a time to live longer than the trace can't be told from any longer one")


@dataclass(frozen=True)
class CacheTrace:
    """One worker's events in order, as arrays of one length.

    Attributes
    ----------
    t_s : array of float
    scope, item : array of int
        Numbered from 0; ``item`` tells entries apart over all scopes.
    kind : array of int
        An access, a fill without an access, a forgotten scope, or everything forgotten.
    counted, hit : array of bool
        Accesses of the measured time that can be judged, and those that L1 answered.
    share : float
        Of the scopes that are in here.
    """

    t_s: NDArray[np.float64]
    scope: NDArray[np.int64]
    item: NDArray[np.int64]
    kind: NDArray[np.int8]
    counted: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    share: float = 1.0


@dataclass(frozen=True)
class CurvePoint:
    """The hit ratio of one L1: how many scopes it holds, how long an entry lives."""

    scopes: int
    ttl_s: float
    hit_ratio: float


@dataclass(frozen=True)
class MissRatioCurves:
    """What L1s of several sizes and times to live would have answered.

    Attributes
    ----------
    accesses : int
        Look-ups that were counted.
    scopes : int
        Different scopes that were used: an L1 that holds more of them gains nothing.
    measured : float
        The hit ratio that these look-ups really had.
    curves : mapping of float to tuple of CurvePoint
        By time to live in seconds, by rising size.
    caveats : tuple of Caveat
    """

    accesses: int
    scopes: int
    measured: float
    curves: dict[float, tuple[CurvePoint, ...]]
    caveats: tuple[Caveat, ...] = ()


def miss_ratio_curves(
    events: pd.DataFrame,
    ttls_s: Sequence[float],
    *,
    sizes: Sequence[int] | None = None,
    also: Sequence[int] = (),
    accesses_max: int = ACCESSES_MAX,
) -> MissRatioCurves:
    """Compute the hit ratio of every L1 asked for.

    Parameters
    ----------
    events
        The run's ``cache_trace`` table.
    ttls_s
        Times to live in seconds.
    sizes
        How many scopes an L1 holds, for each worker; about `SIZES` of them up to all scopes where left out.
    also
        Sizes that are computed besides.
    accesses_max
        Of one worker; more are thinned out, by scope.

    Returns
    -------
    MissRatioCurves
        Without curves where no look-up was recorded.
    """
    workers = [read_trace(own, accesses_max=accesses_max) for _, own in events.groupby("worker", sort=True)]
    accesses = sum(int(one.counted.sum()) for one in workers)
    whole = max(
        (round(len(np.unique(one.scope)) / one.share) for one in workers if one.scope.size), default=0
    )
    if not accesses:
        return MissRatioCurves(0, whole, 0.0, {})
    chosen = sorted({*(sizes if sizes is not None else _sizes(whole)), *also})
    prepared = [_Prepared(one) for one in workers]
    measured = sum(int(one.hit.sum()) for one in workers) / accesses
    curves = {
        ttl_s: tuple(
            CurvePoint(size, ttl_s, sum(one.hits(size, ttl_s) for one in prepared) / accesses)
            for size in chosen
        )
        for ttl_s in ttls_s
    }
    span_s = float(events["t_s"].max() - events["t_s"].min())
    caveats = [WARM]
    caveats += [SAMPLED] * any(one.share < 1 for one in workers)
    caveats += [NO_END] * any(ttl_s >= span_s for ttl_s in ttls_s)
    return MissRatioCurves(accesses, whole, measured, curves, tuple(caveats))


def read_trace(events: pd.DataFrame, *, accesses_max: int) -> CacheTrace:
    """Give numbers to the scopes and entries of one worker's events, and leave out what is too much.

    An access counts when it fell into the measured time, unless it is the entry's first one in the trace and
    hit: then the entry was there before, and how long nobody knows.

    Parameters
    ----------
    events
        In order, as in the run's ``cache_trace`` table.
    accesses_max
        More than so many are thinned out, by scope.
    """
    kind = events["event"].map(_KINDS).to_numpy(dtype=np.int8)
    scope = events["scope"].to_numpy(dtype=np.int64)
    share = min(1.0, accesses_max / max(1, int((kind == _HIT_OR_MISS).sum())))
    keep = (scope % _HASH_STEPS < share * _HASH_STEPS) | (kind == _CLEAR)
    kind, scope, events = kind[keep], scope[keep], events[keep]
    item = events["item"].to_numpy(dtype=np.int64)
    entry = np.unique(np.stack([scope, item], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    used = (kind == _HIT_OR_MISS) | (kind == _PUT)
    first = np.zeros(kind.size, dtype=np.bool_)
    first[np.flatnonzero(used)[np.unique(entry[used], return_index=True)[1]]] = True
    t_s = events["t_s"].to_numpy(dtype=np.float64)
    hit = (events["event"] == "hit").to_numpy(dtype=np.bool_)
    counted = (kind == _HIT_OR_MISS) & (t_s >= 0) & ~(first & hit)
    numbered = np.unique(scope, return_inverse=True)[1].astype(np.int64)
    return CacheTrace(t_s, numbered, entry.astype(np.int64), kind, counted, hit & counted, share)


def stack_distances(scope: NDArray[np.int64], kind: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return, for each event, how many scopes were used since its own was used last.

    Parameters
    ----------
    scope
        The scope of each event, numbered from 0.
    kind
        See `Trace`.

    Returns
    -------
    array of float
        Infinite where the scope was not in the stack, and NaN where nothing was used. O(n log n), with a
        Fenwick tree over the events that marks each scope's latest use.
    """
    found = np.full(scope.size, np.nan)
    stack = _Stack(scope.size)
    for place, (name, what) in enumerate(zip(scope.tolist(), kind.tolist(), strict=True), start=1):
        if what == _CLEAR:
            stack.clear()
        elif what == _FORGET:
            stack.forget(name)
        else:
            found[place - 1] = stack.use(name, place)
    return found


class _Stack:
    """The scopes by latest use: a mark in a Fenwick tree at the place of each one's latest, and of holes."""

    def __init__(self, places: int) -> None:
        self._places = places
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._tree = [0] * (self._places + 1)
        self._last: dict[int, int] = {}
        self._holes: list[int] = []  # negative places, the topmost first
        self._marks = 0

    def forget(self, scope: int) -> None:
        """Take a scope out; its mark becomes a hole."""
        place = self._last.pop(scope, 0)
        if place:
            heapq.heappush(self._holes, -place)

    def use(self, scope: int, place: int) -> float:
        """Put a scope on top, and return how many lay above it; infinity where it was not in the stack."""
        before = gone = self._last.get(scope, 0)
        above, step, tree = self._marks, before, self._tree
        while step:
            above -= tree[step]
            step &= step - 1
        holes = self._holes
        if holes and -holes[0] > before:  # it fills the topmost hole, and leaves one where it was
            gone = -heapq.heappop(holes)
            if before:
                heapq.heappush(holes, -before)
        if gone:
            self._mark(gone, -1)
        self._mark(place, 1)
        self._last[scope] = place
        return above if before else math.inf

    def _mark(self, place: int, by: int) -> None:
        tree, places = self._tree, self._places
        while place <= places:
            tree[place] += by
            place += place & -place
        self._marks += by


class _Prepared:
    """One trace, ordered by entry and time, with all that does not depend on size and time to live."""

    def __init__(self, trace: CacheTrace) -> None:
        used = np.flatnonzero((trace.kind == _HIT_OR_MISS) | (trace.kind == _PUT))
        reach = _reach(trace.scope[used], trace.item[used], stack_distances(trace.scope, trace.kind)[used])
        order = np.argsort(trace.item[used], kind="stable")
        rows = used[order]
        self._reach = reach[order] / trace.share
        self._put = trace.kind[rows] == _PUT
        self._counted = trace.counted[rows]
        self._first = np.ones(rows.size, dtype=np.bool_)
        self._first[1:] = trace.item[rows][1:] != trace.item[rows][:-1]
        t_s = trace.t_s[rows] - (trace.t_s[rows].min() if rows.size else 0.0)
        # All entries on one axis, each in a stretch of its own: one search then serves them all.
        stretch = 2 * float(t_s.max() if rows.size else 0.0) + 1
        self._axis = np.cumsum(self._first) * stretch + t_s
        self._stretch = stretch

    def hits(self, size: int, ttl_s: float) -> int:
        """Return how many counted accesses an L1 would have answered."""
        # Of at least one scope, as the core's.
        missed = self._first | (self._reach >= size)
        begins = missed | self._put
        rows = np.flatnonzero(begins)
        ends = np.append(rows[1:], begins.size)
        ttl_s = min(ttl_s, self._stretch / 2)
        while rows.size:
            after = np.searchsorted(self._axis, self._axis[rows] + ttl_s, side="right")
            alive = after < ends
            rows, ends = after[alive], ends[alive]
            missed[rows] = True
        return int((self._counted & ~missed).sum())


def _reach(
    scope: NDArray[np.int64], item: NDArray[np.int64], distance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the largest distance of each access's scope since the access's own entry was used last.

    Which is how large the L1 must be for the entry to be still there. By a sparse table over the accesses in
    the order of their scopes.
    """
    order = np.argsort(scope, kind="stable")
    ordered = distance[order]
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    by_item = np.argsort(item, kind="stable")
    previous = np.full(item.size, -1)
    same = item[by_item][1:] == item[by_item][:-1]
    previous[by_item[1:][same]] = by_item[:-1][same]
    begin = np.where(previous >= 0, place[previous] + 1, place)
    length = place - begin + 1
    found = np.empty_like(ordered)
    wide, table = 1, ordered
    while wide <= order.size:
        chosen = (length >= wide) & (length < 2 * wide)
        found[chosen] = np.maximum(table[begin[chosen]], table[place[chosen] - wide + 1])
        if table.size > wide:
            table = np.maximum(table[:-wide], table[wide:])
        wide *= 2
    found[previous < 0] = np.inf
    return found


def _sizes(scopes: int) -> tuple[int, ...]:
    return tuple(int(size) for size in np.unique(np.geomspace(1, max(2, scopes), SIZES).round()))
