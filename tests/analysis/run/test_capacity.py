from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adx_lab.analysis.run.capacity import (
    BEYOND,
    ScalabilityLaw,
    capacity_steps,
    fit_scalability,
    throughput_at,
    users_carried,
)

N = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]


def law(rate: float, sigma: float, kappa: float) -> ScalabilityLaw:
    return ScalabilityLaw(rate, sigma, kappa, None, None, 0.0)


@settings(max_examples=40, deadline=None)
@given(st.floats(10, 5_000), st.floats(0.005, 0.6), st.floats(1e-4, 1e-2))
def test_the_law_is_found_again(rate: float, sigma: float, kappa: float) -> None:
    found = fit_scalability(N, throughput_at(law(rate, sigma, kappa), N))
    assert found is not None
    assert found.rate_per_s == pytest.approx(rate, rel=1e-3)
    assert found.contention == pytest.approx(sigma, rel=0.02, abs=1e-3)
    assert found.coherence == pytest.approx(kappa, rel=0.02)
    assert found.peak_concurrency == pytest.approx(math.sqrt((1 - sigma) / kappa), rel=0.02)
    assert found.error < 1e-3
    assert (BEYOND in found.caveats) == (found.peak_concurrency > 64)  # type: ignore[operator]


def test_noise_moves_the_peak_little() -> None:
    random = np.random.default_rng(4)
    true = throughput_at(law(400, 0.1, 0.002), N)
    found = fit_scalability(N, [x * random.lognormal(0, 0.02) for x in true])
    assert found is not None
    assert found.peak_per_s == pytest.approx(max(throughput_at(law(400, 0.1, 0.002), range(1, 65))), rel=0.05)
    assert 0.005 < found.error < 0.05


def test_a_line_has_no_peak_in_sight() -> None:
    found = fit_scalability(N, [100 * n for n in N])
    assert found is not None
    assert found.caveats
    assert found.peak_per_s is None or found.peak_per_s > 6_400


def test_too_few_steps_fit_nothing() -> None:
    assert fit_scalability([1, 2, 3], [10, 20, 30]) is None
    assert fit_scalability([0, 1, 2, 3], [0, 10, 20, 30]) is None


def test_steps_come_from_the_samples() -> None:
    samples = pd.DataFrame(
        {
            "t_intended_s": [0.5, 1.5, 2.5, 3.5, 3.9],
            "latency_ms": [10.0, 30.0, 100.0, 100.0, 900.0],
            "status": [200, 200, 200, 200, 500],
            "error": [None, None, None, None, "500"],
        }
    )
    told = [
        {"rate_per_s": 1.0, "answered_per_s": 1.0, "broken": []},
        {"rate_per_s": 2.0, "answered_per_s": 1.5, "broken": [{"metric": "group.users.p95_ms"}]},
        {"rate_per_s": 4.0, "answered_per_s": 0.0, "broken": []},
    ]
    first, second = capacity_steps(samples, told, [2.0, 2.0, 2.0, 2.0])
    assert (first.latency_ms, first.concurrency) == (20.0, 0.02)
    assert second.broken == ("group.users.p95_ms",)
    assert second.concurrency == pytest.approx(0.15)


def test_users_by_littles_law() -> None:
    assert users_carried(1_000, 100, 8.5) == pytest.approx(8_600)
