from __future__ import annotations

import itertools

from scipy import stats

from adx_lab.load.arrivals import poisson


def test_arrivals_are_a_poisson_process() -> None:
    moments = list(poisson(200, -5, 300, seed=7))
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert -5 <= moments[0] < moments[-1] < 300
    assert stats.kstest(gaps, "expon", args=(0, 1 / 200)).pvalue > 0.001
    assert stats.poisson.cdf(len(moments), 200 * 305) > 0.001
    assert stats.poisson.sf(len(moments), 200 * 305) > 0.001


def test_a_seed_is_a_schedule() -> None:
    assert list(poisson(50, 0, 10, seed=3)) == list(poisson(50, 0, 10, seed=3))
    assert list(poisson(50, 0, 10, seed=3)) != list(poisson(50, 0, 10, seed=4))
