"""What the companions of a duet's blocks amount to."""

from __future__ import annotations

from typing import Any

import pytest

from adx_lab.analysis.duet.causes.read_traits import facts_of
from adx_lab.analysis.duet.companions import Companion, companions_of

ENDS = ("0.5", "1", "5", "+Inf")


def block(**changed: Any) -> dict[str, dict[str, Any]]:
    usual: dict[str, Any] = {
        "requests": 1_000,
        "cpu_s": 0.5,
        "rss_mb": [100.0, 101.0],
        "cache": {"l1": 900.0, "l2": 50.0, "miss": 50.0},
        "lag": dict(zip(ENDS, (80.0, 90.0, 100.0, 100.0), strict=True)),
        "pool_max": 20.0,
        "invalidations": 40.0,
        "valkey_commands": 300,
        "statements": {},
    }
    return {"head": {**usual, **changed}}


def test_they_are_figures_a_request() -> None:
    facts = facts_of([block(), block(requests=3_000, cpu_s=1.5)], {"resolved": {"workers": "2"}}, "head")
    assert facts.cpu_ms == pytest.approx(0.5)
    assert facts.capacity_per_s == pytest.approx(4_000)
    assert facts.memory_bytes == pytest.approx(2 * 2**20 / 4_000)
    assert facts.invalidations == pytest.approx(80 / 4_000)
    assert facts.loop_lag_p90_ms == pytest.approx(1.0)
    assert facts.loop_lag_ms == pytest.approx(4.6)


def test_a_count_that_was_lost_in_one_block_is_taken_from_the_others() -> None:
    lost = block(valkey_commands=None, requests=5_000)
    assert facts_of([block(), lost], {}, "head").valkey_commands == pytest.approx(0.3)
    assert facts_of([lost], {}, "head").valkey_commands is None


def test_they_stand_side_by_side() -> None:
    base = facts_of([block()], {}, "head")
    head = facts_of([block(invalidations=80.0)], {}, "head")
    rows = companions_of((), base, head)
    assert Companion("all", "invalidations_per_request", 0.04, 0.08) in rows
    assert all((row.base, row.head) != (None, None) for row in rows)
