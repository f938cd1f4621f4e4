"""Deleting asks for a whole id and spares the baseline; a lost index is made anew from the folders."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from adx_lab.conduct import stored
from adx_lab.conduct.nights import pages
from adx_lab.errors import StoreError, UsageError
from adx_lab.progress import Silent
from adx_lab.records.run import LoadAudit, Origin, Purpose, RunRecord
from adx_lab.settings import Settings
from adx_lab.store.folders import new_run_folder, open_run, run_ids, write_plans, write_record, write_table
from adx_lab.store.reading import TABLES
from adx_lab.store.rows import list_runs
from tests.conduct.known_duet import known_duet
from tests.conftest import Home
from tests.promises.stored_duet import store_duet

OLD, BASE, YOUNG = "20260901T000000-aaaaaa", "20260902T000000-bbbbbb", "20261120T000000-cccccc"
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def make_run(
    settings: Settings, run_id: str, commit: str, *, purpose: Purpose = "load", night: str | None = None
) -> None:
    day = f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}T00:00:00+00:00"
    with new_run_folder(settings.runs_dir, run_id) as folder:
        for table in TABLES:
            write_table(folder, table, [])
        write_plans(folder, {"plans": []})
        audit = LoadAudit(began=0.0, duration_s=1.0, requests=0)
        machine = {"cores_usable": 2}
        told: dict[str, Any] = {"machine": machine, "git": Origin(commit=commit), "night": night}
        record = RunRecord(run_id, purpose, "mixed", day, 1.0, 1, audit, **told)
        write_record(folder, record)


@pytest.fixture
def settings(home: Home) -> Settings:
    made = Settings(home=str(home.path))
    for run_id, commit in ((OLD, "old"), (BASE, "base"), (YOUNG, "young")):
        make_run(made, run_id, commit)
        (made.reports_dir / run_id).mkdir(parents=True)
    (made.data_dir / "baseline.json").write_text(json.dumps({"ref": "x", "commit": "base", "set_at": ""}))
    return made


@pytest.mark.parametrize("said", ["", "2026", OLD[:-1], "latest", ".", "..", "../runs", "*"])
def test_only_a_whole_id_is_deleted(settings: Settings, home: Home, said: str) -> None:
    with pytest.raises(UsageError):
        stored.delete(settings, said)
    done = home.adx_lab("runs", "delete", said)
    assert (done.code, len(done.error_lines)) == (2, 1)
    assert len(run_ids(settings.runs_dir)) == 3


def test_a_run_goes_with_its_report_and_its_row(settings: Settings) -> None:
    stored.rebuild(settings, Silent())
    stored.delete(settings, OLD)
    assert [row["run_id"] for row in list_runs(settings).rows] == [BASE, YOUNG]
    assert not (settings.reports_dir / OLD).exists()
    with pytest.raises(UsageError, match="of the baseline's commit"):
        stored.delete(settings, BASE)


def test_a_misshapen_run_goes_when_its_whole_id_is_said(settings: Settings) -> None:
    (settings.runs_dir / OLD / "run.json").write_text("{")
    assert stored.delete_old(settings, older_than_days=0, keep=None, now=NOW) == [YOUNG]
    stored.delete(settings, OLD)
    assert run_ids(settings.runs_dir) == [BASE]


@pytest.mark.parametrize(
    ("older_than_days", "keep", "gone"),
    [(30, None, [OLD]), (None, 1, [OLD]), (None, 0, [OLD, YOUNG]), (0, 2, [OLD]), (None, 7, []), (99, 0, [])],
)
def test_old_ones_go_and_the_baselines_never(
    settings: Settings, older_than_days: float | None, keep: int | None, gone: list[str]
) -> None:
    assert stored.delete_old(settings, older_than_days=older_than_days, keep=keep, now=NOW) == gone
    assert run_ids(settings.runs_dir) == sorted({OLD, BASE, YOUNG} - set(gone))


def test_the_verb_says_which(settings: Settings, home: Home) -> None:
    for words in ((), (OLD, "--keep", "1"), ("--keep", "-1"), ("--older-than", "-3")):
        assert home.adx_lab("runs", "delete", *words).code == 2
    assert "deleted 1 run" in home.adx_lab("runs", "delete", "--keep", "1").out


def test_a_lost_index_is_made_anew(settings: Settings, home: Home) -> None:
    (settings.reports_dir / OLD / "verdict.json").write_text('{"status": "regressed"}')
    (settings.runs_dir / YOUNG / "run.json").write_text("[]")
    listed = home.adx_lab("runs", "list", "--json")
    assert len(listed.json()) == 3
    assert "adx-lab runs rebuild" in listed.error_lines[0]
    made = home.adx_lab("runs", "rebuild", "--json")
    assert made.json()["added"] == [OLD, BASE]
    rows = {row["run_id"]: row["status"] for row in home.adx_lab("runs", "list", "--json").json()}
    assert rows == {OLD: "regressed", BASE: None, YOUNG: None}


def test_what_a_clock_that_was_set_back_made_is_still_of_its_night(settings: Settings) -> None:
    make_run(settings, "20200101T000000-dddddd", "young", night=YOUNG)
    (made,) = pages.of_the_night(settings, open_run(settings.runs_dir, YOUNG))
    assert made.record.run_id == "20200101T000000-dddddd"


async def test_what_can_not_be_judged_is_one_line_that_names_the_run(settings: Settings) -> None:
    run_id = store_duet(settings, known_duet(np.random.default_rng(1)))
    file = settings.runs_dir / run_id / "run.json"
    document = json.loads(file.read_text())
    document["audit"]["blocks"][1]["cpu_share_max"] = "much"
    file.write_text(json.dumps(document))
    with pytest.raises(StoreError, match=rf"run {run_id} can't be judged: (Type|Value)Error: ") as told:
        await pages.page_of(settings, open_run(settings.runs_dir, run_id), Silent())
    assert "restore the folder from a copy" in str(told.value)
    assert "\n" not in str(told.value)
