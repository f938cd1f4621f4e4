"""A night that is killed, at whatever stage, is gone on with: what it stored is not measured again."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.conftest import IN_GIT, Home, make_home

_INTO_S = 0.7
NIGHT = ("nightly", "--duration", "3", "--rate", "60", "--blocks", "1")

pytestmark = pytest.mark.skipif(IN_GIT.returncode != 0, reason="not a git checkout: there is no baseline")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with a stack and a baseline."""
    home = make_home(tmp_path_factory.mktemp("resume") / "home")
    assert home.adx_lab("up", "--detach").code == 0
    assert home.adx_lab("baseline", "set", "HEAD").code == 0
    yield home
    home.adx_lab("down", "--purge")


def kill_at(home: Home, stage: str) -> None:
    """Begin a night and kill it, and nothing else, a moment after it said that a stage begins."""
    with subprocess.Popen(
        home.command(*NIGHT), env=home.environ(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as night:
        assert night.stderr is not None
        told = next((line for line in night.stderr if re.search(stage, line)), None)
        assert told is not None, f"no stage {stage}"
        time.sleep(_INTO_S)
        family = psutil.Process(night.pid).children(recursive=True)
        night.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []


def runs(home: Home) -> dict[str, Any]:
    found = {}
    for path in home.data.glob("runs/[!.]*/run.json"):
        document = json.loads(path.read_text())
        found[document["run_id"]] = document
    return found


@pytest.mark.parametrize("stage", ["load mixed", "capturing the plans"])
def test_a_night_that_stored_nothing_is_begun_anew(home: Home, stage: str) -> None:
    before = runs(home)
    kill_at(home, stage)
    assert runs(home) == before
    done = home.adx_lab("nightly", "--resume")
    assert done.code == 2
    assert len(done.error_lines) == 1
    assert re.search("there is no night to go on with|came to its end", done.err)


@pytest.mark.parametrize(
    ("stage", "stored"),
    [
        ("comparing with the baseline", {"load"}),
        ("blocks of", {"load"}),
        ("executing", {"load", "duet"}),
        ("judging and writing", {"load", "duet"}),
    ],
)
def test_what_is_stored_is_not_measured_again(home: Home, stage: str, stored: set[str]) -> None:
    before = runs(home)
    kill_at(home, stage)
    had = {run_id: run for run_id, run in runs(home).items() if run_id not in before}
    assert {run["audit"]["kind"] for run in had.values()} == stored
    (load,) = [run_id for run_id, run in had.items() if run["audit"]["kind"] == "load"]
    done = home.adx_lab(*NIGHT, "--resume", "--json")
    assert done.code in {0, 1, 3, 4}, done.err
    assert done.json()["run_id"] == load
    now = {run_id: run for run_id, run in runs(home).items() if run_id not in before}
    assert sorted(run["audit"]["kind"] for run in now.values()) == ["duet", "load"]
    assert {run_id: now[run_id] for run_id in had} == had
    checks = {check["check"] for check in done.json()["validity"]}
    assert "night_stopped_early" not in checks
    assert any(check.startswith("duet_") for check in checks)
    assert (home.data / "reports" / load / "index.html").is_file()
    assert not list((home.data / "reports").glob(".*"))
    assert "came to its end" in home.adx_lab("nightly", "--resume").err


def test_the_report_of_a_killed_night_can_be_made_alone(home: Home) -> None:
    before = runs(home)
    kill_at(home, "executing")
    (load,) = [run_id for run_id, run in runs(home).items() if run_id not in before and run["night"] is None]
    done = home.adx_lab("report", load, "--json")
    assert done.json()["run_id"] == load
    assert (home.data / "reports" / load / "index.html").is_file()
