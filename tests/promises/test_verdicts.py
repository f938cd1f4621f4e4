"""Each verdict that is promised, by the exit code that a script sees."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adx_lab.analysis.run import audit
from adx_lab.conduct.duet.judge import FOREIGN_CPU_SHARE, judge_duet
from adx_lab.settings import Settings
from tests.conduct.known_duet import known_duet
from tests.conftest import CHECKOUT, Home
from tests.promises.stored_duet import store_duet

LIMITS = {
    "loop_lag_p99_ms": audit.LOOP_LAG_P99_MS,
    "schedule_lag_p99_ms": audit.SCHEDULE_LAG_P99_MS,
    "cpu_share_max": audit.CPU_SHARE,
    "steal_share": audit.STEAL_SHARE,
    "foreign_cpu_share": audit.FOREIGN_CPU_SHARE,
    "unanswered": 0,
}
QUIET = dict.fromkeys(LIMITS, 0)
SLOW = "GET /users"


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_of_the_generators_audit_is_one(name: str) -> None:
    kept = audit.audit_generator(QUIET | {name: LIMITS[name]})
    assert all(check.ok for check in kept)
    broken = audit.audit_generator(QUIET | {name: LIMITS[name] * 1.01 + (1 if name == "unanswered" else 0)})
    assert [check.check for check in broken if not check.ok] == [name]


@pytest.mark.parametrize("name", ["loop_lag_p99_ms", "cpu_share_max", "steal_share", "foreign_cpu_share"])
def test_a_duet_whose_generator_or_machine_was_busy_is_invalid(name: str) -> None:
    # What others take slows both halves of a pair alike: a duet bears more of it than a load.
    limits = LIMITS | {"foreign_cpu_share": FOREIGN_CPU_SHARE}
    duet = known_duet(np.random.default_rng(5), slower={SLOW: 2.0})
    assert judge_duet(duet).verdict.exit_code == 1
    busy = tuple(dict(block) | {name: limits[name] * 1.01} for block in duet.blocks)
    verdict = judge_duet(replace(duet, blocks=busy)).verdict
    assert (verdict.status, verdict.exit_code) == ("invalid", 4)
    assert any(name in check.check for check in verdict.validity if not check.ok)


@pytest.fixture(scope="module")
def quiet_night(night: Any, stack_home: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str]:
    """The session's night in a home of its own, on a machine that was quiet."""
    home = Home(tmp_path_factory.mktemp("promises") / "home")
    home.data.mkdir(parents=True)
    run_id = night.json()["run_id"]
    folder = home.data / "runs" / run_id
    shutil.copytree(stack_home.data / "runs" / run_id, folder)
    shutil.copy(CHECKOUT / "data" / "budgets.toml", home.data)
    record = json.loads((folder / "run.json").read_text())
    record["audit"] |= QUIET
    (folder / "run.json").write_text(json.dumps(record))
    return home, run_id


def test_a_slower_head_ends_a_night_in_regressed(quiet_night: tuple[Home, str]) -> None:
    home, run_id = quiet_night
    evidence = known_duet(np.random.default_rng(6), slower={SLOW: 3.0})
    duet = store_duet(Settings(home=str(home.path)), evidence, night=run_id)
    try:
        done = home.adx_lab("report", run_id, "--json")
    finally:
        shutil.rmtree(home.data / "runs" / duet)
    assert done.out, done.err
    verdict = done.json()
    assert (done.code, verdict["exit_code"], verdict["status"]) == (1, 1, "regressed"), done.err
    assert SLOW in {one["subject"] for one in verdict["comparisons"] if one["status"] == "slower"}
    assert any(SLOW in finding["endpoints"] for finding in verdict["findings"])


def test_a_broken_budget_ends_a_night_in_regressed(quiet_night: tuple[Home, str]) -> None:
    home, run_id = quiet_night
    budgets = home.data / "budgets.toml"
    whole = budgets.read_text()
    assert "limit = 100\n" in whole
    budgets.write_text(whole.replace("limit = 100\n", "limit = 0.01\n", 1))
    try:
        done = home.adx_lab("report", run_id, "--json")
    finally:
        budgets.write_text(whole)
    verdict = done.json()
    assert (done.code, verdict["status"]) == (1, "regressed"), done.err
    # Each endpoint of the group is asked for itself; what a busy machine broke besides is not looked at here.
    edited = [item for item in verdict["budgets"] if item["limit"] == 0.01]
    assert "fail" in {item["status"] for item in edited}, verdict["budgets"]
    assert {item["name"] for item in edited} == {"User operations"}
    assert any(finding["kind"] == "budget" for finding in verdict["findings"])


def test_a_night_whose_generator_was_late_is_invalid(quiet_night: tuple[Home, str]) -> None:
    home, run_id = quiet_night
    path = home.data / "runs" / run_id / "run.json"
    whole = path.read_text()
    record = json.loads(whole)
    record["audit"]["loop_lag_p99_ms"] = 2 * audit.LOOP_LAG_P99_MS
    path.write_text(json.dumps(record))
    try:
        done = home.adx_lab("report", run_id, "--json")
    finally:
        path.write_text(whole)
    assert (done.code, done.json()["status"]) == (4, "invalid"), done.err


def test_a_slow_patch_is_found_live(stack_home: Home) -> None:
    """Real cores, a real load: what the machine was busy with meanwhile is left out of the judgement."""
    patch = CHECKOUT / "data" / "slowdowns" / "blocking.patch"
    done = stack_home.adx_lab(
        *("duet", ".", f".+patch={patch}", "--blocks", "8", "--seconds", "1", "--rate", "40", "--json"),
        timeout_s=500,
    )
    assert done.code in {1, 4}, done.err  # 4: a machine that others use too
    stored = stack_home.data / "runs" / done.json()["run_id"]
    record = json.loads((stored / "run.json").read_text())
    for block in record["audit"]["blocks"]:
        block |= {name: 0 for name in QUIET if name in block}
    (stored / "run.json").write_text(json.dumps(record))
    (stored / "verdict.json").unlink()
    again = stack_home.adx_lab("verdict", stored.name, "--json")
    assert (again.code, again.json()["status"]) == (1, "regressed"), again.err
    assert again.json()["findings"]
