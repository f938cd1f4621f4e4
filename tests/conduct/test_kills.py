"""Whatever dies under a load: the run keeps what was measured, and says what died, when and how."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from adx_lab.conduct.run.recorded import judge
from adx_lab.report.page.measured_night import Contents
from adx_lab.settings import read_settings
from adx_lab.store.folders import StoredRun, open_run
from tests.conftest import Home, make_home

LOAD = ("load", "mixed", "--duration", "5", "--rate", "60", "--warmup", "0.5")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose stack may be killed."""
    home = make_home(tmp_path_factory.mktemp("kills") / "home")
    yield home
    home.adx_lab("down", "--purge")


@pytest.fixture
def state(home: Home) -> dict[str, Any]:
    up = home.adx_lab("up", "--detach", "--json")
    assert up.code == 0, up.err
    found: dict[str, Any] = up.json()
    return found


def run_and_kill(home: Home, victim: Any) -> tuple[int, str, StoredRun]:
    """Run a load, kill somebody in the middle of it, and return what became of it."""
    with subprocess.Popen(
        home.command(*LOAD), env=home.environ(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as load:
        assert load.stderr is not None
        told = next((line for line in load.stderr if "load mixed" in line), None)
        assert told is not None
        time.sleep(2.0)
        os.kill(victim(load.pid), signal.SIGKILL)
        said = load.stderr.read()
        code = load.wait(120)
    assert code != 2, said
    assert "itself" not in said
    settings = read_settings({"ADX_LAB_HOME": str(home.path)})
    return code, said, open_run(settings.runs_dir, "latest")


def verdict_of(home: Home, run: StoredRun) -> Any:
    settings = read_settings({"ADX_LAB_HOME": str(home.path)})
    return Contents(judge(settings, run)).decide([], "index.html")


@pytest.mark.parametrize(
    ("role", "status"), [("postgres", "invalid"), ("valkey", "invalid"), ("service", "regressed")]
)
def test_a_part_of_the_stack_that_is_killed_is_told_and_started_again(
    home: Home, state: dict[str, Any], role: str, status: str
) -> None:
    (pid,) = state["processes"][role]
    code, said, run = run_and_kill(home, lambda _: pid)
    assert code in {1, 3, 4}, said
    assert "a fault of ADX Lab itself" not in said
    (death,) = [death for death in run.record.load.deaths if death["pid"] == pid]
    assert death["role"] == role
    assert "SIGKILL" in death["how"]
    assert death["again"]
    assert Path(death["log"]).is_file()
    assert run.record.started_at[:10] == death["at"][:10]
    assert any(caveat.code == "died" and role in caveat.text for caveat in run.record.caveats)
    assert len(run.table("samples")) > 100
    verdict = verdict_of(home, run)
    if status == "invalid":
        assert verdict.status == "invalid"
        assert f"{role}_died" in {check.check for check in verdict.validity if not check.ok}
    else:
        assert verdict.status in {"regressed", "invalid"}  # the generator may have been late by it, too
        assert not [check for check in verdict.validity if check.check.endswith("_died")]
    assert any(finding.kind == "died" and finding.subject == role for finding in verdict.findings)
    again = home.adx_lab("status", "--json").json()
    assert again["status"] == "up"
    assert again["processes"][role] != [pid]


def test_a_killed_session_of_the_database_is_told(home: Home, state: dict[str, Any]) -> None:
    (pid,) = state["processes"]["postgres"]

    def backend(_: int) -> int:
        return next(p.pid for p in psutil.Process(pid).children() if "adx adx_core" in " ".join(p.cmdline()))

    _, said, run = run_and_kill(home, backend)
    assert "a fault of ADX Lab itself" not in said
    roles = {death["role"]: death["how"] for death in run.record.load.deaths}
    assert roles == {"postgres backend": "was killed by signal 9 (SIGKILL)"}
    assert verdict_of(home, run).status == "invalid"


def test_a_load_that_is_killed_is_no_load(home: Home, state: dict[str, Any]) -> None:
    def locust(lab: int) -> int:
        return next(p.pid for p in psutil.Process(lab).children() if "locust" in " ".join(p.cmdline()))

    code, said, run = run_and_kill(home, locust)
    assert code in {3, 4}
    assert "a fault of ADX Lab itself" not in said
    (death,) = run.record.load.deaths
    assert (death["role"], death["how"]) == ("locust", "was killed by signal 9 (SIGKILL)")
    assert 0 < len(run.table("samples")) < 300
    assert verdict_of(home, run).status == "invalid"


def test_what_is_never_killed_died_of_nothing(home: Home, state: dict[str, Any]) -> None:
    done = home.adx_lab("load", "mixed", "--duration", "2", "--rate", "30", "--json")
    assert done.json()["audit"]["deaths"] == []
    assert json.dumps(done.json()["caveats"]).count("died") == 0


def test_a_stack_whose_holder_is_killed_is_told(home: Home, state: dict[str, Any]) -> None:
    code, said, run = run_and_kill(home, lambda _: state["holder_pid"])
    assert code in {1, 3, 4}
    assert "a fault of ADX Lab itself" not in said
    assert "stack" in {death["role"] for death in run.record.load.deaths}
    assert verdict_of(home, run).status == "invalid"
