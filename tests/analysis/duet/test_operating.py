"""The simulation that the operating curves are drawn from plays a duet as a real one is played."""

from __future__ import annotations

from adx_lab.analysis.duet.operating import Operated, World, operate


def test_equals_pass_and_a_slowdown_is_found_where_it_is() -> None:
    assert operate(World(0.01), tries=4, seed=1) == Operated(passed=1.0, found=0.0, alarmed=0.0)
    assert operate(World(0.02, effect=0.2), tries=4, seed=1) == Operated(passed=0.0, found=1.0, alarmed=0.0)


def test_what_is_still_open_is_asked_again() -> None:
    once, twice = (operate(World(0.05, more=more), tries=12, seed=2) for more in (0, 8))
    assert once.passed < twice.passed
    assert twice.alarmed == 0
