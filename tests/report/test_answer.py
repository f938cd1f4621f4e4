"""The first screen of a real regression, seen by a browser: a duet of the core and a copy that waits."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from adx_lab.analysis.run.audit import ValidityCheck, audit_generator
from adx_lab.report.page.answer import slug
from adx_lab.report.parts.figure import COLOURS
from adx_lab.report.parts.words import check_words, trouble
from tests.conftest import CHECKOUT, Home
from tests.report.browsing import AXE, serious

LINE = "    user_id = checked_id(request.args[0])"
WAIT = '    await __import__("asyncio").sleep(0.25)'


@pytest.fixture(scope="module")
def slow_patch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = (CHECKOUT / "adx_lab" / "core").rglob("*.py")
    source = next(file for file in sources if "Show one user" in file.read_text())
    lines = source.read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if line == LINE and "Show one user" in lines[n - 1])
    hunk = [f"@@ -{at},3 +{at},4 @@", f" {lines[at - 1]}", f" {LINE}", f"+{WAIT}", f" {lines[at + 1]}"]
    file = tmp_path_factory.mktemp("patch") / "waits.patch"
    name = source.relative_to(CHECKOUT)
    file.write_text("\n".join(["Wait.", "", f"--- a/{name}", f"+++ b/{name}", *hunk]) + "\n")
    return file


@pytest.fixture(scope="module")
def regressed(stack_home: Home, slow_patch: Path) -> Path:
    """The page of the duet; what else ran on this machine is no matter of the page."""
    done = stack_home.adx_lab(
        *("duet", ".", f".+patch={slow_patch}", "--blocks", "8", "--seconds", "2", "--warmup", "0.3"),
        *("--rate", "60", "--scenario", "calibration", "--json"),
    )
    folder = stack_home.data / "runs" / str(done.json()["run_id"])
    record = json.loads((folder / "run.json").read_text())
    for block in record["audit"]["blocks"]:
        block |= {"foreign_cpu_share": 0.0, "steal_share": 0.0, "loop_lag_p99_ms": 1.0, "cpu_share_max": 0.1}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "verdict.json").unlink()
    told = stack_home.adx_lab("report", folder.name, "--json")
    assert told.json()["status"] == "regressed", told.out
    return Path(told.json()["report"])


def opened(browser: Browser, page: Path, width: int, scheme: str = "light") -> Page:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    made = context.new_page()
    made.goto(page.as_uri())
    made.wait_for_selector("html[data-drawn]", state="attached")
    return made


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_ten_seconds_are_enough(regressed: Path, browser: Browser, width: int) -> None:
    page = opened(browser, regressed, width)
    told = page.locator(".told").first
    box = told.bounding_box()
    assert box is not None
    parts = {
        "endpoint": told.get_by_role("link", name="GET /users/{id}"),
        "size": told.get_by_text(re.compile(r"\d ms \([\d.]+ to [\d.]+\) instead of [\d.]+ ms, ")),
        "cause": told.locator("dd").first,
        "mend": told.locator("pre"),
    }
    for name, part in parts.items():
        where = part.first.bounding_box()
        assert where is not None, name
        assert where["y"] + min(where["height"], 40) <= 900, name
    assert "sleep" in told.locator("pre").inner_text()
    assert page.locator(".answer").inner_text().startswith("Regressed: GET /users/{id}")
    # The picture below shows the very endpoint that is slower, in the colour of what is.
    legend = page.locator("#forest .legendtext").all_inner_texts()
    assert "slower" in legend


@pytest.mark.browser
@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_no_page_is_wider_than_its_window(regressed: Path, browser: Browser, width: int) -> None:
    for file in sorted(regressed.parent.glob("*.html")):
        page = opened(browser, file, width, "dark")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, file.name
        page.context.close()


@pytest.mark.browser
def test_every_link_leads_somewhere(regressed: Path, browser: Browser) -> None:
    page = opened(browser, regressed, 1280)
    addresses = page.eval_on_selector_all("a", "all => all.map(one => one.getAttribute('href'))")
    assert any(address.startswith("endpoints.html#") for address in addresses)
    for address in addresses:
        file, _, anchor = address.partition("#")
        target = regressed if not file else regressed.parent / file
        assert target.is_file(), address
        assert not anchor or f'id="{anchor}"' in target.read_text(), address


@pytest.mark.browser
def test_tables_sort_and_filter(regressed: Path, browser: Browser) -> None:
    page = opened(browser, regressed.parent / "queries.html", 1280)
    page.locator("#plans > summary").click()
    table = page.locator("#plans table")
    table.get_by_role("button", name="custom ms").click()
    cells = table.locator("tbody tr td:nth-child(3)").evaluate_all(
        "all => all.map(one => +one.dataset.v || -1)"
    )
    assert cells == sorted(cells, reverse=True)
    page.locator("#plans input[type=search]").fill("users.export")
    shown = table.locator("tbody tr:visible td:first-child").all_inner_texts()
    assert shown
    assert set(shown) == {"users.export"}


@pytest.mark.browser
def test_it_is_light(regressed: Path, browser: Browser) -> None:
    assert regressed.stat().st_size <= 300_000
    page = opened(browser, regressed, 1280)
    assert page.evaluate("document.documentElement.scrollHeight") <= 6000
    assert not (regressed.parent / "plotly.min.js").exists()
    assert (regressed.parent.parent / "plotly.min.js").is_file()


@pytest.mark.browser
def test_one_file_can_be_mailed(regressed: Path, stack_home: Home, browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "one.html"
    done = stack_home.adx_lab("report", regressed.parent.name, "--single", str(file))
    assert done.out.strip() == str(file)
    assert file.stat().st_size < 3_000_000
    page = opened(browser, file, 1280)
    assert page.locator(".main-svg").count() >= 1
    page.locator(".told a").first.click()
    assert page.locator("#endpoint-get-users-id").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(regressed: Path, browser: Browser, scheme: str) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed (npm install axe-core): accessibility is not checked")
    for file in sorted(regressed.parent.glob("*.html")):
        page = opened(browser, file, 1280, scheme)
        assert serious(page) == [], file.name
        page.context.close()


def test_colours_can_be_told_from_their_ground() -> None:
    script = (CHECKOUT / "adx_lab" / "report" / "parts" / "page.js").read_text()
    dark = dict(re.findall(r'"(#[0-9a-f]{6})": "(#[0-9a-f]{6})"', script))
    for colour in COLOURS:
        assert contrast(colour, "#ffffff") >= 3, colour
        assert contrast(dark[colour], "#1b2027") >= 3, colour


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG has it."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_what_was_wrong_is_said_in_words() -> None:
    every = audit_generator(
        {
            **dict.fromkeys(("unanswered", "lost_requests", "ended_early_s", "task_exceptions"), 1),
            **dict.fromkeys(("loop_lag_p99_ms", "schedule_lag_p99_ms", "cpu_share_max"), 1),
            **dict.fromkeys(("steal_share", "foreign_cpu_share"), 1),
        }
    )
    assert len(every) == 9
    for check in every:
        assert check_words(check.check) != check.check.replace("_", " "), check.check
        assert "can be borne" not in trouble(check)[0], check.check
    assert trouble(ValidityCheck("postgres_died", 1.0, 0.0, ok=False))[0] == "PostgreSQL died under the load"
    busy = ValidityCheck("duet_foreign_cpu_share", 0.79, 0.75, ok=False)
    words, mend = trouble(busy)
    assert "other programs used 79% of this machine" in words
    assert mend == "run again when it is quiet"
    assert check_words("duet_base_error_share") == "in the duet: requests that base failed"
    assert trouble(ValidityCheck("some_new_check", 2.0, 1.0, ok=False))[0].startswith("some new check: 2")
    assert slug("GET /users/{id}") == "get-users-id"
