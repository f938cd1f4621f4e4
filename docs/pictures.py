"""Make the pictures of README.md anew, from real regressions: ``.venv/bin/python docs/pictures.py [NAME…]``.

``report`` is the first screen of a duet with a copy that asks for each user by itself, ``plan-diff`` the plan
of one with a copy in which an index is missing, ``explore`` that notebook, executed, and ``locust-tab`` the
tab under a load; all of them where none is named. ``NAME=RUN`` takes a stored run. Needs Chromium.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from adx_lab.report.notebooks.execute import execute_notebook
from adx_lab.report.page.assets import copy_script, environment

DOCS = Path(__file__).resolve().parent
HOME = DOCS.parent
WIDTH_PX = 1180
ADX_LAB = (sys.executable, "-m", "adx_lab.cli")
REGRESSIONS = {
    "report": (".", ".+patch=data/slowdowns/n_plus_one.patch", "--profile", "quick"),
    "plan-diff": (
        *(".", ".+sql=data/slowdowns/index_dropped.sql"),
        *("--scenario", "calibration", "--profile", "quick"),
    ),
}
SHOWN = {"report": "#verdict", "plan-diff": "#cause"}
FILLED_MS = 14_000


def main() -> None:
    """Make those that are named, or all."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        sys.exit("there is no chromium on this machine")
    makers = {"report": part_of_page, "plan-diff": part_of_page, "explore": explore, "locust-tab": locust_tab}
    wanted = sys.argv[1:] or list(makers)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for one in wanted:
            name, _, run = one.partition("=")
            page = opened.new_page(viewport={"width": WIDTH_PX, "height": 900})
            makers[name](page, name, run)
            page.close()
        opened.close()


def part_of_page(page: Page, name: str, run: str) -> None:
    """Show the part of a regression's page."""
    run = run or told("duet", *REGRESSIONS[name])["run_id"]
    show(page, Path(told("report", run)["report"]))
    page.locator(SHOWN[name]).screenshot(path=DOCS / f"{name}.png")


def explore(page: Page, name: str, _: str) -> None:
    """Show the beginning of the notebook."""
    # In a thread of its own: Playwright's loop runs in this one.
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(1) as aside:
        show(page, aside.submit(explored, Path(scratch)).result())
        clip = {"x": 0, "y": 0, "width": WIDTH_PX, "height": 1500}
        page.screenshot(path=DOCS / f"{name}.png", clip=clip, full_page=True)  # type: ignore[arg-type]


def locust_tab(page: Page, name: str, _: str) -> None:
    """Show the tab while a load goes on."""
    command = [*ADX_LAB, "ui", "mixed", "--rate", "60", "--port", "8099"]
    with subprocess.Popen(command, cwd=HOME, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stderr is not None
        next(line for line in serving.stderr if "the page is at" in line)
        page.set_viewport_size({"width": WIDTH_PX, "height": 1050})
        page.goto("http://127.0.0.1:8099")
        page.get_by_role("button", name=re.compile("start", re.IGNORECASE)).click()
        page.get_by_role("tab", name="ADX Lab").click()
        page.wait_for_timeout(FILLED_MS)
        page.screenshot(path=DOCS / f"{name}.png")
        serving.send_signal(signal.SIGINT)
        serving.communicate(timeout=90)


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
            {"duration_s": 8.0, "rate_per_s": 60.0, "blocks": 1},  # the picture ends before the comparison
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
