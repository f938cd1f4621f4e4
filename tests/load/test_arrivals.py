from __future__ import annotations

import itertools

from scipy import stats

from adx_lab.load.schedules.arrivals import Stage, poisson, staged, warm_up


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


def test_a_warm_up_comes_to_the_rate_and_stays_at_it() -> None:
    moments = list(staged((*warm_up(1_000, 20), Stage(1_000, 1_000, 10)), -20, seed=3))
    first, second, third = (sum(begin <= at < begin + 10 for at in moments) for begin in (-20, -10, 0))
    for count, mean in ((first, 5_500), (second, 10_000), (third, 10_000)):
        assert abs(count - mean) < 5 * mean**0.5
    assert list(staged((*warm_up(50, 0), Stage(50, 50, 10)), 0, seed=3)) == list(poisson(50, 0, 10, seed=3))
