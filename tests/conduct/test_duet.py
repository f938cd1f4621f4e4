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
from adx_lab.records.documents import to_plain
from adx_lab.store.folders import open_folder
from tests.conftest import CHECKOUT, OF_A_BUSY_MACHINE, Finished, Home

SHORT = ("--seconds", "2", "--warmup", "0.5", "--rate", "50", "--json")
KEYS = [
    *("run_id", "status", "exit_code", "budgets", "comparisons", "coverage", "findings", "validity"),
    "calibration",
]


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
    assert done.code in {3, 4}, done.err
    return done


def test_too_few_blocks_decide_nothing(equals: Finished) -> None:
    verdict = equals.json()
    assert list(verdict) == [*KEYS, "report"]
    assert verdict["status"] in {"undecided", "invalid"}
    exact = {"failures", "other_answers"}
    assert {one["status"] for one in verdict["comparisons"] if one["metric"] not in exact} == {"undecided"}
    assert not [one for one in verdict["comparisons"] if one["status"] == "slower"]
    unpaired = {check["check"]: check["ok"] for check in verdict["validity"]}
    assert unpaired["unpaired_share"]
    assert unpaired["base_error_share"]


def test_every_arrival_went_to_both(equals: Finished, stack_home: Home) -> None:
    samples = pd.read_parquet(folder_of(stack_home, equals) / "samples.parquet")
    assert sorted(samples["block"].unique()) == [1, 2]
    samples = samples[samples["movement"] == "open"]
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
            # A user that no cache knows is read together with the asker's access.
            asked = [told for name, told in seen["statements"].items() if name.startswith("auth.access")]
            assert sum(told["buffers"] for told in asked) > 0
    assert {plan["query"] for plan in blocks[0]["head"]["matrix"]["plans"]} >= {"users.get"}


def test_the_verdict_can_be_had_again_bit_for_bit(equals: Finished, stack_home: Home) -> None:
    again = stack_home.adx_lab("verdict", equals.json()["run_id"], "--json")
    assert (again.code, again.out) == (equals.code, equals.out)
    stored = json.loads((folder_of(stack_home, equals) / "verdict.json").read_text())
    assert stored | {"report": equals.json()["report"]} == equals.json()


def test_a_changed_sample_is_noticed(equals: Finished, stack_home: Home) -> None:
    path = folder_of(stack_home, equals) / "verdict.json"
    whole = path.read_text()
    path.write_text(whole.replace('"undecided"', '"same"', 1))
    try:
        done = stack_home.adx_lab("verdict", equals.json()["run_id"])
    finally:
        path.write_text(whole)
    assert done.code == 4
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
    assert (verdict.status, verdict.exit_code) == ("invalid", 4)
    assert any("too busy to measure" in finding.cause for finding in verdict.findings)
    told = equals.json()
    assert to_plain(judge_duet(evidence).verdict.to_json()) | {"report": told["report"]} == told


def test_what_can_not_vary_by_chance_is_told(stack_home: Home) -> None:
    done = duet(stack_home, ".", ".+cache.l1=off")
    assert done.code in {1, 3, 4}, done.err
    causes = {finding["kind"]: finding for finding in done.json()["findings"]}
    assert causes["cache.l1"]["evidence"]["settings_changed"]["cache.l1"] == "on -> off"


def test_an_endpoint_that_is_gone_is_regressed(stack_home: Home, tmp_path: Path) -> None:
    routes = (CHECKOUT / "adx_lab" / "core" / "routes.py").read_text().splitlines()
    old = next(line for line in routes if '"/tenants/current"' in line)
    head = patch_of(tmp_path, "adx_lab/core/routes.py", old, old.replace("/current", "/mine"))
    done = duet(stack_home, ".", head)
    worse = {one["subject"] for one in done.json()["comparisons"] if one["status"] == "slower"}
    assert {"GET /tenants/current", "GET /tenants/current (whale)"} <= worse
    assert done.json()["coverage"]["added"] == ["GET /tenants/mine"]
    assert done.json()["coverage"]["gone"] == ["GET /tenants/current"]
    assert_regressed_unless_busy(done)


def test_one_that_fails_is_told_after_one_block(stack_home: Home, tmp_path: Path) -> None:
    old = '    """Show one user."""'
    new = f'{old}\n    if request.args[0][-1] in "01234567":\n        raise Problem(500, "Broken")'
    done = duet(stack_home, ".", patch_of(tmp_path, "adx_lab/core/users/users.py", old, new), blocks=8)
    assert "one block is enough" in done.err
    found = {finding["kind"]: finding for finding in done.json()["findings"]}
    assert "GET /users/{id}" in found["failures"]["endpoints"]
    assert_regressed_unless_busy(done)


def assert_regressed_unless_busy(done: Finished) -> None:
    """A machine that others keep busy makes any duet invalid, and says so."""
    wrong = {check["check"] for check in done.json()["validity"] if not check["ok"]}
    assert wrong <= OF_A_BUSY_MACHINE
    assert (done.code, done.json()["status"]) == ((4, "invalid") if wrong else (1, "regressed"))


@pytest.mark.parametrize(
    ("side", "code", "status"), [("head", 1, "regressed"), ("base", 4, "invalid")], ids=["head", "base"]
)
def test_one_that_does_not_start_is_told(
    stack_home: Home, tmp_path: Path, side: str, code: int, status: str
) -> None:
    path = "adx_lab/core/server/main.py"
    text = (CHECKOUT / path).read_text()
    old = next(
        line for line in text.splitlines() if line.startswith("from adx_lab.core.monitoring.logs import")
    )
    broken = patch_of(tmp_path, path, old, f"{old}\nraise RuntimeError('no')")
    done = duet(stack_home, *((".", broken) if side == "head" else (broken, ".")))
    assert (done.code, done.json()["status"]) == (code, status)
    assert f"{side} does not start" in done.json()["findings"][0]["cause"]
    assert not list((stack_home.data / "runs").glob(".*"))


def test_a_head_that_lets_nobody_in_is_regressed(stack_home: Home, tmp_path: Path) -> None:
    path = "adx_lab/core/auth/sessions.py"
    text = (CHECKOUT / path).read_text().splitlines()
    at = next(n for n, line in enumerate(text) if line.startswith("async def login("))
    old = text[at + 1]
    head = patch_of(tmp_path, path, old, f'{old}\n    raise RuntimeError("nobody")')
    done = duet(stack_home, ".", head)
    assert (done.code, done.json()["status"]) == (1, "regressed")
    assert "status 500" in done.json()["findings"][0]["cause"]


def test_every_way_to_ask_is_asked_and_counted(equals: Finished, stack_home: Home) -> None:
    folder = folder_of(stack_home, equals)
    samples = pd.read_parquet(folder / "samples.parquet")
    serial = samples[samples["movement"] == "serial"]
    assert set(samples["movement"]) == {"cold", "serial", "burst", "open"}
    assert serial["error"].isna().all()
    assert not [one for one in equals.json()["coverage"]["unjudged"] if one.endswith("no request")]
    assert equals.json()["coverage"]["endpoints"] == serial["endpoint"].nunique() > 40
    # Who is first alternates, by design.
    firsts = serial.sort_values("t_sent_s").groupby(["endpoint", "block", "pair"])["variant"].first()
    shares = (firsts == "base").groupby(level=[0, 1]).mean()
    assert shares.between(0.35, 0.65).all()
    counts = pd.read_parquet(folder / "counts.parquet")
    means = counts.groupby("endpoint")[["requests", "statements", "pages"]].sum()
    a_request = means[["statements", "pages"]].div(means["requests"], axis=0)
    assert a_request["statements"]["GET /files/{id}"] == pytest.approx(1, abs=0.3)
    assert a_request["pages"]["GET /users/export (whale)"] > 500
    asked = pd.read_parquet(folder / "statements.parquet")
    deep = asked[(asked["endpoint"] == "GET /users (page, whale)") & asked["query"].notna()]
    assert "users.page" in set(deep["query"]) or set(deep["query"])


def test_a_url_can_be_one(stack_home: Home, stack_state: dict[str, Any]) -> None:
    done = duet(stack_home, str(stack_state["base_url"]), ".")
    assert done.code in {1, 3, 4}, done.err
    checks = {check["check"]: check["ok"] for check in done.json()["validity"]}
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


@pytest.mark.acceptance
def test_a_function_that_computes_more_is_named_first_with_its_line(stack_home: Home, tmp_path: Path) -> None:
    place = "adx_lab/core/users/users.py"
    old = "    user_id = checked_id(request.args[0])\n    return Response((await account_of("
    text = (CHECKOUT / place).read_text()
    line = next(one for one in text.splitlines() if one.startswith(old.splitlines()[1]))
    slow = "    for _ in range(6):\n        _ = sorted(range(2_000), reverse=True)\n"
    was = f"    user_id = checked_id(request.args[0])\n{line}"
    head = patch_of(tmp_path, place, was, was.replace(line, slow + line))
    done = stack_home.adx_lab("duet", ".", head, "--profile", "quick", "--json")
    verdict = done.json()
    assert verdict["status"] == "regressed", done.err
    first = verdict["findings"][0]
    assert (first["kind"], first["subject"]) == ("function", "get_user"), verdict["findings"]
    evidence = first["evidence"]
    assert evidence["file"] == place
    at = text[: text.index(was)].count("\n") + 2
    assert at <= evidence["line"] <= at + 2
    assert evidence["lines_differ"] is True
    assert all(one.startswith("GET /users/{id}") for one in first["endpoints"])
    table = pd.read_parquet(folder_of(stack_home, done) / "profiles.parquet")
    assert set(table["endpoint"]) >= set(first["endpoints"])


@pytest.mark.acceptance
def test_the_line_that_keeps_memory_is_named(stack_home: Home, tmp_path: Path) -> None:
    place = "adx_lab/core/users/users.py"
    text = (CHECKOUT / place).read_text()
    was = '    """Show one user."""'
    leak = '    globals().setdefault("_KEPT", []).append(bytes(100_000))'
    head = patch_of(tmp_path, place, was, f"{was}\n{leak}")
    done = stack_home.adx_lab("duet", ".", head, "--profile", "quick", "--json")
    grown = next(one for one in done.json()["findings"] if one["kind"] == "memory-growth")
    assert grown["subject"] == "get_user"
    assert grown["evidence"]["line"] == text[: text.index(was)].count("\n") + 2
    assert 90_000 < grown["evidence"]["head_bytes_per_request"] < 150_000
