"""Wrong use gets one clear line and exit code 2 or 3; what was stored stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Home
from tests.store.test_folders import make_run


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nigthly",), 2, "unknown verb nigthly; did you mean nightly?"),
        (("load", "mixde"), 2, "unknown scenario mixde"),
        (("load", "mixed", "--duration", "0"), 2, "--duration 0 is not a positive number"),
        (("load", "mixed", "--rate", "fast"), 2, 'Invalid value for --rate: unable to convert "fast"'),
        (("load",), 2, "say what to load; name a scenario"),
        (("nightly", "--profile", "slow"), 2, '"slow"'),
        (("runs", "show", "1999"), 2, "there is no run 1999"),
        (("runs", "delete", "1999"), 2, "there is no run 1999"),
        (("runs", "delete", "--older-than", "nan"), 2, "a number of days or runs can't be meant"),
        (("runs", "delete", "--older-than", "inf"), 2, "a number of days or runs can't be meant"),
        (("runs", "delete", "--older-than", "1e300"), 2, "a number of days or runs can't be meant"),
        (("runs", "delete", "--keep", "-1"), 2, "a number of days or runs can't be meant"),
        (("runs", "show", "a\x1b[2J\nb"), 2, "there is no run a [2J b in"),
        (("report",), 2, "there is no "),
        (("up", "--scale", "enormous"), 2, "enormous"),
        (("up", "--rules-off", "cache.l9"), 2, "cache.l9"),
        (("status", "--jsno"), 2, "Unknown option: --jsno"),
        (("status", "extra"), 2, "extra is more than adx-lab status takes; see adx-lab status --help"),
        (("duet", "HEAD"), 2, "adx-lab duet needs HEAD; see adx-lab duet --help"),
        (("load", "mixed", "--replay", "nosuch"), 2, "there is no run nosuch"),
        (
            ("load", "mixed", "--rate", "1e12"),
            2,
            "--rate 1e+12 is beyond all measure; give at most 1,000,000",
        ),
        (("load", "mixed", "--rate", "nan"), 2, "--rate nan is not a positive number"),
        (("load", "mixed", "--warmup", "-1"), 2, "--warmup -1 is not a number of at least 0"),
        (("load", "mixed", "--seed", "-1"), 2, "--seed -1 is no seed"),
        (("load", "mixed", "--url", ""), 2, "--url is empty"),
        (("duet", ".", ".", "--rate", "nan"), 2, "--rate nan is not a positive number"),
        (("duet", ".", ".", "--seed", "-1"), 2, "--seed -1 is no seed"),
        (("rules", "--blocks", "0"), 2, "--blocks 0 is not a positive number"),
        (("bisect", "HEAD", "HEAD", "--rate", "0"), 2, "--rate 0 is not a positive number"),
        (("calibrate", "--duets", "-1"), 2, "--duets -1 is not a number of at least 0"),
        (("nightly", "--rate", "0"), 2, "--rate 0 is not a positive number"),
        (("nightly", "--duration", "0"), 2, "--duration 0 is not a positive number"),
        (("nightly", "--blocks", "-1"), 2, "--blocks -1 is not a number of at least 0"),
        (("nightly", "--webhook", "nonsense"), 2, "--webhook nonsense is no address of HTTP"),
        (("plans", "--tenant", "nosuch"), 2, "choose among the plans of a query; name it with --query"),
        (("plans", "--query", "users.get", "--mode", "nosuch"), 2, "unknown mode nosuch"),
        (("load", "mixed", "--users", "2.5"), 2, "--users 2.5 is not a whole number"),
        (("load", "mixed", "--database", "nonsense"), 2, "--database nonsense is no address of PostgreSQL"),
        (("load", "mixed", "--valkey", "nonsense"), 2, "--valkey nonsense is no address of Valkey"),
        (("load", "mixed", "--sample", "nowhere.json"), 2, "there is no sample nowhere.json"),
        (("load", "mixed", "--bind", "nonsense"), 2, "--bind nonsense is not HOST:PORT"),
        (("duet", ".", "http://127.0.0.1:nine"), 2, "http://127.0.0.1:nine is not a URL"),
        (("calibrate", "--scenario", "mixde"), 2, "unknown scenario mixde"),
        (("nightly", "--blocks", "1000"), 2, "--blocks 1000 is not between 0 and 64"),
        (("nightly", "--database", "nonsense"), 2, "--database nonsense is no address of PostgreSQL"),
        (("plans", "--out", "no/such/folder/x.json"), 2, "--out no/such/folder/x.json can't be written"),
        (("up", "--rules-off", ""), 2, "--rules-off names no rule"),
        (("ui", "--rate", "-1"), 2, "--rate -1 is not a positive number"),
        (("ui", "--workers", "0"), 2, "--workers 0 is not a positive number"),
    ],
)
def test_one_line_and_the_code(home: Home, words: tuple[str, ...], code: int, said: str) -> None:
    done = home.adx_lab(*words)
    assert done.code == code, done.err
    assert len(done.error_lines) == 1
    assert said in done.error_lines[0]
    assert "Traceback" not in done.err
    assert done.out == ""
    assert not (home.data / "stack" / "postgres").exists()  # refused before anything was started


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ADX_LAB_LOAD_RATE", "5", "did you mean ADX_LAB_LOAD_RATE_PER_S?"),
        ("ADX_LAB_LOAD_RATE_PER_S", "many", "expected a number, got a text"),
        ("ADX_LAB_STORE_URL", "nonsense", "not a database URL"),
    ],
)
def test_wrong_settings(home: Home, variable: str, value: str, said: str) -> None:
    done = home.adx_lab("runs", "list", environ={variable: value})
    assert done.code == 2
    assert len(done.error_lines) == 1
    assert said in done.error_lines[0]


def test_a_stored_run_is_shown(home: Home) -> None:
    make_run(home.data / "runs", "20260101T000000-aaaaaa")
    done = home.adx_lab("runs", "show")
    assert done.code == 0, done.err
    shown = dict(line.split(None, 1) for line in done.out.splitlines() if " " in line)
    assert (shown["run_id"], shown["kind"], shown["scenario"]) == ("20260101T000000-aaaaaa", "load", "mixed")
    assert home.adx_lab("runs", "show", "--json").json()["kind"] == "load"


def test_an_index_that_can_not_be_opened_is_told_and_hides_no_run(home: Home) -> None:
    done = home.adx_lab(
        "runs", "list", environ={"ADX_LAB_STORE_URL": "sqlite:////nowhere/at/all/runs.sqlite"}
    )
    assert done.code == 0
    assert len(done.error_lines) == 1
    assert "unable to open" in done.error_lines[0]


def test_debug_shows_the_whole_chain(home: Home) -> None:
    done = home.adx_lab("runs", "show", "1999", "--debug")
    assert "Traceback" in done.err
    assert done.error_lines == ["adx-lab: " + done.error_lines[0].removeprefix("adx-lab: ")]


def test_help_needs_nothing_heavy() -> None:
    # Start-up time counts: what costs tenths of a second must not be imported for a page of help.
    heavy = {"pandas", "plotly", "locust", "scipy", "sqlalchemy", "alembic"}
    code = f"import sys, adx_lab.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_empty_store_lists_nothing(home: Home) -> None:
    assert home.adx_lab("runs", "list", "--json").json() == []


def test_doctor_says_what_it_found(home: Home) -> None:
    done = home.adx_lab("doctor", "--json")
    checks = {check["name"]: check for check in done.json()}
    assert {"python", "memory", "disk", "open files", "server account"} <= set(checks)
    assert all(check["mend"] for check in checks.values() if not check["ok"])
    assert done.code == (4 if any(not c["ok"] and c["needed"] for c in checks.values()) else 0)


def test_doctor_sees_a_folder_that_cannot_be_used(home: Home, tmp_path: Path) -> None:
    (home.data / "stack").write_text("a file where a folder should be")
    done = home.adx_lab("doctor")
    assert done.code == 4
