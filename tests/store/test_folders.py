from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adx_lab.errors import StoreError, UsageError
from adx_lab.files import scratch
from adx_lab.records.run import FORMAT, Caveat, DuetAudit, LoadAudit, RunRecord, new_run_id
from adx_lab.store.folders import (
    delete_run_folder,
    new_run_folder,
    open_run,
    run_ids,
    write_plans,
    write_record,
    write_table,
)
from adx_lab.store.reading import TABLES

AUDIT = LoadAudit(began=0.0, duration_s=1.0, requests=0)


def record(run_id: str) -> RunRecord:
    caveats = (Caveat("noise", "a neighbour was loud"),)
    return RunRecord(run_id, "load", "mixed", "2026-01-01T00:00:00+00:00", 3.0, 1, AUDIT, caveats=caveats)


def make_run(runs: Path, run_id: str) -> Path:
    with new_run_folder(runs, run_id) as folder:
        for table in TABLES:
            write_table(folder, table, [])
        write_plans(folder, {"plans": [{"query": "a"}]})
        write_record(folder, record(run_id))
    return runs / run_id


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    make_run(tmp_path, "20260101T000000-aaaaaa")
    stored = open_run(tmp_path, "latest")
    assert stored.record == record("20260101T000000-aaaaaa")
    assert stored.plans() == {"plans": [{"query": "a"}]}
    assert list(stored.table("samples").columns) == list(TABLES["samples"])


def test_texts_of_requests_come_back_as_categories(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "20260101T000000-aaaaaa")
    empty = dict.fromkeys(TABLES["samples"])
    rows = [{**empty, "endpoint": endpoint} for endpoint in ("GET /x", "GET /y", "GET /x", None)]
    write_table(folder, "samples", rows)
    found = open_run(tmp_path, "latest").table("samples", columns=["endpoint", "error"])
    assert found["endpoint"].cat.categories.tolist() == ["GET /x", "GET /y"]
    assert found["endpoint"].cat.codes.tolist() == [0, 1, 0, -1]
    assert found["error"].isna().all()


def test_a_run_that_died_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_run_folder(tmp_path, "20260101T000000-bbbbbb"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    gone = subprocess.Popen(["true"])
    gone.wait()
    leftover = tmp_path / f".20260101T000000-cccccc.{gone.pid}.partial"  # as kill -9 leaves it
    leftover.mkdir()
    others = tmp_path / f".20260101T000000-dddddd.{os.getppid()}.partial"  # somebody is still writing it
    others.mkdir()
    assert run_ids(tmp_path) == []
    make_run(tmp_path, "20260101T000000-eeeeee")
    assert not leftover.exists()
    assert others.exists()


def test_what_a_killed_holder_left_of_a_scratch_folder_goes(tmp_path: Path) -> None:
    (tmp_path / ".duet-x1" / "block-1").mkdir(parents=True)
    (tmp_path / ".rules-x1").mkdir()
    with scratch(tmp_path, "duet") as made:
        assert {path.name for path in tmp_path.iterdir()} == {made.name, ".rules-x1"}
    assert [path.name for path in tmp_path.iterdir()] == [".rules-x1"]


def test_ids_sort_by_time_and_can_be_shortened(tmp_path: Path) -> None:
    for run_id in ("20260102T000000-aaaaaa", "20260101T000000-aaaaaa", "20260102T000000-bbbbbb"):
        make_run(tmp_path, run_id)
    assert run_ids(tmp_path)[-1] == "20260102T000000-bbbbbb"
    assert open_run(tmp_path, "20260101").record.run_id == "20260101T000000-aaaaaa"
    with pytest.raises(UsageError, match="20260102 names 2 runs; say more of it"):
        open_run(tmp_path, "20260102")
    with pytest.raises(UsageError, match="there is no run 1999"):
        open_run(tmp_path, "1999")
    assert len({new_run_id() for _ in range(100)}) == 100


def test_damage_is_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "20260101T000000-aaaaaa")
    stored = open_run(tmp_path, "latest")
    whole = (folder / "samples.parquet").read_bytes()
    (folder / "samples.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match=r"samples\.parquet is damaged"):
        stored.table("samples")
    (folder / "samples.parquet").unlink()
    with pytest.raises(StoreError, match=r"has no samples\.parquet; restore"):
        stored.table("samples")
    (folder / "service.parquet").unlink(missing_ok=True)
    with pytest.raises(StoreError, match=r"has no service\.parquet; an older version may have made it"):
        stored.table("service")
    with pytest.raises(StoreError, match=r"queries\.parquet is damaged"):
        stored.table("queries", columns=["no_such_column"])
    (folder / "run.json").write_text('{"run_id": ')
    with pytest.raises(StoreError, match=r"run\.json is damaged"):
        open_run(tmp_path, "latest")
    (folder / "run.json").write_text('{"run_id": "x"}')
    with pytest.raises(StoreError, match="missing required field `purpose`"):
        open_run(tmp_path, "latest")
    (folder / "run.json").unlink()
    with pytest.raises(StoreError, match=r"run\.json is missing"):
        open_run(tmp_path, "latest")


def test_a_table_of_other_columns_or_types_is_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "20260101T000000-aaaaaa")
    stored, file = open_run(tmp_path, "latest"), folder / "resources.parquet"
    whole = pq.read_table(file)
    pq.write_table(whole.drop_columns(["cpu_s"]), file)
    with pytest.raises(StoreError, match=r"resources\.parquet is damaged: it has no column cpu_s"):
        stored.table("resources")
    pq.write_table(pa.table({name: ["x"] for name in whole.column_names}), file)
    with pytest.raises(StoreError, match=r"resources\.parquet is damaged: .*'x'"):
        stored.table("resources")


def test_a_newer_versions_run_is_refused(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "20260101T000000-aaaaaa")
    document = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(document | {"format": FORMAT + 1}))
    with pytest.raises(StoreError, match=r"newer version .format 3, known is 2\); update"):
        open_run(tmp_path, "latest")


def test_a_deleted_run_is_gone(tmp_path: Path) -> None:
    make_run(tmp_path, "20260101T000000-aaaaaa")
    delete_run_folder(tmp_path, "20260101T000000-aaaaaa")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_a_link_is_deleted_and_what_it_points_at_stays(tmp_path: Path) -> None:
    runs, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    make_run(elsewhere, "20260101T000000-aaaaaa")
    runs.mkdir()
    (runs / "20260101T000000-aaaaaa").symlink_to(elsewhere / "20260101T000000-aaaaaa")
    delete_run_folder(runs, "20260101T000000-aaaaaa")
    assert list(runs.iterdir()) == []
    assert open_run(elsewhere, "latest").record.run_id == "20260101T000000-aaaaaa"


MISSHAPEN: dict[str, str | bytes | dict[str, Any]] = {
    "no object": "[]",
    "no JSON": "{",
    "no text": b"\xff\xfe{",
    "deep": "[" * 100_000,
    "another type": {"duration_s": "long"},
    "a null": {"caveats": None},
    "a caveat that is none": {"caveats": [{"code": 1}]},
    "no moment": {"started_at": "yesterday"},
    "no time zone": {"started_at": "2026-01-01T00:00:00"},
    "somebody else": {"run_id": "../../x"},
    "no facts": {"audit": []},
    "an odd format": {"format": "new"},
    "format 1 with a number for an audit": {"format": 1, "audit": 5},
    "format 1 with a list for an audit": {"format": 1, "audit": [1]},
    "format 1 with a text for git": {"format": 1, "audit": {}, "git": "x"},
    "format 1 with a duet of nothing": {"format": 1, "audit": {"duet": {}}},
    "format 1 with files that are none": {"format": 1, "audit": {}, "git": {"changed": [1]}},
    "a duet of one": {"audit": {"kind": "duet", "design": {}, "variants": {}, "blocks": []}},
}


@pytest.mark.parametrize("how", MISSHAPEN)
def test_a_misshapen_record_is_one_line_and_in_nobodys_way(tmp_path: Path, how: str) -> None:
    make_run(tmp_path, "20260101T000000-aaaaaa")
    file = make_run(tmp_path, "20260102T000000-bbbbbb") / "run.json"
    wrong = MISSHAPEN[how]
    if isinstance(wrong, dict):
        file.write_text(json.dumps(json.loads(file.read_text()) | wrong))
    else:
        file.write_bytes(wrong if isinstance(wrong, bytes) else wrong.encode())
    with pytest.raises(StoreError) as told:
        open_run(tmp_path, "20260102")
    assert str(file) in str(told.value)
    assert "\n" not in str(told.value)
    assert open_run(tmp_path, "latest").record.run_id == "20260101T000000-aaaaaa"


def test_what_else_lies_beside_the_runs_stops_nothing(tmp_path: Path) -> None:
    run_id = "20260101T000000-aaaaaa"
    make_run(tmp_path, run_id)
    for name in (
        ".x.partial",
        ".partial",
        ".a.b.partial",
        ".20260101.-1.deleted",
        "zzz",
        "99990101T000000-ffffff",
    ):
        (tmp_path / name).mkdir()
    (tmp_path / ".y.1.partial").write_text("a file")
    (tmp_path / "notes.txt").write_text("a file")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert open_run(tmp_path, "latest").record.run_id == run_id
    make_run(tmp_path, "20260102T000000-bbbbbb")
    assert run_ids(tmp_path) == [run_id, "20260102T000000-bbbbbb", "99990101T000000-ffffff"]
    assert (tmp_path / ".x.partial").is_dir()
    with pytest.raises(UsageError, match="there is no run without a name"):
        open_run(tmp_path, "")


def test_a_run_is_for_this_account_only(tmp_path: Path) -> None:
    old = os.umask(0o000)
    try:
        folder = make_run(tmp_path / "runs", "20260101T000000-aaaaaa")
    finally:
        os.umask(old)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (folder, folder.parent)} == {0o700}


@pytest.mark.parametrize(
    ("audit", "kind"),
    [
        ({"began": 5.0, "duration_s": 1.0, "requests": 3, "plan": {"kind": "open"}, "unknown": 1}, "load"),
        ({"began": 5.0, "duration_s": 1.0, "requests": 3, "steps": [{"broken": []}], "knee": None}, "climb"),
        ({"duet": {"plan": {}, "variants": {}, "blocks": [], "calibration": None}, "rate_per_s": 9}, "duet"),
    ],
)
def test_a_run_of_format_1_is_read(tmp_path: Path, audit: dict[str, Any], kind: str) -> None:
    folder = make_run(tmp_path, "20260101T000000-aaaaaa")
    document = json.loads((folder / "run.json").read_text())
    del document["purpose"]
    git = {"commit": "abc", "subject": None, "changed_files": 2}
    document |= {"audit": audit, "kind": "nightly", "git": git, "format": 1}
    document["variants"] = ["main", "."] if kind == "duet" else ["head"]
    (folder / "run.json").write_text(json.dumps(document))
    record = open_run(tmp_path, "latest").record
    assert (record.kind, record.purpose, record.git.commit, record.git.changed_files) == (
        kind,
        "nightly",
        "abc",
        2,
    )


def test_the_latest_is_of_the_kind_that_is_asked_for(tmp_path: Path) -> None:
    make_run(tmp_path, "20260101T000000-aaaaaa")
    duet = DuetAudit(design={}, variants={}, blocks=[])
    with new_run_folder(tmp_path, "20260102T000000-bbbbbb") as folder:
        told = record("20260102T000000-bbbbbb")
        write_record(folder, msgspec.structs.replace(told, audit=duet, variants=("main", ".")))
    assert open_run(tmp_path, "latest").record.kind == "duet"
    assert open_run(tmp_path, "latest", "load", "climb").record.run_id == "20260101T000000-aaaaaa"
    with pytest.raises(UsageError, match="is a duet, not a load or a climb"):
        open_run(tmp_path, "20260102T000000-bbbbbb", "load", "climb")
    with pytest.raises(UsageError, match="there is no climb"):
        open_run(tmp_path, "latest", "climb")
