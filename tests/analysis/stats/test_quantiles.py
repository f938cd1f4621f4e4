"""The quantiles agree with scipy's, and their intervals cover what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mstats

from adx_lab.analysis.stats.quantiles import (
    TOO_DEPENDENT,
    TOO_FEW,
    batch_mean,
    design_effect,
    harrell_davis,
    quantile_estimates,
    ranks_between,
    samples_needed,
)

PROBABILITIES = (0.001, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)


@pytest.mark.parametrize("n", [2, 3, 10, 57, 500, 4_000, 30_000])
def test_agrees_with_scipy_to_a_billionth(n: int) -> None:
    ordered = np.sort(np.random.default_rng(n).lognormal(1.0, 1.5, n))
    ours = [harrell_davis(ordered, p) for p in PROBABILITIES]
    assert ours == pytest.approx(np.asarray(mstats.hdquantiles(ordered, PROBABILITIES)), rel=1e-9, abs=1e-9)


def test_the_window_of_weights_leaves_nothing_out_even_beside_an_outlier() -> None:
    ordered = np.sort(np.random.default_rng(1).exponential(1.0, 20_000))
    ordered[-1] = 1e9
    ours = [harrell_davis(ordered, p) for p in (0.5, 0.95, 0.99)]
    assert ours == pytest.approx(np.asarray(mstats.hdquantiles(ordered, (0.5, 0.95, 0.99))), rel=1e-9)


def test_ten_million_values_have_the_quantiles_of_their_distribution() -> None:
    n = 10_000_000
    ordered = -np.log1p(-(np.arange(n) + 0.5) / n)
    for p in (0.5, 0.95, 0.99, 0.999):
        assert harrell_davis(ordered, p) == pytest.approx(-np.log1p(-p), rel=1e-5)


def test_refuses_what_has_no_quantile() -> None:
    with pytest.raises(ValueError, match="no quantile"):
        harrell_davis(np.array([]), 0.5)
    with pytest.raises(ValueError, match="no quantile"):
        harrell_davis(np.array([1.0]), 1.0)


def test_a_percentile_the_samples_cannot_carry_is_none() -> None:
    assert samples_needed(0.999) == 3_688
    values = np.random.default_rng(2).exponential(1.0, 500)
    p95, p999 = quantile_estimates(values, np.arange(500) // 25, (0.95, 0.999))
    assert p95.value is not None
    assert (p999.value, p999.low, p999.high) == (None, None, None)
    assert TOO_FEW in p999.caveats


def test_exact_ranks_cover_at_least_their_level() -> None:
    low, high = ranks_between(100, 0.5)
    assert (low, high) == (0.4, 0.61)  # the textbook's order statistics 40 and 61 of 100
    assert ranks_between(3, 0.5) == (None, None)
    assert ranks_between(0.5, 0.5) == (None, None)


def _coverage(probability: float, *, phi: float, runs: int, n: int, truth: float) -> float:
    rng = np.random.default_rng(17)
    batch = (np.arange(n) * 20 // n).astype(np.int16)
    hits = 0
    for _ in range(runs):
        noise = rng.normal(size=n)
        if phi:
            noise *= np.sqrt(1 - phi**2)
            for i in range(1, n):
                noise[i] += phi * noise[i - 1]
        estimate = quantile_estimates(noise, batch, (probability,))[0]
        assert estimate.low is not None
        assert estimate.high is not None
        hits += estimate.low <= truth <= estimate.high
    return hits / runs


def test_intervals_cover_independent_samples() -> None:
    # 400 runs at a true 95% stay above 92.5% with 99% probability; a z of 1.5 instead of 1.96 would give 87%.
    assert _coverage(0.95, phi=0.0, runs=400, n=2_000, truth=1.6449) >= 0.925


def test_intervals_cover_a_run_whose_neighbours_depend_on_each_other() -> None:
    assert _coverage(0.5, phi=0.9, runs=200, n=2_000, truth=0.0) >= 0.90


def test_the_binomial_interval_alone_would_fail_there() -> None:
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(100):
        noise = rng.normal(size=2_000) * np.sqrt(1 - 0.81)
        for i in range(1, noise.size):
            noise[i] += 0.9 * noise[i - 1]
        low, high = ranks_between(noise.size, 0.5)
        assert low is not None
        assert high is not None
        inside += np.quantile(noise, low) <= 0 <= np.quantile(noise, high)
    assert inside < 60


def test_a_stall_in_one_slice_widens_the_interval() -> None:
    rng = np.random.default_rng(3)
    values = rng.exponential(1.0, 10_000)
    batch = np.arange(10_000) // 500
    calm = quantile_estimates(values, batch, (0.95,))[0]
    values[3_000:3_480] += 200.0
    stalled = quantile_estimates(values, batch, (0.95,))[0]
    assert calm.high is not None
    assert calm.high < 3.5
    # One slice in twenty was slow: whether that is 3% or 8% of the time, one run can't tell.
    assert stalled.low is not None
    assert stalled.low < 50
    assert stalled.high is None
    assert TOO_DEPENDENT in stalled.caveats


def test_a_design_effect_counts_whole_batches_as_one() -> None:
    sizes = np.full(20, 100.0)
    assert design_effect(np.full(20, 50.0), sizes) == 1.0
    all_or_none = np.where(np.arange(20) % 2 == 0, 100.0, 0.0)
    assert design_effect(all_or_none, sizes) == pytest.approx(100 * 20 / 19)


def test_batch_mean() -> None:
    values = np.repeat([1.0, 2.0, 3.0], 10)
    mean = batch_mean(values, np.repeat([0, 1, 2], 10))
    assert mean.value == 2.0
    assert mean.low == pytest.approx(2 - 4.302653 / np.sqrt(3), rel=1e-6)
    assert batch_mean(np.array([]), np.array([], dtype=np.int16)).value is None
    assert batch_mean(np.array([3.0]), np.array([0])).low is None
