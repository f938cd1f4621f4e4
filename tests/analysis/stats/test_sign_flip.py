"""The exact test, its adjustment, and the interval, each against what is known of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from adx_lab.analysis.stats.sequential_design import SequentialDesign, spent
from adx_lab.analysis.stats.sign_flip import bootstrap_t, clipped, error_inflation, step_down
from tests.analysis.noise import autoregressive

# Values whose neighbours do not resemble each other, so that no correction for dependence is made.
ONE = np.array([0.9, -0.3, 1.4, -0.2, 1.1, 0.1, 0.8, -0.4, 0.7, 0.2])


def test_one_column_is_scipys_exact_permutation_test() -> None:
    assert error_inflation(ONE[:, None]) == 1.0
    # 10,000 exceeds 2^10: scipy then counts every flip.
    ours = step_down(ONE[:, None], alpha=0.05, seed=0)
    theirs = stats.permutation_test(
        (ONE,), np.mean, permutation_type="samples", alternative="greater", n_resamples=10_000
    )
    assert ours.exact
    assert ours.slower[0] == pytest.approx(theirs.pvalue)
    assert ours.errors[0] == pytest.approx(stats.sem(ONE))


def test_random_flips_agree_with_all_of_them() -> None:
    rng = np.random.default_rng(3)
    values = 0.25 + rng.normal(size=13)
    exact = step_down(values[:, None], alpha=0.05, seed=0)
    padded = np.append(values, np.nan)[:, None]  # a fourteenth block that does not count
    drawn = step_down(padded, alpha=0.05, seed=0)
    assert exact.exact
    assert not drawn.exact
    assert drawn.slower[0] == pytest.approx(exact.slower[0], abs=4 * np.sqrt(exact.slower[0] / 16_384))
    assert drawn.slower[0] > 0
    assert step_down(padded, alpha=0.05, seed=0).slower[0] == drawn.slower[0]


def test_both_directions() -> None:
    up = step_down(ONE[:, None], alpha=0.05, seed=0)
    down = step_down(-ONE[:, None], alpha=0.05, seed=0)
    assert up.slower[0] == down.faster[0]
    assert up.faster[0] > 0.9


def test_a_strong_effect_reaches_the_smallest_p_however_many_comparisons_there_are() -> None:
    rng = np.random.default_rng(4)
    table = 0.01 * rng.normal(size=(10, 40))
    table[:, 7] += 0.2
    test = step_down(table, alpha=0.01, seed=0)
    assert test.slower[7] == 1 / 1_024
    assert np.delete(test.slower, 7).min() > 0.01
    # Holm over 40 comparisons could not go below 40/1024.
    assert 40 / 1_024 > 0.01


def test_stepping_down_keeps_a_second_effect_in_sight() -> None:
    rng = np.random.default_rng(5)
    table = 0.01 * rng.normal(size=(12, 10))
    table[:, 0] += 0.5
    table[:, 1] += 0.05
    assert (step_down(table, alpha=0.01, seed=0).slower[:2] <= 0.01).all()


def test_columns_without_variation_do_no_harm() -> None:
    table = np.column_stack([np.zeros(10), np.full(10, 0.1), ONE])
    test = step_down(table, alpha=0.01, seed=0)
    assert test.slower[0] > 0.4
    assert test.slower[1] == 1 / 1_024
    assert np.isfinite(test.slower).all()


def test_dependence_between_blocks_widens_the_error() -> None:
    rng = np.random.default_rng(6)
    factors = {
        phi: np.mean(
            [
                error_inflation(np.column_stack([autoregressive(rng, 12, phi) for _ in range(12)]))
                for _ in range(100)
            ]
        )
        for phi in (0.0, 0.3)
    }
    # On the safe side of 1 and of sqrt(1.3 / 0.7) = 1.36, but not by much.
    assert 1.0 <= factors[0.0] < 1.15
    assert 1.36 <= factors[0.3] < 1.6


def test_the_bootstrap_interval_covers() -> None:
    rng = np.random.default_rng(7)
    inside = sum(
        low <= 0 <= high
        for low, high in (
            bootstrap_t(rng.normal(size=12), tail=0.05, seed=1, resamples=1_000) for _ in range(500)
        )
    )
    assert 0.86 <= inside / 500 <= 0.94  # 90% nominal, standard error 1.3%
    assert bootstrap_t(np.full(12, 0.3), tail=0.05, seed=1) == pytest.approx((0.3, 0.3))


def test_what_is_spent_is_what_was_seen() -> None:
    # Kim and DeMets (1987), rho = 1.
    assert [spent(0.05, t) for t in (0.25, 0.5, 0.75, 1.0, 1.2)] == pytest.approx(
        [0.0125, 0.025, 0.0375, 0.05, 0.05]
    )
    plan = SequentialDesign(looks=(12, 14, 16))
    assert sum(plan.alpha_at(n) for n in range(20)) == pytest.approx(plan.alpha)
    assert sum(plan.beta_at(n) for n in range(20)) == pytest.approx(plan.beta)
    assert plan.alpha_at(13) == 0
    assert (plan.next_look(0), plan.next_look(12), plan.next_look(16)) == (12, 14, None)


def test_a_plan_that_could_find_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="look later"):
        SequentialDesign(looks=(6, 16))
    with pytest.raises(ValueError, match="must rise"):
        SequentialDesign(looks=(12, 12))
    with pytest.raises(ValueError, match="must rise"):
        SequentialDesign(looks=())


def test_a_stalled_block_counts_no_more_than_a_slow_one() -> None:
    stalled = ONE.copy()
    stalled[4] = 40.0
    assert clipped(stalled[:, None]).max() == pytest.approx(3 * np.median(np.abs(stalled)))
    slow = np.abs(ONE) + 1.0
    slow[4] = 40.0
    found = step_down(slow[:, None], alpha=0.01, seed=0)
    assert found.slower[0] == pytest.approx(1 / 1_024)
    assert found.errors[0] < 0.25 * stats.sem(slow)


def test_noise_that_others_show_is_borrowed() -> None:
    """Twenty columns of noise that is known, one of which is quieter by chance: it is not believed."""
    rng = np.random.default_rng(4)
    table = rng.normal(size=(10, 20))
    table[:, 0] *= 0.05
    alone = step_down(table, alpha=0.01, seed=0)
    together = step_down(table, alpha=0.01, seed=0, noise=np.ones(20))
    assert together.errors[0] > 4 * alone.errors[0]
    assert together.critical < alone.critical
