"""Make the pictures of README.md anew, from real regressions: ``.venv/bin/python docs/pictures.py [NAME…]``.

``report`` is the first screen of a duet with a copy that asks for each user by itself, ``plan-diff`` the plan
of one with a copy in which an index is missing, ``explore`` that notebook, executed, and ``locust-tab`` the
tab under a load; all of them where none is named. ``NAME=RUN`` takes a stored run. Needs Chromium.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from nbconvert import HTMLExporter
from playwright.sync_api import Page, sync_playwright

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
    """Show the part of the notebook that looks at a run."""
    with tempfile.TemporaryDirectory() as scratch:
        show(page, explored(Path(scratch)))
        begins = page.get_by_role("heading", name="Look at it").bounding_box()
        assert begins is not None
        clip = {"x": 0, "y": begins["y"] - 20, "width": WIDTH_PX, "height": 1300}
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
    """Execute the notebook that explores, and make a page of it as anybody would."""
    notebook = folder / "explore.ipynb"
    # One block: the picture ends before the comparison.
    words = ("-p", "duration_s", "8", "-p", "rate_per_s", "60", "-p", "blocks", "1")
    command = [sys.executable, "-m", "papermill", "notebooks/explore.ipynb", str(notebook), *words]
    subprocess.run(command, cwd=HOME, check=True)
    file = notebook.with_suffix(".html")
    file.write_text(HTMLExporter().from_filename(str(notebook))[0], encoding="utf-8")
    return file


def show(page: Page, file: Path) -> None:
    """Open a page and wait until its charts are drawn."""
    page.goto(file.as_uri(), wait_until="domcontentloaded")
    page.wait_for_selector("html[data-drawn]", state="attached")


if __name__ == "__main__":
    main()
