"""Latency summaries say what the samples say, and no more."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mstats

from adx_lab.analysis.run.latency import (
    BETWEEN_BLOCKS,
    DRIFT,
    WITHIN_RUN,
    batches_of,
    failed,
    summarise,
)
from adx_lab.analysis.run.measured import measure
from adx_lab.records.documents import to_json


def a_run(n: int = 20_000, *, seed: int = 0, **columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    endpoint = np.array(["GET /me", "GET /users", "POST /auth/login"])[rng.integers(0, 3, n)]
    service = rng.lognormal(np.where(endpoint == "GET /users", 1.5, 0.5), 0.5)
    frame = pd.DataFrame(
        {
            "t_intended_s": np.sort(rng.uniform(0, 60, n)),
            "service_ms": service,
            "latency_ms": service + 0.1,
            "endpoint": pd.Categorical(endpoint),
            "group": np.where(endpoint == "POST /auth/login", "auth", "users"),
            "status": 200,
            "error": pd.Series([None] * n, dtype="str"),
        }
    )
    return frame.assign(**columns)


def test_each_endpoint_has_the_percentiles_of_its_own_samples() -> None:
    samples = a_run()
    rows = summarise(samples)
    assert [row.subject for row in rows] == ["GET /me", "GET /users", "POST /auth/login"]
    for row in rows:
        times = samples.loc[samples.endpoint == row.subject, "latency_ms"].to_numpy()
        assert row.count == times.size
        assert row.max_ms == times.max()
        assert row.mean_ms.value == pytest.approx(times.mean())
        want = mstats.hdquantiles(times, (0.5, 0.95, 0.99, 0.999))
        got = [row.p50_ms.value, row.p95_ms.value, row.p99_ms.value, row.p999_ms.value]
        assert got == pytest.approx(np.asarray(want), rel=1e-9)
        assert row.p95_ms.low is not None
        assert row.p95_ms.high is not None
        assert row.p95_ms.low < row.p95_ms.value < row.p95_ms.high  # type: ignore[operator]
        assert row.p95_ms.caveats == (WITHIN_RUN,)
        assert json.loads(to_json(row))["p95_ms"]["caveats"][0]["code"] == "within-run"
    assert sum(row.rate_per_s for row in rows) == pytest.approx(len(samples) / 60, rel=1e-3)


def test_the_whole_run_is_one_summary() -> None:
    (row,) = summarise(a_run(), by=None, column="service_ms")
    assert (row.subject, row.by, row.count) == ("all", None, 20_000)


def test_blocks_are_batches_where_there_are_enough() -> None:
    samples = a_run(block=np.arange(20_000) // 2_500)
    slow = samples.block.to_numpy() % 2 == 1
    samples.loc[slow, "latency_ms"] *= 1.3
    (with_blocks,) = summarise(samples, by=None)
    assert with_blocks.p50_ms.caveats == (BETWEEN_BLOCKS,)
    (without,) = summarise(samples.assign(block=0), by=None)
    assert without.p50_ms.caveats == (WITHIN_RUN,)


def test_failed_requests_are_counted_and_left_out_of_the_times() -> None:
    samples = a_run()
    samples.loc[::10, "error"] = "time-out"
    samples.loc[::10, "latency_ms"] = 30_000.0
    (row,) = summarise(samples, by=None)
    assert row.errors == 2_000
    assert row.max_ms is not None
    assert row.max_ms < 1_000
    assert any("2000 failed requests of 20000" in caveat.text for caveat in row.caveats)


def test_without_the_generators_word_the_status_tells() -> None:
    frame = pd.DataFrame({"status": [200, 304, 404, 500, 0]})
    assert failed(frame).tolist() == [False, False, True, True, True]
    error = pd.Series(["", None, None, None, "reset"], dtype="str")
    assert failed(frame.assign(error=error)).tolist() == [False] * 4 + [True]


def test_drift_is_said() -> None:
    samples = a_run()
    (calm,) = summarise(samples, by=None)
    assert DRIFT not in calm.caveats
    samples["latency_ms"] *= 1 + samples.t_intended_s / 60
    (drifting,) = summarise(samples, by=None)
    assert DRIFT in drifting.caveats


def test_little_and_nothing() -> None:
    assert summarise(a_run(10).iloc[:0]) == ()
    assert measure(a_run(10).iloc[:0]) == {}
    (one,) = summarise(a_run(1), by=None)
    assert (one.count, one.p50_ms.value, one.mean_ms.low) == (1, None, None)
    every_one_failed = a_run(50).assign(error="refused")
    (row,) = summarise(every_one_failed, by=None)
    assert (row.errors, row.p50_ms.value, row.max_ms, row.mean_ms.value) == (50, None, None, None)


def test_a_null_label_is_named() -> None:
    samples = a_run(100).assign(tenant_kind=pd.Series(["whale"] * 60 + [None] * 40, dtype="str"))
    assert [(r.subject, r.count) for r in summarise(samples, by="tenant_kind")] == [
        ("none", 40),
        ("whale", 60),
    ]


def test_measure_names_the_budgets_metrics() -> None:
    samples = a_run()
    queries = pd.DataFrame(
        {
            "sample": np.arange(20_000),
            "query": "users.page",
            "ms": np.random.default_rng(1).exponential(2, 20_000),
        }
    )
    measured = measure(samples, queries)
    assert {"group.auth.p95_ms", "group.users.p99.9_ms", "endpoint.GET /me.p50_ms"} <= measured.keys()
    assert measured["query.users.page.p95_ms"].value == pytest.approx(-2 * np.log(0.05), rel=0.05)
    assert measured["throughput_per_s"].value == pytest.approx(20_000 / 60, rel=1e-3)
    errors = measured["error_rate"]
    assert errors.value == 0
    assert errors.low == 0
    assert errors.high == pytest.approx(1 - 0.025 ** (1 / 20_000), rel=1e-3)


def test_each_query_is_measured_by_itself() -> None:
    """However rare it is: what is often and fast can't hide it."""
    rng = np.random.default_rng(3)
    names = ["often"] * 5_000 + [f"rare{number}" for number in range(8) for _ in range(40)]
    queries = pd.DataFrame(
        {
            "sample": rng.integers(0, 20_000, len(names)),
            "query": names,
            "ms": rng.uniform(0, 2, len(names)),
        }
    )
    measured = measure(a_run(), queries)
    assert measured["query.rare0.p95_ms"].high is None
    assert {name.split(".")[1] for name in measured if name.startswith("query.")} == set(names)


def test_the_error_rate_of_a_run_with_a_bad_spell_is_wide() -> None:
    spread, spell = a_run(), a_run()
    spread.loc[::20, "error"] = "500"
    spell.loc[:999, "error"] = "500"
    wide, narrow = measure(spell)["error_rate"], measure(spread)["error_rate"]
    assert wide.value == narrow.value == 0.05
    assert wide.high is not None
    assert narrow.high is not None
    assert wide.high > 0.10 > 0.06 > narrow.high


def test_slices_cover_the_run() -> None:
    batches = batches_of(a_run())
    assert np.bincount(batches.index).size == 20
    assert batches.seconds.sum() == pytest.approx(60, rel=1e-3)
    assert batches_of(a_run(5).assign(t_intended_s=1.0)).seconds.sum() == 0
