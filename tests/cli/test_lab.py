"""JupyterLab as ``adx-lab lab`` opens it: who is let in, what is there, what is drawn, and what is left."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.async_api import BrowserContext, Page, async_playwright, expect

from tests.conftest import Home
from tests.load.test_ui import PATIENCE_MS, wait_for_run
from tests.stack.test_processes import gone


@dataclass(frozen=True)
class OpenLab:
    """A lab that was started."""

    process: subprocess.Popen[str]
    told: dict[str, Any]

    @property
    def base_url(self) -> str:
        return str(self.told["base_url"])

    def ask(self, path: str, *, method: str = "GET", token: str | None = None) -> str:
        given = {"Authorization": f"token {self.told['token'] if token is None else token}"}
        asked = urllib.request.Request(self.base_url + path, method=method, headers=given)
        with urllib.request.urlopen(asked, timeout=90) as answer:
            return str(answer.read().decode())


@contextmanager
def open_lab(home: Home) -> Iterator[OpenLab]:
    process = subprocess.Popen(
        home.command("lab", "--no-browser", "--port", "0", "--json"),
        env=home.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stdout, process.stderr:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "}\n":
                break
        try:
            assert lines, process.stderr.read()
            yield OpenLab(process, json.loads("".join(lines)))
        finally:
            process.terminate()
            process.communicate(timeout=120)


@pytest.fixture(scope="module")
def lab(stack_home: Home, stack_state: object) -> Iterator[OpenLab]:
    """A lab on the session's stack."""
    with open_lab(stack_home) as opened:
        yield opened


def test_only_the_token_lets_one_in(lab: OpenLab) -> None:
    assert "kernels" in json.loads(lab.ask("api/status"))
    for path in ("api/status", "api/contents"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            lab.ask(path, token="guessed")
        assert refused.value.code == 403
        refused.value.close()
    listening = psutil.Process(lab.told["jupyter_pid"]).net_connections(kind="inet")
    assert {item.laddr.ip for item in listening if item.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_it_keeps_to_its_own_folders(lab: OpenLab, stack_home: Home) -> None:
    names = {item["name"] for item in json.loads(lab.ask("api/contents"))["content"]}
    assert "regression_report.ipynb" in names
    environ = psutil.Process(lab.told["jupyter_pid"]).environ()
    own = str(stack_home.data / "jupyter")
    assert all(
        environ[name].startswith(own)
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    )
    assert environ["ADX_LAB_HOME"] == str(stack_home.path)
    page = lab.ask("lab")
    assert '"news": {"disabled": true}' in page
    assert '"can_install": false' in page


def test_a_taken_port_is_one_line(lab: OpenLab, stack_home: Home) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        refused = stack_home.adx_lab("lab", "--port", str(holder.getsockname()[1]))
    assert (refused.code, len(refused.error_lines)) == (2, 1)
    assert "choose another with --port" in refused.error_lines[0]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_way_to_end_it_leaves_a_process(
    lab: OpenLab, stack_home: Home, stack_state: dict[str, Any], how: signal.Signals
) -> None:
    with open_lab(stack_home) as second:  # beside the first
        kernels = json.loads(second.ask("api/kernelspecs"))
        assert kernels["default"] in kernels["kernelspecs"]
        second.ask("api/kernels", method="POST")
        assert "<title>Locust</title>" in second.ask("locust/")
        assert json.loads(second.ask("locust/adx/live")) == {"state": "waiting"}
        started = psutil.Process(second.process.pid).children(recursive=True)
        commands = [" ".join(item.cmdline()) for item in started]
        for part in ("jupyterlab", "ipykernel_launcher", "adx_lab.cli ui", "-m locust"):
            assert any(part in command for command in commands), (part, commands)
        second.process.send_signal(how)
        second.process.wait(timeout=120)
        assert [item for item in started if not gone(item.pid, seconds=60)] == []
    assert stack_home.adx_lab("status", "--json").json()["holder_pid"] == stack_state["holder_pid"]
    assert json.loads(lab.ask("api/status"))["kernels"] == 0


@pytest.mark.browser
async def test_locust_in_the_launcher_and_a_notebook_with_its_charts(
    lab: OpenLab, stack_home: Home, chromium: str, tmp_path: Path
) -> None:
    before = {row["run_id"] for row in stack_home.adx_lab("runs", "list", "--json").json()}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = await browser.new_context(viewport={"width": 1400, "height": 1000})
        asked: list[str] = []
        context.on("request", lambda sent: asked.append(sent.url))
        page = await context.new_page()
        await page.goto(f"{lab.base_url}lab/workspaces/fresh?token={lab.told['token']}")
        await load_from_the_launcher(context, page, tmp_path)
        wait_for_run(stack_home, before)
        # A page and a workspace of its own: "Run All Cells" runs those of the panel in front.
        notebook = await context.new_page()
        await notebook.goto(f"{lab.base_url}lab/workspaces/summary/tree/regression_report.ipynb")
        await run_all_cells(notebook, tmp_path)
        await browser.close()
    own = (lab.base_url, "data:", "blob:")
    assert not [url for url in asked if not url.startswith(own)]


async def load_from_the_launcher(context: BrowserContext, page: Page, shots: Path) -> None:
    tile = page.locator(".jp-LauncherCard", has_text="Locust with ADX Lab")
    await expect(tile.locator("img")).to_be_visible(timeout=PATIENCE_MS)
    await page.screenshot(path=shots / "launcher.png")
    async with context.expect_page() as opened:
        await tile.click()
    locust = await opened.value
    await locust.get_by_role("button", name=re.compile("start", re.IGNORECASE)).click(timeout=PATIENCE_MS)
    await locust.get_by_role("tab", name="ADX Lab").click(timeout=PATIENCE_MS)
    frame = locust.frame_locator('iframe[title="ADX Lab"]')
    await expect(frame.locator("#split .bar").first).to_be_visible(timeout=PATIENCE_MS)
    await expect(frame.locator("#hits svg polygon")).to_have_count(3, timeout=PATIENCE_MS)
    await locust.screenshot(path=shots / "locust.png")
    await locust.get_by_role("button", name=re.compile("stop", re.IGNORECASE)).click()
    await expect(frame.locator("#head")).to_contain_text("has stopped", timeout=PATIENCE_MS)
    await locust.close()


async def run_all_cells(page: Page, shots: Path) -> None:
    await expect(page.locator(".jp-NotebookPanel .jp-Cell").first).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.locator(".jp-NotebookPanel-toolbar")).to_contain_text(
        re.compile("Python 3"), timeout=PATIENCE_MS
    )
    # The toolbar names the kernel before it has started: cells that are run by then are forgotten.
    ready = page.locator('.jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status="idle"]')
    await expect(ready).to_have_count(1, timeout=PATIENCE_MS)
    await page.get_by_role("menuitem", name="Run", exact=True).click()
    await page.get_by_text("Run All Cells", exact=True).click()
    charts = page.locator(".jp-NotebookPanel .js-plotly-plot")
    await expect(charts).to_have_count(5, timeout=PATIENCE_MS)
    await expect(page.locator(".jp-OutputArea-output table").last).to_contain_text(
        "the load generator woke late", timeout=PATIENCE_MS
    )
    captions = page.locator(".jp-NotebookPanel .adx-caption")
    await expect(captions).to_have_count(5)
    for number in range(5):
        drawn, said = await charts.nth(number).bounding_box(), await captions.nth(number).bounding_box()
        assert drawn is None or said is None or said["y"] >= drawn["y"] + drawn["height"]
        await charts.nth(number).evaluate("chart => chart.scrollIntoView({block: 'center'})")
        await expect(charts.nth(number).locator(".main-svg").first).to_be_visible(timeout=PATIENCE_MS)
        await page.screenshot(path=shots / f"chart{number}.png")
    assert await page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
    assert await page.locator("mjx-container").count() == 0  # "$1" is a parameter and no mathematics
