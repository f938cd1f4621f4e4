"""Duets on the session's stack: short ones, so that what decides is the form and not the machine's mood."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from adx_lab.conduct.duet.judge import judge_duet
from adx_lab.conduct.duet.stored import read_evidence
from adx_lab.records.run import to_plain
from adx_lab.store.folders import open_folder
from tests.conftest import CHECKOUT, Finished, Home

SHORT = ("--seconds", "2", "--warmup", "0.5", "--rate", "50", "--json")
KEYS = ["run_id", "status", "exit_code", "budgets", "comparisons", "findings", "validity", "calibration"]


def duet(home: Home, base: str, head: str, *words: str, blocks: int = 1) -> Finished:
    return home.adx_lab("duet", base, head, "--blocks", str(blocks), *SHORT, *words)


def folder_of(home: Home, done: Finished) -> Path:
    return home.data / "runs" / str(done.json()["run_id"])


def patch_of(tmp_path: Path, path: str, old: str, new: str) -> str:
    """Write a patch that replaces some lines of the core."""
    lines = (CHECKOUT / path).read_text().splitlines()
    was = old.splitlines()
    at = next(n for n in range(len(lines)) if lines[n : n + len(was)] == was)
    now = new.splitlines()
    head = f"--- a/{path}\n+++ b/{path}\n@@ -{at},{len(was) + 2} +{at},{len(now) + 2} @@\n"
    body = [f" {lines[at - 1]}", *(f"-{line}" for line in was), *(f"+{line}" for line in now)]
    file = tmp_path / "change.patch"
    file.write_text(head + "\n".join([*body, f" {lines[at + len(was)]}"]) + "\n")
    return f".+patch={file}"


@pytest.fixture(scope="module")
def equals(stack_home: Home) -> Finished:
    """Two blocks of the working tree against itself."""
    done = duet(stack_home, ".", ".", blocks=2)
    assert done.code == 3, done.err
    return done


def test_too_few_blocks_decide_nothing(equals: Finished) -> None:
    verdict = equals.json()
    assert list(verdict) == [*KEYS, "report"]
    assert verdict["status"] in {"undecided", "invalid"}
    assert {one["status"] for one in verdict["comparisons"]} == {"undecided"}
    unpaired = {check["check"]: check["ok"] for check in verdict["validity"]}
    assert unpaired["unpaired_share"]
    assert unpaired["base_error_share"]
    assert unpaired["head_error_share"]


def test_every_arrival_went_to_both(equals: Finished, stack_home: Home) -> None:
    samples = pd.read_parquet(folder_of(stack_home, equals) / "samples.parquet")
    assert sorted(samples["block"].unique()) == [1, 2]
    pairs = samples.pivot_table(
        index=["block", "pair"], columns="variant", values=["t_sent_s", "endpoint"], aggfunc="first"
    )
    assert len(pairs) > 100
    assert (pairs["endpoint", "base"] == pairs["endpoint", "head"]).all()
    first = (pairs["t_sent_s", "base"] < pairs["t_sent_s", "head"]).mean()
    assert 0.3 < first < 0.7
    # The second leaves when the first has answered, and not before.
    ordered = samples.sort_values("t_sent_s").groupby(["block", "pair"])
    ended = samples.assign(end=samples["t_sent_s"] + samples["service_ms"] / 1000)
    ends = ended.loc[ordered.head(1).index].set_index(["block", "pair"])["end"]
    second = ordered.tail(1).set_index(["block", "pair"])["t_sent_s"]
    assert (second - ends > -0.001).all()


def test_both_are_watched_outside_of_the_times(equals: Finished, stack_home: Home) -> None:
    blocks = json.loads((folder_of(stack_home, equals) / "companions.json").read_text())
    for block in blocks:
        for side in ("base", "head"):
            seen = block[side]
            assert seen["requests"] > 50
            assert seen["cpu_s"] > 0
            assert seen["pool_max"] == 100
            assert seen["cache"]["l1"] > 0
            # A link that a busy machine made the core give up takes its count along: then it is not known.
            assert seen["valkey_commands"] is None or seen["valkey_commands"] > 0
            assert seen["invalidations"] > 0
            assert seen["statements"]["users.get"]["buffers"] > 0
    assert {plan["query"] for plan in blocks[0]["head"]["matrix"]["plans"]} >= {"users.get"}


def test_the_verdict_can_be_had_again_bit_for_bit(equals: Finished, stack_home: Home) -> None:
    again = stack_home.adx_lab("verdict", equals.json()["run_id"], "--json")
    assert (again.code, again.out) == (equals.code, equals.out)
    stored = json.loads((folder_of(stack_home, equals) / "verdict.json").read_text())
    assert stored == equals.json()


def test_a_changed_sample_is_noticed(equals: Finished, stack_home: Home) -> None:
    path = folder_of(stack_home, equals) / "verdict.json"
    whole = path.read_text()
    path.write_text(whole.replace('"undecided"', '"same"', 1))
    try:
        done = stack_home.adx_lab("verdict", equals.json()["run_id"])
    finally:
        path.write_text(whole)
    assert done.code == 3
    assert "do not give the verdict" in done.error_lines[0]


def test_the_run_is_listed(equals: Finished, stack_home: Home) -> None:
    rows = stack_home.adx_lab("runs", "list", "--json").json()
    mine = next(row for row in rows if row["run_id"] == equals.json()["run_id"])
    assert (mine["kind"], mine["status"]) == ("duet", equals.json()["status"])
    # Too short to judge by is too short to calibrate by.
    assert stack_home.adx_lab("calibrate", "--duets", "0", "--json").json()["trials"] == []


def test_a_busy_machine_is_said_plainly(equals: Finished, stack_home: Home) -> None:
    evidence = read_evidence(open_folder(folder_of(stack_home, equals)))
    busy = tuple({**block, "foreign_cpu_share": 0.9} for block in evidence.blocks)
    verdict = judge_duet(replace(evidence, blocks=busy)).verdict
    assert (verdict.status, verdict.exit_code) == ("invalid", 3)
    assert any("too busy to measure" in finding.cause for finding in verdict.findings)
    assert to_plain(judge_duet(evidence).verdict.to_json()) == equals.json()


def test_what_can_not_vary_by_chance_is_told(stack_home: Home) -> None:
    done = duet(stack_home, ".", ".+cache.l1=off")
    assert done.code == 3, done.err
    causes = {finding["kind"]: finding for finding in done.json()["findings"]}
    assert causes["cache.l1"]["evidence"]["settings_changed"]["cache.l1"] == "on -> off"


def test_endpoints_that_differ_are_named(stack_home: Home, tmp_path: Path) -> None:
    routes = (CHECKOUT / "adx_lab" / "core" / "routes.py").read_text().splitlines()
    old = next(line for line in routes if '"/tenants/current"' in line)
    head = patch_of(tmp_path, "adx_lab/core/routes.py", old, old.replace("/current", "/mine"))
    done = duet(stack_home, ".", head)
    assert (done.code, done.json()["status"]) == (3, "invalid")
    found = {finding["subject"]: finding for finding in done.json()["findings"]}
    assert found["endpoints_differing"]["cause"] == "only base answers GET /tenants/current"


def test_one_that_fails_is_told_after_one_block(stack_home: Home, tmp_path: Path) -> None:
    old = "    user_id = checked_id(request.args[0])\n    return Response(await user_json("
    whole = (CHECKOUT / "adx_lab" / "core" / "users.py").read_text()
    old += whole.split(old, 1)[1].split("\n", 1)[0]
    new = f'    if request.args[0][-1] in "01":\n        raise Problem(500, "Broken")\n{old}'
    done = duet(stack_home, ".", patch_of(tmp_path, "adx_lab/core/users/users.py", old, new), blocks=8)
    assert (done.code, done.json()["status"]) == (3, "invalid")
    assert "one block is enough" in done.err
    found = {finding["subject"]: finding for finding in done.json()["findings"]}
    assert "most often GET /users/{id} with status 500" in found["head_error_share"]["cause"]


def test_one_that_does_not_start_is_told(stack_home: Home, tmp_path: Path) -> None:
    path = "adx_lab/core/server/main.py"
    text = (CHECKOUT / path).read_text()
    old = next(line for line in text.splitlines() if line.startswith("from adx_lab.core.monitoring.logs"))
    head = patch_of(tmp_path, path, old, f"{old}\nraise RuntimeError('no')")
    done = duet(stack_home, ".", head)
    assert (done.code, done.json()["status"]) == (3, "invalid")
    assert done.json()["validity"] == [{"check": "head_starts", "value": 0.0, "limit": 1.0, "ok": False}]
    assert "head does not start" in done.json()["findings"][0]["cause"]
    assert not list((stack_home.data / "runs").glob(".*"))


def test_a_url_can_be_one(stack_home: Home, stack_state: dict[str, Any]) -> None:
    done = duet(stack_home, str(stack_state["base_url"]), ".")
    assert done.code == 3, done.err
    checks = {check["check"]: check["ok"] for check in done.json()["validity"]}
    assert checks["endpoints_differing"]
    assert checks["base_error_share"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((".", ".+cache.l3=off"), "did you mean cache.l2"),
        ((".", ".", "--blocks", "0"), "--blocks 0"),
        ((".", ".", "--seconds", "-1"), "seconds"),
        ((".", ".", "--rate", "0"), "--rate 0"),
        ((".", ".", "--scenario", "mixd"), "did you mean mixed"),
    ],
)
def test_wrong_use_is_one_line(home: Home, words: tuple[str, ...], said: str) -> None:
    done = home.adx_lab("duet", *words)
    assert done.code == 2
    assert len(done.error_lines) == 1
    assert said in done.error_lines[0]


def test_a_crowd_is_no_scenario_for_a_duet(stack_home: Home) -> None:
    done = duet(stack_home, ".", ".", "--scenario", "ten_thousand")
    assert done.code == 2
    assert "no open loop" in done.error_lines[0]
