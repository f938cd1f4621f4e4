"""The main job, from nothing to a page that a person opens."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pandas as pd
import pytest
from playwright.sync_api import sync_playwright

from adx_lab.analysis.finding import Finding
from adx_lab.analysis.verdict import decide
from adx_lab.conduct.duet.stored import read_unplayed, write_unplayed
from adx_lab.conduct.nights.night import PROFILES, _tell, for_climbing
from adx_lab.conduct.run.recorded import _asked, judge
from adx_lab.conduct.run.request import find_scenario
from adx_lab.load.order import LoadOrder
from adx_lab.load.schedules.arrivals import climb
from adx_lab.load.schedules.schedule import make_schedule
from adx_lab.report.page.measured_night import Contents
from adx_lab.settings import NightSettings, Settings, read_settings
from adx_lab.store.folders import open_folder
from tests.conftest import HEADLESS, IN_GIT, SHORT, Home, Webhook
from tests.stack.test_processes import gone


def folder_of(night: Any) -> Path:
    return Path(night.json()["report"]).parent


def test_it_yields_a_verdict(night: Any) -> None:
    verdict = night.json()
    assert set(verdict) == {
        *("run_id", "status", "exit_code", "budgets", "comparisons", "coverage", "findings", "validity"),
        *("calibration", "report"),
    }
    assert verdict["status"] in {"pass", "regressed", "undecided", "invalid"}
    assert night.code == verdict["exit_code"]
    assert {item["name"] for item in verdict["budgets"]} >= {"API gateway", "Authentication", "Error rate"}
    assert all(item["status"] in {"pass", "fail", "undecided"} for item in verdict["budgets"])
    assert json.loads((folder_of(night) / "verdict.json").read_text()) == verdict
    assert [line for line in night.err.splitlines() if "load mixed: 150 requests/s" in line]


@pytest.mark.skipif(IN_GIT.returncode != 0, reason="not a git checkout: there is no baseline")
def test_it_is_compared_with_the_baseline(night: Any, stack_home: Home) -> None:
    comparisons = night.json()["comparisons"]
    assert {"GET /users/{id}", "GET /users"} <= {item["subject"] for item in comparisons}
    assert all(item["status"] in {"same", "slower", "faster", "undecided"} for item in comparisons)
    page = (folder_of(night) / "index.html").read_text()
    assert 'id="comparisons"' in page
    rows = stack_home.adx_lab("runs", "list", "--json").json()
    duet = [row["run_id"] for row in rows if row["kind"] == "duet" and row["run_id"] > night.json()["run_id"]]
    assert duet
    assert stack_home.adx_lab("runs", "show", duet[0], "--json").json()["night"] == night.json()["run_id"]
    own = stack_home.adx_lab("report", duet[0], "--json")
    assert own.code == own.json()["exit_code"]
    assert Path(own.json()["report"]).is_file()


def test_the_webhook_is_told(night: Any) -> None:
    (told,) = [item for item in Webhook.told if item["run_id"] == night.json()["run_id"]]
    assert told["status"] == night.json()["status"]
    assert told["summary"]


def test_there_is_something_for_machines_and_an_index(night: Any, stack_home: Home) -> None:
    names = {path.name for path in folder_of(night).iterdir()}
    assert names >= {"junit.xml", "summary.md", "budgets.csv", "endpoints.csv", "timeline.csv", "plans.csv"}
    assert pd.read_csv(folder_of(night) / "endpoints.csv")["requests"].sum() > 500
    index = (stack_home.data / "reports" / "index.html").read_text()
    assert f"{night.json()['run_id']}/index.html" in index


def test_the_run_is_stored_whole(night: Any, stack_home: Home) -> None:
    run_id = night.json()["run_id"]
    rows = stack_home.adx_lab("runs", "list", "--json").json()
    assert [row["status"] for row in rows if row["run_id"] == run_id] == [night.json()["status"]]
    shown = stack_home.adx_lab("runs", "show", run_id, "--json").json()
    assert shown["scenario"] == "mixed"
    assert shown["audit"]["requests"] > 500
    assert shown["figures"]["throughput_per_s"] > 100
    assert "PostgreSQL 17" in shown["target"]["database"]["version"]
    files = {path.name for path in Path(shown["folder"]).iterdir()}
    tables = {f"{name}.parquet" for name in ("samples", "queries", "resources", "database", "cache")}
    assert files >= tables | {"run.json", "plans.json"}
    assert "raw" not in files
    plans = json.loads((Path(shown["folder"]) / "plans.json").read_text())["plans"]
    assert {(plan["tenant"], plan["mode"]) for plan in plans if plan["query"] == "users.get"} >= {
        (tenant, mode) for tenant in ("whale", "small") for mode in ("custom", "generic")
    }


def test_the_server_told_where_the_time_went(night: Any, stack_home: Home) -> None:
    run = stack_home.data / "runs" / night.json()["run_id"]
    samples, queries = pd.read_parquet(run / "samples.parquet"), pd.read_parquet(run / "queries.parquet")
    assert samples["server_ms"].notna().all()
    assert (samples["server_ms"] <= samples["service_ms"] + 0.5).all()
    assert (samples["service_ms"] <= samples["latency_ms"] + 0.5).all()
    assert set(samples["cache"]) <= {"l1", "l2", "miss", "none"}
    assert "users.list.first" in set(queries["query"])
    assert queries["sample"].between(0, len(samples) - 1).all()
    assert samples["error"].dropna().tolist() == []
    database, cache = pd.read_parquet(run / "database.parquet"), pd.read_parquet(run / "cache.parquet")
    assert "users.create" in set(database["query"].dropna())
    assert {"l1", "database"} <= set(cache["layer"])


def test_the_report_needs_no_network(night: Any) -> None:
    for page in folder_of(night).glob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"([^\"]+)\"", text)
        assert loaded
        assert all("//" not in address for address in loaded), loaded
        assert all((folder_of(night) / address).is_file() for address in loaded)


def test_the_report_can_be_made_again_from_the_stored_run(night: Any, stack_home: Home) -> None:
    again = stack_home.adx_lab("report", night.json()["run_id"], "--json").json()
    assert again == night.json()


def test_the_load_that_climbs_keeps_its_own_steps() -> None:
    """The night's rate, asked of it too, would make it a second load of the same kind, and no knee."""
    settings = read_settings(flags=dict(PROFILES["nightly"].load), environ={})
    climbing = for_climbing(settings)
    spec = LoadOrder(raw_dir="x", scenario="steps", **_asked(climbing, find_scenario(climbing, "steps")))
    steps = SimpleNamespace(
        load_kind="open", stages=climb(200, factor=1.3, steps=3, seconds=6), stop_at_budget=True
    )
    plan = make_schedule(spec, steps, climbing.load)
    assert (plan.climbs, plan.duration_s) == (True, 18)
    assert not make_schedule(msgspec.structs.replace(spec, rate_per_s=300.0), steps, climbing.load).climbs


def test_a_duet_that_could_not_be_played_makes_the_night_invalid(night: Any, stack_home: Home) -> None:
    """A baseline that starts no more must not become a row of nights that compare nothing and pass."""
    folder = stack_home.data / "runs" / night.json()["run_id"]
    judged = judge(Settings(home=str(stack_home.path)), open_folder(folder))
    plain = Contents(judged).decide([], "index.html")
    assert not any(check.check.startswith("duet_") for check in plain.validity)
    assert read_unplayed(folder) is None
    write_unplayed(folder, Finding("invalid", "base_starts", "base does not start: no such library", {}))
    try:
        verdict = Contents(judged, unplayed=read_unplayed(folder)).decide([], "index.html")
    finally:
        (folder / "unplayed.json").unlink()
    assert (verdict.status, verdict.exit_code) == ("invalid", 4)
    assert verdict.findings[0].cause == "base does not start: no such library"
    assert {"duet_base_starts"} == {one.check for one in verdict.validity} - {
        one.check for one in plain.validity
    }


def test_what_only_a_crowd_can_tell_is_judged_or_named(night: Any, stack_home: Home) -> None:
    folder = stack_home.data / "runs" / night.json()["run_id"]
    judged = judge(Settings(home=str(stack_home.path)), open_folder(folder))
    assert night.json()["coverage"]["budgets"] == ["Requests a second", "Concurrent users"]
    record = msgspec.structs.replace(judged.record, scenario="ten_thousand")
    crowd = replace(judged, run=replace(judged.run, record=record))
    verdict = Contents(judged, crowd=crowd).decide([], "index.html")
    assert {item.name for item in verdict.budgets} >= {"Requests a second", "Concurrent users"}
    assert verdict.coverage is None or verdict.coverage.budgets == ()
    assert len([item for item in verdict.budgets if item.name == "Error rate"]) == 1
    (asked,) = (item for item in verdict.budgets if item.name == "Requests a second")
    assert asked.status != "pass"  # 150 requests a second are no crowd


def test_what_lies_beside_the_runs_costs_no_report(night: Any, stack_home: Home) -> None:
    stray = stack_home.data / "runs" / "zzz-somebodys-notes"
    stray.mkdir()
    try:
        again = stack_home.adx_lab("report", night.json()["run_id"], "--json")
    finally:
        stray.rmdir()
    assert again.json() == night.json()


@pytest.mark.parametrize("url", ["nowhere", "http://127.0.0.1:1/", "http://[", "ftp:/x"])
def test_a_webhook_that_can_not_be_told_is_no_fault_of_the_night(url: str, night: Any) -> None:
    said: list[str] = []
    settings = Settings(night=NightSettings(webhook_url=url))
    made = SimpleNamespace(summary="s", verdict=decide(run_id="r"))
    _tell(settings, made, SimpleNamespace(step=said.append))  # type: ignore[arg-type]
    assert said[0].startswith("the webhook could not be told")


@pytest.mark.browser
@pytest.mark.parametrize(("page", "charts"), [("index.html", 1), ("latency.html", 7)])
def test_the_pages_draw_their_charts(night: Any, chromium: str, page: str, charts: int) -> None:
    drawn = f"""() => document.querySelectorAll('.main-svg').length >= {charts}
        && document.querySelectorAll('.adx-figure').length >= {charts}"""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(HEADLESS))
        # A chart is drawn when it comes into view; of the first page's those that are not folded.
        opened = browser.new_page(viewport={"width": 1280, "height": 20_000})
        opened.goto((folder_of(night) / page).as_uri())
        opened.wait_for_function(drawn)
        browser.close()


def test_a_broken_notebook_makes_the_verdict_invalid(night: Any, stack_home: Home, tmp_path: Path) -> None:
    source = stack_home.path / "notebooks" / "latency.ipynb"
    whole = source.read_text()
    kept = shutil.copytree(folder_of(night), tmp_path / "kept")
    notebook = json.loads(whole)
    notebook["cells"][-1]["source"] = ["judged.no_such_thing"]
    source.write_text(json.dumps(notebook))
    try:
        done = stack_home.adx_lab("report", night.json()["run_id"], "--json")
    finally:
        source.write_text(whole)
    assert (done.code, done.json()["status"]) == (4, "invalid")
    page = Path(done.json()["report"]).read_text()
    number = sum(cell["cell_type"] == "code" for cell in notebook["cells"]) + 1  # and the injected parameters
    # Others read the night's report: theirs is the whole one.
    shutil.rmtree(folder_of(night))
    shutil.copytree(kept, folder_of(night))
    assert f"in code cell {number}" in " ".join(page.split())
    assert "AttributeError" in page


def test_a_second_nightly_beside_the_first_is_refused(stack_home: Home) -> None:
    first = subprocess.Popen(
        stack_home.command("nightly", *SHORT), env=stack_home.environ(), stderr=subprocess.PIPE, text=True
    )
    assert first.stderr is not None
    with first, first.stderr:
        told = next((line for line in first.stderr if "load mixed" in line), None)
        assert told is not None
        before = stack_home.adx_lab("runs", "list", "--json").json()
        second = stack_home.adx_lab("nightly", *SHORT)
        assert second.code == 4
        assert len(second.error_lines) == 1
        assert "a nightly of this checkout is running already" in second.error_lines[0]
        # Ctrl-C in the middle of the load: no run, no half run, no process.
        children = [int(pid) for pid in _children(first.pid)]
        first.terminate()
        first.stderr.read()
        assert first.wait(60) == 130
    assert children
    assert all(gone(pid) for pid in children)
    assert stack_home.adx_lab("runs", "list", "--json").json() == before
    assert not list((stack_home.data / "runs").glob(".*"))


@pytest.mark.skipif(IN_GIT.returncode != 0, reason="not a git checkout: there is no baseline")
def test_an_interrupted_night_leaves_what_it_had_as_an_invalid_report(night: Any, stack_home: Home) -> None:
    command = stack_home.command("nightly", "--duration", "4", "--rate", "100", "--blocks", "12")
    before = set((stack_home.data / "reports").iterdir())
    with subprocess.Popen(command, env=stack_home.environ(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = next((line for line in process.stderr if "comparing with the baseline" in line), None)
        assert told is not None
        children = [int(pid) for pid in _children(process.pid)]
        process.terminate()
        said = process.stderr.read()
        assert process.wait(120) == 130
    assert "the night ended early" in said
    (folder,) = {path for path in set((stack_home.data / "reports").iterdir()) - before if path.is_dir()}
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["status"] == "invalid"
    assert [check["check"] for check in verdict["validity"] if not check["ok"]][-1] == "night_stopped_early"
    assert verdict["budgets"]
    assert "it was interrupted" in (folder / "index.html").read_text()
    assert all(gone(pid) for pid in children)


def _children(pid: int) -> list[str]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if found:
            return found
        time.sleep(0.05)
    return []


def test_a_full_disk_is_one_line_and_leaves_the_store_whole(stack_home: Home, night: Any) -> None:
    before = stack_home.adx_lab("runs", "list", "--json").json()
    # A limit on a file's size is what a full disk looks like to a writer, and needs no root.
    command = " ".join(stack_home.command("load", "mixed", "--duration", "2", "--rate", "50"))
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 8; exec {command}"],
        env=stack_home.environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in {2, 4}
    assert len([line for line in done.stderr.splitlines() if line.startswith("adx-lab: ")]) == 1
    assert "Traceback" not in done.stderr
    assert stack_home.adx_lab("runs", "list", "--json").json() == before
    assert not list((stack_home.data / "runs").glob(".*"))
