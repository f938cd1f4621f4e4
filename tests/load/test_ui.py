"""The web page, in a browser: start a test, see the tab fill, stop, find the run."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.conftest import Home

PATIENCE_MS = 60_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def page_url(stack_home: Home, stack_state: object) -> Iterator[str]:
    """The page of ``adx-lab ui`` on the session's stack."""
    port = free_port()
    command = stack_home.command("ui", "mixed", "--port", str(port), "--rate", "60")
    serving = subprocess.Popen(command, env=stack_home.environ(), stderr=subprocess.PIPE, text=True)
    assert serving.stderr is not None
    with serving, serving.stderr:
        told = next((line for line in serving.stderr if "the page is at" in line), None)
        assert told is not None
        yield f"http://127.0.0.1:{port}"
        os.kill(serving.pid, signal.SIGINT)
        serving.communicate(timeout=90)


async def start_test(page: Page, url: str) -> None:
    await page.goto(url)
    await page.get_by_role("button", name=re.compile("start", re.IGNORECASE)).click()
    await page.get_by_role("tab", name="ADX Lab").click(timeout=PATIENCE_MS)


@pytest.mark.browser
async def test_a_test_from_the_page_becomes_a_run(
    page_url: str, stack_home: Home, chromium: str, tmp_path: Path
) -> None:
    before = {row["run_id"] for row in stack_home.adx_lab("runs", "list", "--json").json()}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 1150})
        outside: list[str] = []
        page.on("request", lambda sent: outside.append(sent.url) if page_url not in sent.url else None)
        await start_test(page, page_url)
        frame = page.frame_locator('iframe[title="ADX Lab"]')
        shown = frame.locator('tr[data-budget="User operations"] .status')
        await expect(shown).to_have_text(re.compile("pass|fail|undecided"), timeout=PATIENCE_MS)
        await expect(frame.locator("#split")).to_contain_text("GET /users/{id}", timeout=PATIENCE_MS)
        await expect(frame.locator("#split .bar").first).to_be_visible(timeout=PATIENCE_MS)
        await expect(frame.locator("#hits svg polygon")).to_have_count(3, timeout=PATIENCE_MS)
        await expect(frame.locator("#pool dl")).to_contain_text("active", timeout=PATIENCE_MS)
        await expect(frame.locator("#memory dl")).to_contain_text("service", timeout=PATIENCE_MS)
        await page.wait_for_timeout(3_000)
        await page.screenshot(path=tmp_path / "tab.png")
        await page.get_by_role("button", name=re.compile("stop", re.IGNORECASE)).click()
        link = frame.locator("#head a")
        await expect(link).to_be_visible(timeout=PATIENCE_MS)
        told = await link.inner_text()
        async with page.context.expect_page() as opened:
            await link.click()
        report = await opened.value
        await expect(report.locator(".answer")).to_be_visible(timeout=PATIENCE_MS)
        await report.close()
        await page.locator("header button").last.click()  # Locust's own switch
        await expect(frame.locator("html[data-theme=dark]")).to_have_count(1, timeout=PATIENCE_MS)
        await page.set_viewport_size({"width": 390, "height": 800})
        inner = frame.locator("html")
        assert await inner.evaluate("html => html.scrollWidth - html.clientWidth") <= 0
        cut = "parts => parts.filter(part => part.scrollWidth > part.clientWidth).map(part => part.id)"
        await expect(frame.locator("#split .bar").first).to_be_visible()
        assert await frame.locator(".scroll").evaluate_all(cut) == []
        await browser.close()
    assert not [url for url in outside if not url.startswith(("data:", "blob:"))]
    run_id = wait_for_run(stack_home, before)
    assert run_id == told
    run = stack_home.adx_lab("runs", "show", run_id, "--json").json()
    assert run["scenario"] == "mixed"
    assert run["audit"]["requests"] > 100
    assert files_in(Path(run["folder"])) >= {"samples.parquet", "cache.parquet"}
    assert not files_in(stack_home.data / "raw")


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def wait_for_run(home: Home, before: set[str]) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = {row["run_id"] for row in home.adx_lab("runs", "list", "--json").json()} - before
        if found:
            return str(found.pop())
        time.sleep(0.5)
    raise AssertionError("the test became no run")


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://elsewhere.test"}, {"Host": "elsewhere.test"}], ids=["origin", "name"]
)
def test_no_other_site_can_use_the_page(page_url: str, headers: dict[str, str]) -> None:
    asked = urllib.request.Request(f"{page_url}/stop", method="POST", headers=headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=10)
    assert refused.value.code == 403
    refused.value.close()


def test_a_taken_port_is_told(page_url: str, stack_home: Home) -> None:
    port = page_url.rpartition(":")[2]
    done = stack_home.adx_lab("ui", "--port", port)
    assert (done.code, len(done.error_lines)) == (2, 1)
    assert "can't be used" in done.error_lines[0]
