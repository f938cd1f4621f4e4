"""Every notebook on real runs: executed, looked at for its charts, and given what it must refuse."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import plotly
import pytest
from playwright.sync_api import sync_playwright

from adx_lab.errors import StoreError, UsageError
from adx_lab.night import notebooks_of
from adx_lab.report.catalogue import CLIMB, DUET, LOAD, NIGHTS
from adx_lab.report.contents import Contents
from adx_lab.report.figures import PLOTLY_JS
from adx_lab.report.notebook import open_duel, open_history, open_judgement, open_steps
from adx_lab.report.notebooks import NotebookOutcome, execute_notebook
from tests.conftest import CHECKOUT, HEADLESS, Home

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
}
"""How many charts each notebook promises; the plan picture of `query_plans` is no chart but a drawing."""


@pytest.fixture(scope="module")
async def pages(
    stack_home: Home, load_run: str, steps_run: str, duet_run: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, NotebookOutcome]:
    """All notebooks, executed two at a time."""
    folder, room = tmp_path_factory.mktemp("pages"), asyncio.Semaphore(2)
    runs = dict.fromkeys(LOAD, load_run) | dict.fromkeys(CLIMB, steps_run) | dict.fromkeys(DUET, duet_run)
    given = {name: {"run_id": run} for name, run in runs.items()}
    given["query_plans"]["baseline"] = load_run

    async def execute(name: str) -> NotebookOutcome:
        whole = given.get(name, {}) | {"home": str(stack_home.path)}
        source, log = SOURCES / f"{name}.ipynb", folder / f"{name}.log"
        async with room:
            return await execute_notebook(source, folder / source.name, whole, cell_timeout_s=60, log=log)

    return {outcome.name: outcome for outcome in await asyncio.gather(*map(execute, CHARTS))}


def test_a_nights_report_shows_what_was_measured(stack_home: Home, load_run: str) -> None:
    assert {*LOAD, *CLIMB, *DUET, *NIGHTS} | {"rules"} >= {path.stem for path in SOURCES.glob("*.ipynb")}
    judged = open_judgement(run_id=load_run, home=str(stack_home.path))
    orders = {order.name: order.parameters for order in notebooks_of(Contents(judged, knee_run_id="r2"))}
    assert tuple(orders) == (*LOAD, *CLIMB, *NIGHTS)
    assert orders["latency"] == {"run_id": load_run}
    assert orders["capacity"] == {"run_id": "r2"}
    assert orders["trends"] == {}


@pytest.mark.parametrize("name", CHARTS)
def test_it_shows_the_charts_that_it_promises(pages: dict[str, NotebookOutcome], name: str) -> None:
    outcome = pages[name]
    assert outcome.ok, outcome.error
    drawn = [json.loads(found) for found in re.findall(r"var f=(\{.*?\});var dark", outcome.body)]
    assert len(drawn) == CHARTS[name] == outcome.body.count('class="adx-figure"')
    for figure in drawn:
        titles = [
            axis["title"]["text"]
            for key, axis in figure["layout"].items()
            if re.match(r"[xy]axis", key) and axis.get("title", {}).get("text")
        ]
        assert titles
    sentences = re.findall(r"<figcaption>(.*?)</figcaption>", outcome.body)
    assert all(sentence.endswith(".") and not re.search(r"\d{7,}", sentence) for sentence in sentences)
    if name != "trends":  # the store may not have seen a baseline yet
        assert all(any(filled(trace) for trace in figure["data"]) for figure in drawn)
    assert outcome.body.count('class="adx-plan"') == (name == "query_plans")


def filled(trace: dict[str, Any]) -> bool:
    values = trace.get("z", trace.get("x", ()))
    return bool(values["shape"] if isinstance(values, dict) and "shape" in values else values)


@pytest.mark.browser
def test_the_pages_draw_and_fit(pages: dict[str, NotebookOutcome], chromium: str, tmp_path: Path) -> None:
    shutil.copyfile(Path(plotly.__file__).parent / "package_data" / PLOTLY_JS, tmp_path / PLOTLY_JS)
    style = (CHECKOUT / "adx_lab" / "report" / "templates" / "style.css").read_text()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(HEADLESS))
        page = browser.new_page(viewport={"width": 390, "height": 800})
        for name, outcome in pages.items():
            file = tmp_path / f"{name}.html"
            head = f'<meta charset="utf-8"><style>{style}</style><script src="{PLOTLY_JS}"></script>'
            file.write_text(
                f"<!doctype html><html><head>{head}</head><body><main>{outcome.body}</main></body></html>"
            )
            page.goto(file.as_uri())
            assert page.locator(".adx-figure .main-svg").count() >= CHARTS[name], name
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        browser.close()


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        (
            "latency",
            {"run_di": "x"},
            "UsageError: the notebook has no parameter run_di; did you mean run_id?",
        ),
        ("capacity", {}, "is not a load that climbs; adx-lab load steps makes one"),
        (
            "query_plans",
            {"tenant": "wale"},
            "there is no tenant wale for users.list.first; did you mean whale?",
        ),
    ],
)
async def test_what_is_wrong_is_one_line(
    stack_home: Home, load_run: str, tmp_path: Path, name: str, given: dict[str, Any], said: str
) -> None:
    executed = tmp_path / f"{name}.ipynb"
    whole = {"run_id": load_run, "home": str(stack_home.path), **given}
    outcome = await execute_notebook(
        SOURCES / f"{name}.ipynb", executed, whole, cell_timeout_s=60, log=tmp_path / "notebook.log"
    )
    assert outcome.status == "failed"
    assert said in str(outcome.error)
    cells = nbformat.read(executed, as_version=4).cells
    told = [
        output.traceback
        for cell in cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    ]
    assert all(len(lines) == 1 for lines in told)


def test_the_wrong_run_is_one_line(stack_home: Home, load_run: str, duet_run: str, tmp_path: Path) -> None:
    home = str(stack_home.path)
    with pytest.raises(UsageError, match=r"is not a duet; adx-lab duet HEAD \. makes one"):
        open_duel(run_id=load_run, home=home)
    with pytest.raises(UsageError, match=r"is not a load; .* the notebook comparison shows duets"):
        open_judgement(run_id=duet_run, home=home)
    with pytest.raises(UsageError, match="there is no run 1999"):
        open_steps(run_id="1999", home=home)
    with pytest.raises(UsageError, match="the parameter scenario is 3, not text"):
        open_history(scenario=3, home=home)  # type: ignore[arg-type]
    newer = tmp_path / "data" / "runs" / load_run
    shutil.copytree(stack_home.data / "runs" / load_run, newer)
    record = json.loads((newer / "run.json").read_text())
    (newer / "run.json").write_text(json.dumps(record | {"format": 99}))
    with pytest.raises(StoreError, match="was made by a newer version"):
        open_judgement(home=str(tmp_path))
