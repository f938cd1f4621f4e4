"""Every notebook on real runs: executed, looked at for its charts, and given what it must refuse."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import sync_playwright

from adx_lab.conduct.nights.pages import notebooks_of
from adx_lab.errors import StoreError, UsageError
from adx_lab.report.notebooks.catalogue import ALONE, CLIMB, DUET, LOAD, MAKING, NIGHTS, RULES
from adx_lab.report.notebooks.execute import NotebookOutcome, execute_notebook
from adx_lab.report.notebooks.opened import open_duel, open_history, open_judgement, open_steps
from adx_lab.report.page.measured_night import Contents
from adx_lab.report.plans.of_run import changes_since, plan_picture
from adx_lab.settings import read_settings
from adx_lab.store.rule_costs import RuleCost, RuleCosts
from tests.conftest import CHECKOUT, HEADLESS, IN_GIT, Finished, Home
from tests.report.browsing import AXE, cut_on_paper, serious

SOURCES = CHECKOUT / "notebooks"
CHARTS = {
    "regression_report": 5,
    "latency": 7,
    "query_plans": 0,
    "cache": 4,
    "resources": 4,
    "capacity": 2,
    "comparison": 3,
    "trends": 2,
    "rules": 1,
}
"""How many charts each notebook promises; the plan picture of `query_plans` is no chart but a drawing."""


CLIMB_SHORT = "climb(60, factor=1.5, steps=5, seconds=1)"


@pytest.fixture(scope="module")
def steps_run(stack_home: Home) -> str:
    """A load that climbs for five seconds."""
    file = stack_home.path / "locustfiles" / "steps.py"
    whole = file.read_text()
    file.write_text(re.sub(r"climb\(.*\)", CLIMB_SHORT, whole))
    try:
        done = stack_home.adx_lab("load", "steps", "--warmup", "0.5", "--json")
    finally:
        file.write_text(whole)
    assert done.code in {0, 3}, done.err
    return str(done.json()["run_id"])


@pytest.fixture(scope="module")
def load_run(night: Finished) -> str:
    """The night's loaded run."""
    return str(night.json()["run_id"])


@pytest.fixture(scope="module")
async def pages(
    night: Finished, stack_home: Home, steps_run: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The pages that the night's report has of each notebook, and one of a climb's."""
    report = Path(night.json()["report"]).parent
    found = {name: report / f"{name}.html" for name in CHARTS}
    told = {name: page.read_text() for name, page in found.items() if page.is_file()}
    outcome = await execute(stack_home, "capacity", {"run_id": steps_run}, tmp_path_factory.mktemp("climb"))
    assert outcome.ok, outcome.error
    measure_a_rule(stack_home)
    rules = await execute(stack_home, "rules", {}, tmp_path_factory.mktemp("rules"))
    assert rules.ok, rules.error
    summary = await execute(
        stack_home, *ALONE, {"run_id": night.json()["run_id"]}, tmp_path_factory.mktemp("alone")
    )
    assert summary.ok, summary.error
    return told | {"capacity": outcome.body, "rules": rules.body, ALONE[0]: summary.body}


def measure_a_rule(home: Home) -> None:
    """Store what a rule is worth, as `adx-lab rules` would."""
    store = RuleCosts(read_settings({}, {"home": str(home.path)}))
    store.add(
        RuleCost(
            run_id="20261124T000000-aaaaaa", rule="cache.l1", at="2026-11-24T00:00:00+00:00", machine="m",
            kind="cost", scenario="cached", subject="GET /users/{id}", metric="pair_ms", unit="ms",
            effect="ratio", status="costs", level=0.95, p=0.01, blocks=6, seconds=60.0,
            kept=0.5, broken=1.0, value=2.0, low=1.8, high=2.2,
        )
    )  # fmt: skip
    store.close()


async def execute(home: Home, name: str, given: dict[str, Any], folder: Path) -> NotebookOutcome:
    whole = {"home": str(home.path), **given}
    source, log = SOURCES / f"{name}.ipynb", folder / f"{name}.log"
    return await execute_notebook(source, folder / source.name, whole, cell_timeout_s=60, log=log)


def test_a_nights_report_shows_what_was_measured(stack_home: Home, load_run: str) -> None:
    assert {*LOAD, *CLIMB, *DUET, *NIGHTS, *RULES, *ALONE, *MAKING} == {
        path.stem for path in SOURCES.glob("*.ipynb")
    }
    judged = open_judgement(run_id=load_run, home=str(stack_home.path))
    orders = {order.name: order.parameters for order in notebooks_of(Contents(judged, knee_run_id="r2"))}
    assert tuple(orders) == (*LOAD, *CLIMB, *NIGHTS)
    assert orders["latency"] == {"run_id": load_run}
    assert orders["capacity"] == {"run_id": "r2"}
    assert orders["trends"] == {"scenario": "mixed"}


@pytest.mark.parametrize("name", CHARTS)
def test_it_shows_the_charts_that_it_promises(pages: dict[str, str], name: str) -> None:
    if name in DUET and IN_GIT.returncode != 0:
        pytest.skip("not a git checkout: there is no baseline, and no duet")
    page = pages[name]
    assert 'role="alert"' not in page
    drawn = [
        json.loads(found) for found in re.findall(r'<script type="application/json">(.*?)</script>', page)
    ]
    assert len(drawn) == CHARTS[name] == page.count('class="adx-figure"')
    # A duet on a busy machine is invalid, and then no ratio of it is a part of the history.
    filled_ones = drawn[:1] if name in NIGHTS else drawn
    assert all(any(filled(trace) for trace in figure["data"]) for figure in filled_ones)
    assert all(any(titles_of(figure)) for figure in drawn)
    sentences = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert all(sentence.endswith(".") and not re.search(r"\d{7,}", sentence) for sentence in sentences)
    assert page.count('class="adx-plan"') == (name == "query_plans")


def titles_of(figure: dict[str, Any]) -> list[str]:
    axes = [axis for name, axis in figure["layout"].items() if re.match(r"[xy]axis", name)]
    return [axis.get("title", {}).get("text", "") for axis in axes]


def filled(trace: dict[str, Any]) -> bool:
    values = trace.get("z", trace.get("x", ()))
    return bool(values["shape"] if isinstance(values, dict) and "shape" in values else values)


@pytest.mark.browser
def test_the_pages_draw_and_fit(pages: dict[str, str], chromium: str, night: Finished) -> None:
    report = Path(night.json()["report"]).parent
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(HEADLESS))
        page = browser.new_page(viewport={"width": 390, "height": 800})
        for name in sorted(pages):
            if not (report / f"{name}.html").is_file():
                continue
            page.goto((report / f"{name}.html").as_uri())
            page.wait_for_selector("html[data-drawn]", state="attached")
            assert page.locator(".adx-figure .main-svg").count() >= CHARTS[name], name
            assert not page.locator(".input").first.is_visible(), name
            page.get_by_role("button", name="Show the code").click()
            assert page.locator(".input").first.is_visible(), name
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
            if AXE.is_file():
                assert serious(page) == [], name
        for file in (*report.glob("*.html"), report.parent / "index.html"):
            if AXE.is_file() and file.stem not in pages:
                page.goto(file.as_uri())
                page.wait_for_selector("html[data-drawn]", state="attached")
                assert serious(page) == [], file.name
        for file in (report / "index.html", report / "comparisons.html", report / "query_plans.html"):
            if file.is_file():
                page.goto(file.as_uri())
                page.wait_for_selector("html[data-drawn]", state="attached")
                assert cut_on_paper(page) == [], file.name
        browser.close()


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        (
            "latency",
            {"run_di": "x"},
            "UsageError: the notebook has no parameter run_di; did you mean run_id?",
        ),
        ("capacity", {}, "is a load, not a climb; adx-lab load steps makes one"),
    ],
)
async def test_what_is_wrong_is_one_line(
    stack_home: Home, load_run: str, tmp_path: Path, name: str, given: dict[str, Any], said: str
) -> None:
    outcome = await execute(stack_home, name, {"run_id": load_run, **given}, tmp_path)
    assert outcome.status == "failed"
    assert said in str(outcome.error)
    cells = nbformat.read(outcome.executed, as_version=4).cells
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    assert all(len(output.traceback) == 1 for output in outputs if output.output_type == "error")


def test_the_wrong_run_is_one_line(
    stack_home: Home, load_run: str, steps_run: str, night: Finished, tmp_path: Path
) -> None:
    home = str(stack_home.path)
    with pytest.raises(UsageError, match=r"is a load, not a duet; adx-lab duet HEAD \. makes one"):
        open_duel(run_id=load_run, home=home)
    with pytest.raises(UsageError, match="there is no run 1999"):
        open_steps(run_id="1999", home=home)
    with pytest.raises(UsageError, match="the parameter scenario is 3, not text"):
        open_history(scenario=3, home=home)  # type: ignore[arg-type]
    assert open_steps(home=home).record.run_id == steps_run
    if night.json()["comparisons"]:
        duet = open_duel(home=home).record.run_id
        with pytest.raises(UsageError, match="is a duet, not a load or a climb; adx-lab load makes"):
            open_judgement(run_id=duet, home=home)
    newer = tmp_path / "data" / "runs" / load_run
    shutil.copytree(stack_home.data / "runs" / load_run, newer)
    record = json.loads((newer / "run.json").read_text())
    (newer / "run.json").write_text(json.dumps(record | {"format": 99}))
    with pytest.raises(StoreError, match="was made by a newer version"):
        open_judgement(home=str(tmp_path))


def test_a_plan_is_chosen_by_the_names_that_people_use(stack_home: Home, load_run: str) -> None:
    judged = open_judgement(run_id=load_run, home=str(stack_home.path))
    alone = plan_picture(judged, query="users.list", tenant="whale").html()
    assert "users.list.first for the whale tenant, custom plan" in alone
    beside = plan_picture(judged, query="users.get", tenant="small", mode="generic", baseline=judged).html()
    assert "baseline" in beside
    assert changes_since(judged, judged) == changes_since(judged, None) == ()
    for query, tenant, mode, said in (
        ("user.list", "whale", "custom", r"there is no query user\.list .*; did you mean users\.list"),
        ("users.get", "wale", "custom", r"no tenant wale for users\.get; did you mean whale"),
        ("users.get", "whale", "fast", r"no mode fast .*; there are custom, generic"),
    ):
        with pytest.raises(UsageError, match=said):
            plan_picture(judged, query=query, tenant=tenant, mode=mode)
