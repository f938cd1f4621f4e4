"""The verdict's order of weight, its exit codes, its form, and what makes a duet worthless."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.duet.gates import Coverage
from adx_lab.analysis.duet.validity import check_duet, check_equal
from adx_lab.analysis.run.budgets import Budget, BudgetResult, Estimate, judge
from adx_lab.analysis.verdict import Calibration, Finding, ValidityCheck, decide
from adx_lab.records.documents import to_json

SAME = Comparison("e", "p50_ms", 0.9, 0.03, 12, ratio=1.0, low=0.99, high=1.01, p=0.4, status="same")
SLOWER = replace(SAME, ratio=1.1, low=1.08, high=1.12, p=0.0002, status="slower")
OPEN = replace(SAME, low=0.95, high=1.08, status="undecided")
OPEN_TAIL = replace(OPEN, metric="p95_ms", gate=False)
NOT_SLOWER = replace(SAME, ratio=0.97, low=0.94, high=1.0, status="undecided", closed=True)
VALID, BROKEN = ValidityCheck("steal", 0.0, 0.05, ok=True), ValidityCheck("steal", 0.2, 0.05, ok=False)


def budget(low: float, high: float) -> BudgetResult:
    return judge([Budget("b", "m", 10.0)], {"m": Estimate((low + high) / 2, low, high, 9)})[0]


PASS, FAIL, UNCLEAR = budget(1, 2), budget(11, 12), budget(9, 11)


@pytest.mark.parametrize(
    ("budgets", "comparisons", "validity", "status", "exit_code"),
    [
        ([PASS], [SAME], [VALID], "pass", 0),
        ([PASS], [SLOWER], [VALID], "regressed", 1),
        ([FAIL], [], [], "regressed", 1),
        ([UNCLEAR], [SLOWER], [], "regressed", 1),
        ([UNCLEAR], [SAME], [], "undecided", 3),
        ([], [OPEN], [], "undecided", 3),
        ([], [SAME, OPEN_TAIL], [], "pass", 0),
        ([], [NOT_SLOWER], [], "pass", 0),
        ([FAIL], [SLOWER], [VALID, BROKEN], "invalid", 4),
        ([], [], [VALID], "undecided", 3),
        ([PASS], [OPEN_TAIL], [VALID], "undecided", 3),  # all that was compared is beside the point
    ],
)
def test_the_order_of_weight(
    budgets: list[BudgetResult],
    comparisons: list[Comparison],
    validity: list[ValidityCheck],
    status: str,
    exit_code: int,
) -> None:
    verdict = decide(run_id="r", budgets=budgets, comparisons=comparisons, validity=validity)
    assert (verdict.status, verdict.exit_code) == (status, exit_code)


def test_the_form_is_the_designs() -> None:
    verdict = decide(
        run_id="r1",
        budgets=[PASS],
        comparisons=[SLOWER],
        findings=[Finding("index", "users.page", "the index is gone", {"share": np.float64(0.5)})],
        validity=[VALID],
        calibration=Calibration(0.0, 1.0, 0.04),
        report="data/reports/r1/index.html",
    )
    plain = json.loads(to_json(verdict.to_json()))
    promised = "run_id status exit_code budgets comparisons coverage findings validity calibration report"
    assert list(plain) == promised.split()
    assert {"name", "metric", "limit", "value", "low", "high", "status"} <= plain["budgets"][0].keys()
    compared = "subject metric base head unit ratio low high p could_see gate status"
    assert set(compared.split()) <= plain["comparisons"][0].keys()
    assert {"kind", "subject", "cause", "evidence"} <= plain["findings"][0].keys()
    assert plain["validity"][0] == {"check": "steal", "value": 0.0, "limit": 0.05, "ok": True}
    assert plain["calibration"]["smallest_effect"] == 0.04


def duet(n: int = 1_000) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "pair": np.repeat(np.arange(n), 2),
            "block": np.repeat(np.arange(n), 2) // 100,
            "variant": np.tile(["base", "head"], n),
            "endpoint": np.where(np.repeat(np.arange(n), 2) % 2, "GET /a", "GET /b"),
            "status": 200,
        }
    )


def broken(samples: pd.DataFrame) -> set[str]:
    return {check.check for check in check_duet(samples) if not check.ok}


def test_a_whole_duet_is_valid() -> None:
    assert broken(duet()) == set()


@pytest.mark.parametrize(("side", "found"), [("base", {"base_error_share"}), ("head", set())])
def test_a_base_that_fails_is_invalid_and_a_head_is_not(side: str, found: set[str]) -> None:
    samples = duet()
    own = samples.index[samples.variant == side]
    samples.loc[own[::20], "status"] = 500
    assert broken(samples) == found


def test_that_base_lacks_what_head_has_is_no_fault_of_base() -> None:
    samples = duet()
    samples.loc[(samples.variant == "base") & (samples.endpoint == "GET /a"), "status"] = 404
    assert broken(samples) == {"base_error_share"}
    assert all(check.ok for check in check_duet(samples, added=["GET /a"]))


def test_a_variant_that_answers_nothing_is_invalid() -> None:
    samples = duet()
    assert broken(samples[samples.variant == "base"]) == {"head_error_share", "unpaired_share"}


def test_what_was_not_judged_is_never_passed() -> None:
    whole = decide(run_id="r", comparisons=[SAME], coverage=Coverage(2, 2))
    assert whole.status == "pass"
    part = decide(run_id="r", comparisons=[SAME], coverage=Coverage(2, 1, ("GET /b: no request",)))
    assert (part.status, part.exit_code) == ("undecided", 3)


def test_a_machine_that_sees_differences_between_equals_is_invalid() -> None:
    assert check_equal([SAME, OPEN]).ok
    assert not check_equal([SAME, SLOWER]).ok
