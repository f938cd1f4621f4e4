"""Budgets pass, fail, or are undecided."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from adx_lab.analysis.run.budgets import NOT_MEASURED, Budget, Estimate, judge, next_night
from adx_lab.analysis.run.measured import measure
from adx_lab.records.documents import to_json
from adx_lab.records.run import Caveat
from tests.analysis.noise import autoregressive

DOUBT = Caveat("doubt", "a reason")
AUTH = Budget("authentication", "group.auth.p95_ms", 30.0, "below", "ms")
RATE = Budget("throughput", "throughput_per_s", 1_000.0, "above", "1/s")


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (10.0, 29.9, "pass"),
        (10.0, 30.0, "pass"),
        (29.0, 31.0, "undecided"),
        (30.1, 40.0, "fail"),
        (31.0, None, "fail"),
        (20.0, None, "undecided"),
        (None, 20.0, "pass"),
        (None, None, "undecided"),
    ],
)
def test_below(low: float | None, high: float | None, status: str) -> None:
    (result,) = judge([AUTH], {"group.auth.p95_ms": Estimate(25.0, low, high, 100, (DOUBT,))})
    assert result.status == status
    assert result.caveats == (DOUBT,)
    assert json.loads(to_json(result))["caveats"] == [{"code": "doubt", "text": "a reason"}]


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (1_001.0, 1_100.0, "pass"),
        (990.0, 1_010.0, "undecided"),
        (900.0, 999.0, "fail"),
        (None, 999.0, "fail"),
    ],
)
def test_above(low: float | None, high: float | None, status: str) -> None:
    assert judge([RATE], {"throughput_per_s": Estimate(1.0, low, high, 9)})[0].status == status


def test_a_star_judges_each_metric_that_matches() -> None:
    budget = Budget("queries", "query.*.p95_ms", 10.0, "below", "ms")
    measured = {
        "query.users.page.p95_ms": Estimate(12.0, 11.0, 13.0, 100),
        "query.me.p95_ms": Estimate(1.0, 0.9, 1.1, 100),
        "query.me.p50_ms": Estimate(99.0, 99.0, 99.0, 100),
    }
    results = judge([budget], measured)
    assert [(r.metric, r.status) for r in results] == [
        ("query.me.p95_ms", "pass"),
        ("query.users.page.p95_ms", "fail"),
    ]


def test_a_name_with_brackets_matches_itself() -> None:
    measured = {"endpoint.GET /users/[id].p95_ms": Estimate(1.0, 1.0, 1.0, 1)}
    budget = Budget("one", "endpoint.GET /users/[id].p95_ms", 2.0)
    assert judge([budget], measured)[0].status == "pass"


def test_what_was_not_measured_is_undecided() -> None:
    (result,) = judge([AUTH], {})
    assert (result.status, result.caveats) == ("undecided", (NOT_MEASURED,))


def told(endpoints: dict[str, tuple[str, np.ndarray]]) -> dict[str, Estimate]:
    """Return what is measured of endpoints, given their groups and times."""
    frames = [
        pd.DataFrame({"latency_ms": ms, "endpoint": name, "group": group, "error": None})
        for name, (group, ms) in endpoints.items()
    ]
    samples = pd.concat(frames, ignore_index=True)
    samples["t_intended_s"] = np.random.default_rng(1).uniform(0, 240, len(samples))
    return measure(samples)


def test_a_groups_limit_is_that_of_each_of_its_endpoints() -> None:
    """A login of 900 ms is rare beside thousands of short requests of its group, and breaks the limit."""
    rng = np.random.default_rng(2)
    measured = told(
        {
            "GET /auth/me": ("auth", rng.lognormal(0, 0.3, 20_000)),
            "POST /auth/login": ("auth", rng.lognormal(6.8, 0.2, 400)),
            "GET /users": ("users", rng.lognormal(6.8, 0.2, 400)),
        }
    )
    assert (measured["group.auth.p95_ms"].high or 0) < 30
    assert {one.metric: one.status for one in judge([AUTH], measured)} == {
        "endpoint.GET /auth/me.p95_ms": "pass",
        "endpoint.POST /auth/login.p95_ms": "fail",
    }


@pytest.mark.parametrize(
    ("requests", "slow", "status"),
    [(59, 0, "pass"), (58, 0, "undecided"), (59, 1, "undecided"), (120, 1, "pass"), (20, 20, "fail")],
)
def test_fifty_nine_requests_with_none_above_the_limit_suffice(requests: int, slow: int, status: str) -> None:
    ms = np.full(requests, 5.0)
    ms[:slow] = 50.0
    (result,) = judge([AUTH], told({"GET /auth/me": ("auth", ms)}))
    assert result.status == status


def test_a_query_that_is_always_slow_breaks_its_limit_beside_many_fast_ones() -> None:
    rng = np.random.default_rng(4)
    samples = pd.DataFrame(
        {"latency_ms": 1.0, "endpoint": "GET /", "group": "g", "error": None}, index=range(3_000)
    )
    samples["t_intended_s"] = rng.uniform(0, 240, len(samples))
    names = [f"rare{number}" for number in range(40) for _ in range(60)] + ["reports.heavy"] * 60
    queries = pd.DataFrame({"sample": rng.integers(0, 3_000, len(names)), "query": names, "ms": 1.0})
    queries.loc[queries["query"] == "reports.heavy", "ms"] = 400.0
    results = judge([Budget("queries", "query.*.p95_ms", 10.0, "below", "ms")], measure(samples, queries))
    assert {one.metric for one in results if one.status == "fail"} == {"query.reports.heavy.p95_ms"}
    assert sum(one.status == "pass" for one in results) == 40


def test_the_next_night_lies_in_tonights_range_nine_times_in_ten() -> None:
    """Whatever nights differ by, whether or not neighbours resemble each other."""
    rng = np.random.default_rng(5)
    for deviation, phi in ((0.03, 0.0), (0.10, 0.0), (0.10, 0.7), (0.25, 0.0)):
        within = []
        for _ in range(400):
            logs = deviation * autoregressive(rng, 9, phi)
            *known, tonight, following = np.exp(logs).tolist()
            low, high = next_night(tonight, known) or (1.0, 1.0)
            within.append(low <= following <= high)
        assert np.mean(within) >= 0.9, (deviation, phi)


def test_once_nights_are_known_their_spread_decides_with() -> None:
    """Three percent below the limit tonight is no promise where nights differ by a tenth."""
    rng = np.random.default_rng(6)
    near = {"GET /auth/me": ("auth", 29.0 * rng.uniform(0.9, 1.0, 4_000))}
    name = "endpoint.GET /auth/me.p95_ms"
    restless = {name: [28.0, 31.0, 27.0, 30.0, 26.0, 29.0, 31.0]}
    (alone,) = judge([AUTH], told(near))
    (known,) = judge([AUTH], told(near), nights=restless)
    assert (alone.status, known.status) == ("pass", "undecided")
    assert known.caveats[-1].code == "between-nights"
    assert known.low is not None
    assert known.high is not None
    assert known.low < 28 < 30 < known.high
    # What is far from its limit stays decided, and so does a login that is suddenly far beyond it.
    far = {"GET /auth/me": ("auth", rng.uniform(8, 10, 4_000))}
    assert judge([AUTH], told(far), nights=restless)[0].status == "pass"
    gross = {"GET /auth/me": ("auth", rng.uniform(800, 900, 4_000))}
    assert judge([AUTH], told(gross), nights=restless)[0].status == "fail"
