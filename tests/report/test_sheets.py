"""Pages beside the nights' reports, seen by a browser: rules, calibration, two runs, what is under way."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page

from adx_lab.analysis.finding import Finding
from adx_lab.analysis.nights.usual import UsualAnswer
from adx_lab.analysis.verdict import Calibration
from adx_lab.report.page.assets import write_sheet
from adx_lab.report.page.blocks.block import Section
from adx_lab.report.page.index import write_index
from adx_lab.report.page.live import LivePage
from adx_lab.report.page.sheets.calibration import write_calibration
from adx_lab.report.page.sheets.rules import write_rules
from adx_lab.report.page.sheets.two_runs import write_compared
from adx_lab.report.parts.figure import Figure
from adx_lab.report.parts.row_chart import stacked_rows
from adx_lab.settings import read_settings
from adx_lab.store.rule_costs import RuleCost
from tests.conftest import Home
from tests.report.browsing import AXE, cut_on_paper, serious
from tests.report.test_exports import a_budget, a_comparison

TRIALS = ({
    "kind": "equal", "name": "the working tree", "trials": 20, "invalid": 1, "found": 0, "cause_right": 0,
    "causes": (), "seconds_max": 80.0,
},)  # fmt: skip
STAYS = """const later = window.setTimeout;
window.setTimeout = (action, ms, ...more) => (ms === 3000 ? 0 : later(action, ms, ...more));"""
"""A page that reloads itself, while it is looked at."""

KINDS = ("rules", "calibration", "compared", "nothing-differs", "under-way", "empty")


@pytest.fixture
def pages(home: Home) -> dict[str, Path]:
    """One page of each kind."""
    settings = read_settings({}, {"home": str(home.path)})
    cost = RuleCost(
        run_id="20261124T000000-aaaaaa", rule="cache.l1", at="2026-11-24T00:00:00+00:00", machine="m",
        kind="cost", scenario="cached", subject="GET /users/{id}", metric="pair_ms", unit="ms",
        effect="ratio", status="costs", level=0.95, p=0.01, blocks=6, seconds=60.0,
        kept=0.5, broken=1.0, value=2.0, low=1.8, high=2.2,
    )  # fmt: skip
    found = Finding("n+1", "GET /users", "users.get runs 10 times a request instead of never", {}, 0.9, ())
    comparisons = [a_comparison(f"GET /things/{n}", "slower" if n < 30 else "same", 1.2) for n in range(400)]
    live = LivePage(settings.reports_dir, "Night of mixed")
    live.step("comparing")
    live.shown("comparisons", comparisons)
    live.shown("budgets", [a_budget("users", 50, "fail")])
    answer = UsualAnswer(tuple(comparisons), (found,), ("a",))
    return {
        "rules": write_rules(settings, [cost]),
        "calibration": write_calibration(settings, Calibration(0.0, 0.9, 0.05, 0.8, 20, 20), TRIALS),
        "compared": write_compared(settings, "a", "b", answer),
        "nothing-differs": write_compared(settings, "a", "c", UsualAnswer()),
        "under-way": live.file,
        "empty": write_index(settings),
    }


def faults_of(page: Page) -> list[Error]:
    """Return what a page's scripts will throw."""
    seen: list[Error] = []

    def keep(error: Error) -> None:
        seen.append(error)

    page.on("pageerror", keep)
    return seen


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_fits_a_phone_and_can_be_read_by_all(
    pages: dict[str, Path], browser: Browser, scheme: str
) -> None:
    assert set(pages) == set(KINDS)
    for kind, file in pages.items():
        context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        faults = faults_of(page)
        page.add_init_script(STAYS)
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-drawn]", state="attached")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, kind
        assert page.locator("h1").inner_text(), kind
        assert faults == [], kind
        spare = page.locator("td.spare").first
        assert kind != "compared" or not spare.is_visible()
        if AXE.is_file():
            assert serious(page) == [], kind
        assert cut_on_paper(page) == [], kind
        context.close()


def test_what_is_under_way_stays_small(pages: dict[str, Path]) -> None:
    assert pages["under-way"].stat().st_size < 60_000


def test_two_runs_are_told_with_what_differs_first(pages: dict[str, Path]) -> None:
    text = pages["compared"].read_text(encoding="utf-8")
    assert text.index("GET /things/0<") < text.index("370 more")
    assert "users.get runs 10 times a request" in text


@pytest.mark.browser
def test_no_name_of_a_row_is_cut_on_a_phone(home: Home, browser: Browser) -> None:
    long = "POST /api/v2/organisations/{organisation}/projects/{project}/pipelines/{id}/retry (large tenant)"
    shown = Figure(stacked_rows([long, "GET /"], [{"a": 1.0}, {"a": 2.0}], title="[ms]"), "Two rows.")
    settings = read_settings({}, {"home": str(home.path)})
    file = write_sheet(settings, "rows.html", "rows", "", [Section("rows", "Rows", (shown,))])
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached")
    names = page.locator(".annotation-text").all()
    assert len(names) == 2
    for name in names:
        where = name.bounding_box()
        assert where is not None
        assert where["x"] + where["width"] <= 390
    page.close()
