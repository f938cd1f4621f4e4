"""The centre of a few blocks: exact where scipy can say so, and unmoved by stalled ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from adx_lab.analysis.stats.signed_ranks import centre


def test_the_interval_is_what_the_signed_rank_test_does_not_reject() -> None:
    values = np.random.default_rng(1).normal(0.3, 1.0, 10)
    low, middle, high = centre(values, tail=0.05)
    assert low < middle < high

    def p(shift: float, alternative: str) -> float:
        moved: Any = stats.wilcoxon(values - shift, alternative=alternative, method="exact")  # type: ignore[call-overload]
        return float(moved.pvalue)

    assert p(low - 1e-6, "greater") <= 0.05 < p(low + 1e-6, "greater")
    assert p(high + 1e-6, "less") <= 0.05 < p(high - 1e-6, "less")


def test_it_covers_as_often_as_it_says_with_stalled_blocks() -> None:
    """90% of 1,000 intervals, where one block in twelve stalls by twenty deviations to either side."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=(1_000, 12))
    stalls = rng.random(values.shape) < 0.08
    values += stalls * 20 * rng.choice([-1, 1], values.shape)
    covered = sum(low <= 0 <= high for low, _, high in (centre(row, tail=0.05) for row in values))
    assert 880 <= covered <= 945


def test_too_few_bound_nothing() -> None:
    low, middle, high = centre(np.array([1.0, 2.0, 3.0]), tail=0.05)
    assert (low, middle, high) == (-math.inf, 2.0, math.inf)


def test_dependence_widens_about_the_centre() -> None:
    values = np.arange(10.0)
    low, middle, high = centre(values, tail=0.05)
    wide = centre(values, tail=0.05, inflation=2.0)
    assert list(wide) == pytest.approx([2 * low - middle, middle, 2 * high - middle])
