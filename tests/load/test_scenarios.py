"""Each scenario sends what it says, is recorded whoever starts it, and can be sent again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Home, make_home
from tests.load.conftest import TruthServer

THEIRS = """
from locust import HttpUser, constant, task


class Theirs(HttpUser):
    wait_time = constant(0.05)

    @task
    def ask(self):
        self.client.get("/fixed")
"""


OTHERS = {"foreign_cpu_share", "steal_share"}
"""Checks of the audit that fail where other programs take the CPU: no matter of a scenario."""

LATE = {"schedule_lag_p99_ms", "loop_lag_p99_ms"}
"""Those that fail with them, and must not fail alone."""


def load(home: Home, *words: str) -> tuple[Any, pd.DataFrame]:
    done = home.adx_lab("load", *words, "--json")
    assert done.code in {0, 1, 4}, done.err
    document = done.json()
    broken = {check["check"] for check in document["validity"] if not check["ok"]}
    assert not broken - OTHERS - (LATE if broken & OTHERS else set()), document["validity"]
    return document, pd.read_parquet(Path(document["folder"]) / "samples.parquet")


@pytest.mark.parametrize(
    ("scenario", "endpoints"),
    [
        ("files", {"GET /files", "GET /files/{id}", "GET /files/{id}/content", "POST /files"}),
        ("cold_cache", {"PATCH /users/{id}"}),
        ("deep_pages", {"GET /users (page)", "GET /users (cursor)"}),
    ],
)
def test_a_scenario_sends_what_it_says(
    stack_home: Home, stack_state: object, scenario: str, endpoints: set[str]
) -> None:
    document, samples = load(stack_home, scenario, "--duration", "3", "--warmup", "0", "--rate", "30")
    assert set(samples["endpoint"]) >= endpoints
    assert samples["error"].isna().all(), samples["error"].dropna().unique()
    assert document["schedule"]["kind"] == "open"
    if scenario == "cold_cache":
        assert (samples["cache"] == "miss").mean() > 0.9


def test_a_crowd_thinks_and_two_workers_are_one_run(stack_home: Home, stack_state: object) -> None:
    words = ("--users", "200", "--duration", "5", "--warmup", "2", "--workers", "2")
    document, samples = load(stack_home, "ten_thousand", *words)
    audit = document["audit"]
    assert (audit["processes"], set(samples["worker"])) == (3, {0, 1})
    assert audit["users_connected"] == 200
    assert audit["clock_offset_max_ms"] < 50
    assert samples["error"].isna().all()
    # 200 users who think 8.5 s: 23.5 requests a second, as a Poisson process.
    assert 60 < len(samples) < 190
    assert document["caveats"] == []


def test_a_climb_names_its_knee(stack_home: Home, stack_state: object, tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    budgets = home.data / "budgets.toml"
    budgets.write_text('[[budget]]\nname = "Impossible"\nmetric = "group.users.p95_ms"\nlimit = 0.001\n')
    state = stack_home.adx_lab("status", "--json").json()
    sample = ("--sample", state["sample_file"], "--url", state["base_url"])
    document, _ = load(home, "steps", *sample, "--warmup", "0")
    assert len(document["steps"]) == 1
    assert document["knee"]["rate_per_s"] is None
    assert document["knee"]["broke"]["broken"][0]["budget"] == "Impossible"


def test_a_run_can_be_sent_again(stack_home: Home, stack_state: object) -> None:
    words = ("--duration", "3", "--warmup", "0.5", "--rate", "40")
    first, before = load(stack_home, "users", *words)
    _, after = load(stack_home, "users", "--replay", first["run_id"], "--warmup", "0")
    columns = ["t_intended_s", "endpoint"]
    before, after = (each[columns].sort_values("t_intended_s", ignore_index=True) for each in (before, after))
    before["t_intended_s"], after["t_intended_s"] = (
        each["t_intended_s"].round(5) for each in (before, after)
    )
    pd.testing.assert_frame_equal(before, after)


def test_plain_locust_is_recorded_too(stack_home: Home, stack_state: dict[str, Any]) -> None:
    before = {row["run_id"] for row in stack_home.adx_lab("runs", "list", "--json").json()}
    command = [sys.executable, "-m", "locust", "-f", "locustfiles/users.py", "--headless", "--only-summary"]
    # Long enough for everybody to log in first, on a slow machine too: Locust's clock counts that in.
    command += ["--run-time", "12s", "--host", stack_state["base_url"]]
    done = subprocess.run(
        command,
        cwd=stack_home.path,
        env=stack_home.environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "stored as run" in done.stderr, done.stderr
    (run_id,) = {row["run_id"] for row in stack_home.adx_lab("runs", "list", "--json").json()} - before
    assert stack_home.adx_lab("runs", "show", run_id, "--json").json()["scenario"] == "users"


def test_somebody_elses_locustfile_is_recorded_unchanged(
    home: Home, truth_server: TruthServer, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs.py"
    theirs.write_text(THEIRS)
    words = ("--locustfile", str(theirs), "--url", truth_server.url, "--users", "3", "--duration", "3")
    document, samples = load(home, *words, "--warmup", "0.5")
    assert theirs.read_text() == THEIRS
    assert set(samples["endpoint"]) == {"GET /fixed"}
    assert len(samples) > 30
    assert samples["server_ms"].between(99, 200).all()
    assert document["schedule"]["kind"] == "other"
    assert not (home.data / "stack").exists()


def test_a_killed_locust_loses_its_last_second_at_most(
    home: Home, truth_server: TruthServer, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs.py"
    theirs.write_text(THEIRS)
    words = ("--locustfile", str(theirs), "--url", truth_server.url, "--users", "4", "--duration", "60")
    loading = subprocess.Popen(
        home.command("load", *words, "--warmup", "0", "--json"),
        env=home.environ(),
        stdout=subprocess.PIPE,
        text=True,
    )
    facts = wait_for_facts(home, loading)
    pid = int(facts.stem.removeprefix("worker-"))
    deadline = time.monotonic() + 30
    while facts.read_text().count("loop_lag_ms") < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    killed_at = time.time()
    os.kill(pid, signal.SIGKILL)
    out, _ = loading.communicate(timeout=60)
    assert out, loading.returncode

    document = json.loads(out)
    samples = pd.read_parquet(Path(document["folder"]) / "samples.parquet")
    sent = [row for row in truth_server.log() if document["audit"]["began"] <= row[2] and row[3] < killed_at]
    missing_since = document["audit"]["began"] + samples["t_intended_s"].max()
    assert len(samples) > 10
    assert sum(row[3] < missing_since - 0.2 for row in sent) <= len(samples)
    assert killed_at - missing_since < 3  # a second, and what a busy machine adds to it
    assert "killed" in {caveat["code"] for caveat in document["caveats"]}


def wait_for_facts(home: Home, loading: subprocess.Popen[str]) -> Path:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and loading.poll() is None:
        found = [
            path
            for path in (home.data / "runs").glob(".*/raw/worker-*.jsonl")
            if '"began"' in path.read_text()
        ]
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError("Locust did not begin")
