"""What can be ruled out of many effects: nothing that is there, and most of what is not."""

from __future__ import annotations

import numpy as np
import pytest

from adx_lab.analysis.stats.two_groups import chance_beyond, ruled_out

MANY = 40


def share_passed(effect: float, error: float, *, tries: int = 2_000) -> float:
    """Return how often all of many effects are ruled out, of which one is so many limits."""
    rng = np.random.default_rng(1)
    passed = 0
    for _ in range(tries):
        estimates = error * rng.normal(size=MANY)
        estimates[0] += effect
        passed += bool(ruled_out(estimates, np.full(MANY, error), np.ones(MANY)).all())
    return passed / tries


def test_forty_equals_are_all_ruled_out_where_each_by_itself_could_hardly_be() -> None:
    """Each alone, by the upper end of its own 95% interval, would leave 0.981 ** 40 = 46%."""
    assert share_passed(0.0, 0.27) > 0.75
    assert share_passed(0.0, 0.2) > 0.95


@pytest.mark.parametrize(("effect", "most"), [(1.25, 0.06), (1.5, 0.025), (2.0, 0.005)])
@pytest.mark.parametrize("error", [0.1, 0.3, 0.5])
def test_one_that_matters_among_forty_is_not_ruled_out(effect: float, most: float, error: float) -> None:
    assert share_passed(effect, error) <= most


def test_what_is_known_too_little_of_is_never_ruled_out() -> None:
    errors = np.array([0.1, 0.7])
    assert ruled_out(np.zeros(2), errors, np.ones(2)).tolist() == [True, False]


def test_what_is_far_faster_is_ruled_out_however_little_is_known_of_it() -> None:
    assert ruled_out(np.array([0.0, -3.0]), np.array([0.1, 0.9]), np.ones(2)).all()


def test_a_change_of_all_is_no_scatter_of_none() -> None:
    """All of them slower by twice what matters: none is ruled out."""
    assert not ruled_out(np.full(MANY, 2.0), np.full(MANY, 0.2), np.ones(MANY)).any()
    assert (chance_beyond(np.full(MANY, 2.0), np.full(MANY, 0.2), np.ones(MANY)) > 0.5).all()
