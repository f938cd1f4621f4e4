"""The notebooks that measure, executed whole as somebody who schedules them would, and seen as pages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, Page

from tests.conftest import CHECKOUT, IN_GIT, Home

SHORT_LOAD = {"duration_s": "3", "rate_per_s": "60"}
SHORT_DUET = {"base": ".", "head": ".+cache.l1=off", "rate_per_s": "20", "seconds": "2", "blocks": "1"}


def executed(home: Home, name: str, given: dict[str, str], folder: Path) -> Path:
    """Return a notebook, executed by papermill in a home that only its environment names."""
    result = folder / f"{name}.ipynb"
    words = [word for pair in given.items() for word in ("-p", *pair)]
    done = subprocess.run(
        [sys.executable, "-m", "papermill", CHECKOUT / "notebooks" / f"{name}.ipynb", result, *words],
        env=home.environ(), cwd=folder, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return result


@pytest.fixture(scope="module")
def load_run(stack_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return executed(stack_home, "load_run", SHORT_LOAD, tmp_path_factory.mktemp("load_run"))


def test_a_load_is_made_and_shown_without_a_log_or_a_path(load_run: Path, stack_home: Home) -> None:
    shows_results_only(load_run, stack_home)
    text = load_run.read_text()
    assert text.count('id=\\"adx-packed') == 1  # one copy of plotly.js, however many charts
    assert "Table(columns=" not in text


@pytest.mark.browser
def test_a_loads_page_draws_and_can_be_read(load_run: Path, browser: Browser) -> None:
    reads_well(load_run, browser, charts=5)


@pytest.mark.browser
@pytest.mark.acceptance
@pytest.mark.skipif(IN_GIT.returncode != 0, reason="not a git checkout: nothing to compare")
@pytest.mark.parametrize(
    ("name", "given", "charts"),
    [("explore", SHORT_LOAD | {"blocks": "1"}, 2), ("duet_run", SHORT_DUET, 2)],
)
def test_what_compares_runs_whole_and_can_be_read(
    stack_home: Home, browser: Browser, tmp_path: Path, name: str, given: dict[str, str], charts: int
) -> None:
    notebook = executed(stack_home, name, given, tmp_path)
    shows_results_only(notebook, stack_home)
    reads_well(notebook, browser, charts=charts)


def shows_results_only(notebook: Path, home: Home) -> None:
    cells = nbformat.read(notebook, as_version=4).cells
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"display_data", "execute_result"}
    told = str([output.data for output in outputs])
    assert [path for path in (str(home.path), str(CHECKOUT)) if path in told] == []


def reads_well(notebook: Path, browser: Browser, *, charts: int) -> None:
    """Look at the page that nbconvert makes, in both of its themes and at two widths."""
    for theme in ("light", "dark"):
        file = notebook.with_suffix(f".{theme}.html")
        file.write_text(HTMLExporter(theme=theme).from_filename(str(notebook))[0])
        for width in (1024, 1440):
            # A system of the other theme: the page's own counts.
            context = browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme="dark" if theme == "light" else "light",
            )
            context.set_offline(True)
            page = context.new_page()
            page.goto(file.as_uri(), wait_until="domcontentloaded")
            page.wait_for_selector("html[data-drawn]", state="attached")
            fits(page, charts)
            assert page.evaluate(WEAKEST_CONTRAST) >= 4.5, (theme, width)
            context.close()


def fits(page: Page, charts: int) -> None:
    assert page.locator("figure.adx-figure:has(.main-svg)").count() == charts
    assert page.locator(".adx-caption").count() == 0  # the figure's own sentence stands below it
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    for figure in page.locator("figure.adx-figure").all():
        drawn = figure.locator(".main-svg").first.bounding_box()
        said = figure.locator("figcaption").bounding_box()
        assert drawn is not None
        assert said is not None
        assert said["y"] >= drawn["y"] + drawn["height"]
    assert page.evaluate(BROKEN_WORDS) == []


BROKEN_WORDS = """() => [...document.querySelectorAll(".adx-table td")].filter((cell) => {
  if (/[\\s-]/.test(cell.textContent) || cell.textContent.length > 30 || !cell.offsetParent) return false;
  const words = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), range = document.createRange();
  while (words.nextNode()) {
    range.selectNodeContents(words.currentNode);
    if (range.getClientRects().length > 1) return true;
  }
  return false;
}).map((cell) => cell.textContent)"""
"""The cells of one word that stand on several lines."""

WEAKEST_CONTRAST = """() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
      .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const marked = ".adx-table :is(.good, .bad, .maybe), figcaption, .adx-plan label, .adx-plan summary";
  return Math.min(...[...document.querySelectorAll(marked)].map((one) => {
    const text = light(getComputedStyle(one).color);
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  }));
}"""
"""Of what has a colour of ours, against the page's ground."""
