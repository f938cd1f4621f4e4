"""Make the pictures of README.md anew, from a real regression: ``.venv/bin/python docs/pictures.py [RUN]``.

Without a run it plays a duet of the working tree and a copy of it in which an index is missing. The plan and
the first screen are those of that run's page; ``explore`` is executed for its own. Needs Chromium.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from adx_lab.report.notebooks.execute import execute_notebook
from adx_lab.report.page.assets import copy_script, environment

DOCS = Path(__file__).resolve().parent
HOME = DOCS.parent
WIDTH_PX = 1180
ADX_LAB = (sys.executable, "-m", "adx_lab.cli")
REGRESSION = (
    ".",
    ".+sql=data/slowdowns/index_dropped.sql",
    "--scenario",
    "calibration",
    "--profile",
    "quick",
)


def main() -> None:
    """Make all of them."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        sys.exit("there is no chromium on this machine")
    given = sys.argv[1:2] or [told("duet", *REGRESSION)["run_id"]]
    report = Path(told("report", *given)["report"])
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": WIDTH_PX, "height": 900})
        show(page, report)
        page.locator("#verdict").screenshot(path=DOCS / "report.png")
        if page.locator("#cause").count():
            page.locator("#cause").screenshot(path=DOCS / "plan.png")
        show(page, explored(Path(scratch)))
        page.screenshot(
            path=DOCS / "explore.png",
            clip={"x": 0, "y": 0, "width": WIDTH_PX, "height": 1500},
            full_page=True,
        )
        opened.close()


def told(*words: str) -> dict[str, str]:
    """Run a verb and return what it says; its exit code is the verdict's."""
    done = subprocess.run(
        [*ADX_LAB, *words, "--json"], cwd=HOME, stdout=subprocess.PIPE, text=True, check=False
    )
    document: dict[str, str] = json.loads(done.stdout)
    return document


def explored(folder: Path) -> Path:
    """Execute the notebook that explores, and write its page with its code."""
    outcome = asyncio.run(
        execute_notebook(
            HOME / "notebooks" / "explore.ipynb",
            folder / "explore.ipynb",
            {"duration_s": 8.0, "rate_per_s": 60.0},
            cell_timeout_s=600,
            log=folder / "explore.log",
            home=HOME,
        )
    )
    copy_script(folder)
    page = (
        environment()
        .get_template("notebook.html.j2")
        .render(name="explore", run_id="", outcome=outcome, body=outcome.body, others=[])
    )
    file = folder / "explore.html"
    file.write_text(page.replace('class="notebook"', 'class="notebook code"'), encoding="utf-8")
    return file


def show(page: Page, file: Path) -> None:
    """Open a page and wait until its charts are drawn."""
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached")


if __name__ == "__main__":
    main()
