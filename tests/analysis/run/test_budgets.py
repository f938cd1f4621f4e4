"""Budgets pass, fail, or are undecided."""

from __future__ import annotations

import json

import pytest

from adx_lab.analysis.run.budgets import NOT_MEASURED, RARE, Budget, Estimate, judge
from adx_lab.records.documents import to_json
from adx_lab.records.run import Caveat

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


def test_what_is_too_rare_alone_is_judged_together_unless_it_breaks_its_limit() -> None:
    budget = Budget("queries", "query.*.p95_ms", 10.0, "below", "ms")
    measured = {
        "query.often.p95_ms": Estimate(1.0, 0.9, 11.0, 900),
        "query.seldom.p95_ms": Estimate(1.0, 0.5, None, 20),
        "query.broken.p95_ms": Estimate(50.0, 40.0, None, 20),
    }
    alone = {result.metric: result.status for result in judge([budget], measured)}
    assert alone["query.seldom.p95_ms"] == "undecided"
    together = measured | {f"query.{RARE}.p95_ms": Estimate(1.0, 0.5, 9.0, 400)}
    assert {result.metric: result.status for result in judge([budget], together)} == {
        f"query.{RARE}.p95_ms": "pass",
        "query.broken.p95_ms": "fail",
        "query.often.p95_ms": "undecided",
    }
