"""Miss-ratio curves against the cache itself, played access by access."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adx_lab.analysis.run.cache.miss_ratio import NO_END, SAMPLED, miss_ratio_curves

Event = tuple[str, int, int]


def trace_of(events: list[Event], *, step_s: float = 0.25) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "t_s": np.arange(len(events)) * step_s,
            "scope": [scope for _, scope, _ in events],
            "item": [item for _, _, item in events],
            "worker": 7,
            "family": "user",
            "event": [event for event, _, _ in events],
        }
    )


def played(events: list[Event], size: int, ttl_s: float, *, step_s: float = 0.25) -> float:
    """Play an LRU of scopes whose entries die; what is really there decides."""
    cache: OrderedDict[int, dict[int, float]] = OrderedDict()
    hits = lookups = 0
    for place, (event, scope, item) in enumerate(events):
        now = place * step_s
        if event == "clear":
            cache.clear()
        elif event == "forget":
            cache.pop(scope, None)
        else:
            known = cache.pop(scope, None)
            if known is None:
                known = {}
                if len(cache) == size:
                    cache.popitem(last=False)
            cache[scope] = known
            alive = item in known and now - known[item] <= ttl_s
            lookups += event == "miss"
            hits += alive and event == "miss"
            if event == "put" or not alive:
                known[item] = now
    return hits / lookups if lookups else 0.0


EVENTS = st.lists(
    st.tuples(st.sampled_from(["miss"] * 12 + ["put", "forget"]), st.integers(0, 7), st.integers(0, 2)),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(EVENTS, st.integers(1, 9), st.sampled_from([0.25, 1.0, 3.5, 100.0]), st.booleans())
def test_it_answers_as_the_cache_itself(events: list[Event], size: int, ttl_s: float, clears: bool) -> None:
    if clears and events:
        events = [*events[: len(events) // 2], ("clear", 0, 0), *events[len(events) // 2 :]]
    found = miss_ratio_curves(trace_of(events), [ttl_s], sizes=[size])
    ratio = found.curves[ttl_s][0].hit_ratio if found.curves else 0.0
    assert ratio == pytest.approx(played(events, size, ttl_s))


def test_a_worker_has_a_cache_of_its_own() -> None:
    events: list[Event] = [("miss", 1, 0), ("miss", 1, 0), ("miss", 1, 0), ("miss", 1, 0)]
    two = trace_of(events).assign(worker=[1, 2, 1, 2])
    assert miss_ratio_curves(two, [9.0], sizes=[5]).curves[9.0][0].hit_ratio == 0.5
    assert miss_ratio_curves(trace_of(events), [9.0], sizes=[5]).curves[9.0][0].hit_ratio == 0.75


def test_what_was_there_before_is_left_out() -> None:
    events: list[Event] = [("hit", 1, 0), ("hit", 1, 0), ("miss", 2, 0), ("hit", 1, 0)]
    found = miss_ratio_curves(trace_of(events), [9.0], sizes=[5])
    assert (found.accesses, found.scopes) == (3, 2)
    assert found.measured == pytest.approx(2 / 3)
    assert found.curves[9.0][0].hit_ratio == pytest.approx(2 / 3)
    assert NO_END in found.caveats


def test_the_warm_up_fills_and_does_not_count() -> None:
    trace = trace_of([("miss", 1, 0), ("miss", 1, 0)]).assign(t_s=[-1.0, 1.0])
    found = miss_ratio_curves(trace, [9.0], sizes=[5])
    assert (found.accesses, found.curves[9.0][0].hit_ratio) == (1, 1.0)


def test_nothing_recorded_is_no_curve() -> None:
    assert miss_ratio_curves(trace_of([]), [9.0]).curves == {}


def test_a_share_of_the_scopes_stands_for_all() -> None:
    random = np.random.default_rng(3)
    scopes = random.integers(-(2**62), 2**62, 3_000)
    events: list[Event] = [("miss", int(scope), 0) for scope in random.choice(scopes, 60_000)]
    trace, sizes = trace_of(events, step_s=0.001), [300, 1_500, 2_900]
    whole = miss_ratio_curves(trace, [1e9, 1.0], sizes=sizes)
    sampled = miss_ratio_curves(trace, [1e9, 1.0], sizes=sizes, accesses_max=20_000)
    assert SAMPLED not in whole.caveats
    assert SAMPLED in sampled.caveats
    assert 15_000 < sampled.accesses < 25_000
    assert sampled.scopes == pytest.approx(3_000, rel=0.1)
    for ttl_s, points in whole.curves.items():
        found = [point.hit_ratio for point in sampled.curves[ttl_s]]
        assert found == pytest.approx([point.hit_ratio for point in points], abs=0.05)
