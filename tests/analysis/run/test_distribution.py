"""The curves, the heat map and the timeline hold every request once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from adx_lab.analysis.run.distribution import heat_map, percentile_axis, timeline


def a_run(n: int = 10_000) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    return pd.DataFrame(
        {
            "t_intended_s": np.sort(rng.uniform(0, 100, n)),
            "latency_ms": rng.lognormal(1, 1, n),
            "endpoint": np.where(np.arange(n) % 2, "a", "b"),
            "status": 200,
        }
    )


def test_the_percentile_axis_runs_from_the_minimum_to_the_maximum() -> None:
    samples = a_run()
    (curve,) = percentile_axis(samples)
    ordered = np.sort(samples.latency_ms.to_numpy())
    assert curve.fraction[0] == 0
    assert curve.value_ms[0] == ordered[0]
    assert (curve.fraction[-1], curve.value_ms[-1]) == (1.0, ordered[-1])
    assert 1 - curve.fraction[-2] >= 1 / 10_000  # no tick beyond the last sample
    half = curve.fraction.index(0.5)
    assert curve.value_ms[half] == ordered[4_999]
    assert list(curve.value_ms) == sorted(curve.value_ms)
    assert [c.subject for c in percentile_axis(samples, by="endpoint")] == ["a", "b"]
    assert percentile_axis(samples.assign(status=500)) == ()
    assert percentile_axis(samples.iloc[:1])[0].count == 1


def test_the_heat_map_counts_each_request_once() -> None:
    samples = a_run()
    picture = heat_map(samples, slots=10, bins=20)
    counts = np.array(picture.counts)
    assert counts.shape == (20, 10)
    assert counts.sum() == 10_000
    want, _, _ = np.histogram2d(samples.latency_ms, samples.t_intended_s, [picture.ms, picture.t_s])
    assert np.abs(want - counts).sum() <= 4  # a value on an edge may fall either way
    assert np.array(heat_map(samples.assign(status=500)).counts).sum() == 0
    assert np.array(heat_map(samples.assign(latency_ms=2.0)).counts).sum() == 10_000


def test_the_timeline_shows_a_stall_where_it_was() -> None:
    samples = a_run()
    stalled = samples.t_intended_s.between(50, 52)
    samples.loc[stalled, "latency_ms"] += 500
    samples.loc[samples.t_intended_s.between(80, 82), "status"] = 503
    line = timeline(samples, slots=50)
    worst = max(range(50), key=lambda i: line.p50_ms[i] or 0)
    assert line.t_s[worst] == pytest.approx(51, abs=1.1)
    assert sum(line.rate_per_s) * 2 == pytest.approx(10_000, rel=1e-3)
    assert line.errors_per_s[40] > 80
    assert max(line.errors_per_s[:39]) == 0
    assert timeline(samples.assign(status=0), slots=5).p99_ms == (None,) * 5


def test_one_instant_and_nothing() -> None:
    assert timeline(a_run(1), slots=4).rate_per_s == (4.0, 0.0, 0.0, 0.0)
    assert heat_map(a_run(0), slots=4).t_s[-1] == 1.0
    assert percentile_axis(a_run(0)) == ()
