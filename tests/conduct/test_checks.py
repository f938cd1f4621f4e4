"""A night looks before it measures: what it could not keep, judge or compare stops it, in one line."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from adx_lab.conduct.checks import all_checks, before_a_night
from adx_lab.conduct.nights.night import unfinished
from adx_lab.conduct.run.built import describe_git
from adx_lab.errors import UsageError
from adx_lab.services.sources import commit_of
from adx_lab.settings import Settings, read_settings
from adx_lab.store.migrations import VERSION_TABLE
from tests.conduct.test_stored import make_run
from tests.conftest import CHECKOUT, IN_GIT, Home

GONE = "deadbeef" * 5


def told(settings: Settings, *, attached: bool = True) -> list[str]:
    said: list[str] = []

    class Told:
        def step(self, text: str) -> None:
            said.append(text)

        def advance(self, *_: object) -> None:
            """Say nothing."""

    before_a_night(settings, Told(), attached=attached)
    return said


@pytest.fixture
def settings(home: Home) -> Settings:
    return read_settings({"ADX_LAB_HOME": str(home.path)})


def test_a_store_of_a_newer_lab_stops_a_night_and_a_list_in_one_line(home: Home) -> None:
    with closing(sqlite3.connect(home.data / "runs.sqlite", isolation_level=None)) as database:
        database.execute(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32))")
        database.execute(f"INSERT INTO {VERSION_TABLE} VALUES ('9999')")
    for words in (("nightly", "--blocks", "0"), ("runs", "list")):
        done = home.adx_lab(*words)
        assert (done.code, len(done.error_lines)) == (2, 1), done.err
        assert "a newer ADX Lab made the run store" in done.error_lines[0]


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("baseline.json", json.dumps({"ref": "main", "commit": GONE, "set_at": ""}), "baseline"),
        ("baseline.json", "[]", "baseline"),
        ("baseline.json", '{"ref":1', "baseline"),
        ("budgets.toml", "[[budget]]\nnam = 1", "budgets"),
    ],
)
def test_what_a_night_needs_is_looked_at_first(home: Home, file: str, text: str, name: str) -> None:
    (home.data / file).write_text(text)
    done = home.adx_lab("nightly", "--blocks", "0")
    assert "starting" not in done.err
    assert (done.code, len(done.error_lines)) == (2, 1)
    assert f"the night can't begin: {name}" in done.error_lines[0]
    assert not (home.data / "runs").exists()
    found = {check["name"]: check["ok"] for check in home.adx_lab("doctor", "--json").json()}
    assert found[name] is False


def test_a_store_that_refuses_is_said_and_stops_nothing(settings: Settings) -> None:
    (settings.data_dir / "runs.sqlite").write_bytes(b"no database" * 200)
    (line,) = [line for line in told(settings) if line.startswith("run store")]
    assert "adx-lab runs rebuild" in line


def test_a_proxy_is_said_and_spared_this_machine(
    home: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert any(line.startswith("proxies: http_proxy") for line in told(settings))


def test_the_list_is_the_doctors(settings: Settings) -> None:
    names = [check.name for check in all_checks(settings)]
    assert {"run store", "budgets", "git", "baseline", "shared memory", "proxies", "disk"} <= set(names)
    assert len(names) == len(set(names))


def test_a_folder_inside_somebody_elses_repository_takes_no_commit_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@x.example")
    for words in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "outer")):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "file").write_text("of a tarball")
    assert describe_git(inner).commit is None
    assert commit_of(inner, "HEAD") is None
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    assert commit_of(inner, "HEAD") is not None
    other = tmp_path.parent / "other"
    other.mkdir()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))  # as a hook has it
    assert describe_git(other).commit is None


@pytest.mark.skipif(IN_GIT.returncode != 0, reason="not a git checkout")
def test_a_checkout_is_known_by_its_own_commit() -> None:
    assert commit_of(CHECKOUT, "HEAD") == IN_GIT.stdout.decode().strip()


def test_a_night_that_came_to_its_end_is_not_taken_up(settings: Settings) -> None:
    with pytest.raises(UsageError, match="no night to go on with"):
        unfinished(settings)
    run_id = "20261120T000000-cccccc"
    make_run(settings, run_id, "c", purpose="nightly")
    make_run(settings, "20261121T000000-cccccc", "c")
    assert unfinished(settings).record.run_id == run_id
    report = settings.reports_dir / run_id
    report.mkdir(parents=True)
    stopped = {"validity": [{"check": "night_stopped_early"}]}
    for text, whole in (("{", False), (json.dumps(stopped), False), (json.dumps({"validity": []}), True)):
        (report / "verdict.json").write_text(text)
        if whole:
            with pytest.raises(UsageError, match="came to its end"):
                unfinished(settings)
        else:
            assert unfinished(settings).record.run_id == run_id
