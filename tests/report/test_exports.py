"""A verdict for machines: JUnit, Markdown; and the index over all nights."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.run.audit import ValidityCheck
from adx_lab.analysis.run.budgets import BudgetResult
from adx_lab.analysis.verdict import Verdict, decide
from adx_lab.records.run import LoadAudit, RunRecord
from adx_lab.report.page.answer import FirstScreen
from adx_lab.report.page.exports import junit, markdown
from adx_lab.report.page.index import write_index, write_line
from adx_lab.report.page.verdict_words import summarise_verdict
from adx_lab.settings import Settings
from adx_lab.store.rows import RunStore
from tests.conftest import CHECKOUT


def a_budget(name: str, value: float, status: str) -> BudgetResult:
    return BudgetResult(
        name=name,
        metric=f"group.{name}.p95_ms",
        limit=30.0,
        direction="below",
        unit="ms",
        value=value,
        low=value - 1,
        high=value + 1,
        n=100,
        status=status,  # type: ignore[arg-type]
    )


def a_comparison(subject: str, status: str, ratio: float) -> Comparison:
    return Comparison(
        subject,
        "p50_ms",
        0.99,
        0.03,
        12,
        ratio=ratio,
        low=ratio - 0.01,
        high=ratio + 0.01,
        p=0.0004,
        status=status,  # type: ignore[arg-type]
    )


@pytest.fixture
def verdict() -> Verdict:
    return decide(
        run_id="20261124T015142-3f9a1c",
        budgets=(a_budget("auth", 20, "pass"), a_budget("users", 50, "fail"), a_budget("f", 30, "undecided")),
        comparisons=(a_comparison("GET /users", "slower", 1.2), a_comparison("GET /me", "same", 1.0)),
        findings=(Finding("index", "users.list", "an index | <is> gone", {}, 0.9, ("GET /users",)),),
        validity=(ValidityCheck("cpu_share_max", 0.4, 0.9, ok=True),),
    )


def test_junit_says_what_is_broken_and_what_is_not_known(verdict: Verdict) -> None:
    suites = ET.fromstring(junit(verdict).split("\n", 1)[1])
    counts = {suite.get("name"): (suite.get("tests"), suite.get("failures")) for suite in suites}
    assert counts == {"budgets": ("3", "1"), "comparisons": ("2", "1"), "validity": ("1", "0")}
    failed = [case.get("name") for case in suites.iter("testcase") if case.find("failure") is not None]
    assert failed == ["users (group.users.p95_ms)", "GET /users p50_ms"]
    skipped = suites.find(".//skipped")
    assert skipped is not None
    assert skipped.get("message") == "undecided: 30 ms (29 to 31), limit 30"


def test_junit_makes_an_error_of_what_is_invalid() -> None:
    broken = decide(run_id="r", validity=(ValidityCheck("steal_share", 0.4, 0.05, ok=False),))
    error = ET.fromstring(junit(broken).split("\n", 1)[1]).find(".//error")
    assert error is not None
    assert error.get("message") == "0.4, limit 0.05"


def test_markdown_is_short_and_escaped(verdict: Verdict) -> None:
    text = markdown(verdict)
    assert text.startswith("## ❌ ADX Lab: regressed\n")
    assert "- **index**: users.list: an index \\| &lt;is> gone (90% of the added time)" in text
    assert "| GET /users p50_ms | +20.0% | +19.0% to +21.0% | slower |" in text
    assert "auth" not in text  # what is kept needs no row


def test_the_one_sentence_tells_budgets_and_comparison(verdict: Verdict) -> None:
    assert summarise_verdict(verdict) == (
        "1 of 3 budgets are kept, 1 broken, 1 can't be told from this run; 1 of 2 endpoints became slower."
    )


AUDIT = LoadAudit(began=0.0, duration_s=1.0, requests=0)


def test_the_index_lists_nights_and_draws_the_trend_of_each_budget(tmp_path: Path, verdict: Verdict) -> None:
    settings = Settings(home=str(tmp_path))
    shutil.copytree(CHECKOUT / "data", tmp_path / "data", ignore=shutil.ignore_patterns("[!b]*"))
    store = RunStore(settings)
    for number in (1, 2, 3):
        folder = settings.reports_dir / f"2026112{number}T010000-aaaaaa"
        folder.mkdir(parents=True)
        record = RunRecord(
            folder.name, "nightly", "mixed", f"2026-11-2{number}T01:00:00+00:00", 30.0, 1, AUDIT
        )
        write_line(folder, record, verdict, FirstScreen("pass", "said <once>", (), "", (), ()))
        store.save(record, status="pass", figures={"group.users.p95_ms": 50.0 * number})
    store.close()
    (settings.reports_dir / ".20261124T010000-bbbbbb.partial").mkdir()
    broken = settings.reports_dir / "20261124T010000-bbbbbb"
    broken.mkdir()
    (broken / "night.json").write_text("{")
    page = write_index(settings).read_text(encoding="utf-8")
    assert page.index("20261124T010000") < page.index("20261123T010000") < page.index("20261121T010000")
    assert "night.json is damaged" in page
    assert "said &lt;once&gt;" in page
    assert page.count('class="adx-figure"') == 1
    assert "beyond it on the latest: User operations" in page
    assert (settings.reports_dir / "plotly.min.js").is_file()
