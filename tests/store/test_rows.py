"""Rows are an index: nothing that is kept depends on the database being whole, free or there."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from pathlib import Path

import msgspec
import pytest

from adx_lab.errors import UsageError
from adx_lab.records.run import DuetAudit, LoadAudit, Origin, RunRecord
from adx_lab.secrecy import remember
from adx_lab.settings import Settings, override
from adx_lab.store.rows import RunStore, list_runs, stored_rows

AUDIT = LoadAudit(began=0.0, duration_s=1.0, requests=0)


def record(run_id: str) -> RunRecord:
    return RunRecord(
        run_id, "load", "mixed", "2026-01-01T00:00:00+00:00", 3.0, 1, AUDIT, git=Origin(commit="abc")
    )


def save(settings: Settings, *run_ids: str) -> str | None:
    store = RunStore(settings)
    for run_id in run_ids:
        store.save(record(run_id), status="pass", figures={"p95_ms": 1.5})
    store.close()
    return store.trouble


def ids(settings: Settings) -> list[str]:
    return [row["run_id"] for row in stored_rows(settings)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path))


def test_rows_are_kept_and_replaced(settings: Settings) -> None:
    store = RunStore(settings)
    store.save(record("b"), status="pass", figures={"p95_ms": 1.5, "p99_ms": None})
    store.save(record("a"), status=None, figures={})
    store.save(record("b"), status="regressed", figures={"p95_ms": 2.5})
    rows = store.list()
    assert [(row["run_id"], row["status"], row["figures"]) for row in rows] == [
        ("a", None, {}),
        ("b", "regressed", {"p95_ms": 2.5}),
    ]
    store.delete("a")
    store.delete("a")
    assert [row["run_id"] for row in store.list()] == ["b"]
    assert store.trouble is None
    store.close()


@pytest.mark.parametrize("damage", [b"no database at all" * 100, b"", None])
def test_a_database_that_is_damaged_empty_or_gone_loses_nothing(
    settings: Settings, damage: bytes | None
) -> None:
    save(settings, "a", "b")
    file = settings.data_dir / "runs.sqlite"
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    trouble = save(settings, "c")
    assert ids(settings) == ["a", "b", "c"]
    assert (trouble is not None) == bool(damage)
    assert not trouble or "adx-lab runs rebuild" in trouble
    store = RunStore(settings)
    store.restart()
    store.require()
    store.close()
    assert list_runs(settings).trouble == ()
    assert ids(settings) == ["a", "b", "c"]
    assert len(list(settings.data_dir.glob("runs.sqlite.damaged-*"))) == bool(damage)


def test_a_half_damaged_database_is_read_from_the_journal(settings: Settings) -> None:
    save(settings, *(f"r{number:03}" for number in range(60)))
    file = settings.data_dir / "runs.sqlite"
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    assert len(ids(settings)) == 60


def test_a_database_that_somebody_holds_costs_no_row(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adx_lab.store.engine._WAIT_S", 0.1)
    save(settings, "a")
    with sqlite3.connect(settings.data_dir / "runs.sqlite", isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        trouble = save(settings, "b")
        assert trouble is not None
        assert "locked" in trouble
        assert ids(settings) == ["a", "b"]
        holder.execute("ROLLBACK")
    holder.close()
    assert ids(settings) == ["a", "b"]
    assert list_runs(settings).trouble == ()


def test_a_store_of_before_the_journal_is_taken_over(settings: Settings) -> None:
    save(settings, "a", "b")
    journal = settings.data_dir / "store.jsonl"
    journal.unlink()
    save(settings, "c")
    (settings.data_dir / "runs.sqlite").unlink()
    assert ids(settings) == ["a", "b", "c"]


def test_what_a_killed_writer_left_of_a_line_hides_no_other(settings: Settings) -> None:
    save(settings, "a")
    with (settings.data_dir / "store.jsonl").open("ab") as journal:
        journal.write(b'{"table":"runs","key":{"run_')
    save(settings, "b")
    (settings.data_dir / "runs.sqlite").unlink()
    assert ids(settings) == ["a", "b"]


@pytest.mark.parametrize(
    "line",
    [
        '{"table":"runs","key":{"run_id":["x"]},"row":null}',
        '{"table":"runs","key":{},"row":{"run_id":"x"}}',
        '{"table":"runs","key":{"run_id":"x"},"row":{"run_id":"x","kind":"load"}}',
        '{"table":"runs","key":{"run_id":"x"},"row":{"run_id":"x","figures":{"a":1}}}',
        '{"table":"tables","key":{"run_id":"x"},"row":{"run_id":"x"}}',
        '{"table":5}',
        "5",
        "\x00\xff",
    ],
)
def test_a_line_that_is_no_row_keeps_no_other_out(settings: Settings, line: str) -> None:
    save(settings, "a")
    with (settings.data_dir / "store.jsonl").open("a", encoding="utf-8") as journal:
        journal.write(f"{line}\n")
    assert save(settings, "b") is None
    assert ids(settings) == ["a", "b"]
    (settings.data_dir / "runs.sqlite").write_bytes(b"damaged" * 999)
    assert ids(settings) == ["a", "b"]


def test_half_a_character_in_a_name_costs_no_row(settings: Settings) -> None:
    store = RunStore(settings)
    store.save(record("a"), status="pass", figures={"endpoint.GET /\ud800.p95_ms": 2.0})
    store.close()
    (row,) = list_runs(settings).rows
    assert row["figures"] == {"endpoint.GET /\ud800.p95_ms": 2.0}


def test_no_secret_gets_into_a_row(settings: Settings) -> None:
    remember("S3CRETrow")
    store = RunStore(settings)
    store.save(msgspec.structs.replace(record("a"), service="u:S3CRETrow@h"), status="pass", figures={})
    store.close()
    assert b"S3CRET" not in (settings.data_dir / "store.jsonl").read_bytes()


@pytest.mark.parametrize("figures", ["", "nope", "[]", '{"p95_ms":"much"}'])
def test_a_row_whose_figures_are_none_is_listed_without_them(settings: Settings, figures: str) -> None:
    save(settings, "a")
    list_runs(settings)
    with sqlite3.connect(settings.data_dir / "runs.sqlite") as database:
        database.execute("UPDATE runs SET figures = ?", (figures,))
    database.close()
    (row,) = list_runs(settings).rows
    assert row["figures"] == {}


def test_a_duets_row_names_both_sides_without_its_folder(settings: Settings) -> None:
    audit = DuetAudit(design={}, variants={}, blocks=[])
    duet = RunRecord("d", "duet", "mixed", "2026-01-01T00:00:00+00:00", 3.0, 1, audit, ("main", "."))
    store = RunStore(settings)
    store.save(duet, status="pass", figures={})
    store.close()
    save(settings, "l")
    assert {row["run_id"]: row["variants"] for row in list_runs(settings).rows} == {
        "d": ("main", "."),
        "l": (),
    }


def _save_many(home: str, name: str) -> None:
    for number in range(20):
        save(Settings(home=home), f"{name}{number:02}")


def test_several_processes_at_once_lose_no_row(settings: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    names = "abc"
    several = [context.Process(target=_save_many, args=(settings.home, name)) for name in names]
    for process in several:
        process.start()
    for process in several:
        process.join()
        assert process.exitcode == 0
    assert ids(settings) == [f"{name}{number:02}" for name in names for number in range(20)]
    assert list_runs(settings).trouble == ()


def test_a_teams_store_that_is_away_is_said_and_caught_up_with(settings: Settings, tmp_path: Path) -> None:
    away = override(settings, {"store.url": f"sqlite:///{tmp_path / 'share' / 'runs.sqlite'}"})
    assert "unable to open" in str(save(away, "a"))
    assert ids(away) == ["a"]
    (tmp_path / "share").mkdir()
    other = override(Settings(home=str(tmp_path / "other")), {"store.url": away.store_url})
    save(other, "b")
    assert save(away, "c") is None
    assert ids(other) == ids(away) == ["a", "b", "c"]


def test_a_url_that_is_no_databases_is_wrong_use(settings: Settings) -> None:
    for url in ("u:S3CRETpw@127.0.0.1:1/x", "bogus://u:S3CRETpw@127.0.0.1:1/x"):
        with pytest.raises(UsageError, match=r"store\.url is not a database URL") as refused:
            RunStore(override(settings, {"store.url": url}))
        assert "S3CRETpw" not in str(refused.value)


def test_a_folder_without_a_row_is_listed_and_a_misshapen_one_is_one_line(settings: Settings) -> None:
    for run_id, text in {
        "20260101T000000-aaaaaa": "{",
        "20260102T000000-bbbbbb": "[]",
        "20260103T000000-cccccc": json.dumps({"run_id": "x", "format": "new"}),
    }.items():
        (settings.runs_dir / run_id).mkdir(parents=True)
        (settings.runs_dir / run_id / "run.json").write_text(text)
    (settings.runs_dir / "zzz-notes").mkdir()
    listing = list_runs(settings)
    assert [row["kind"] for row in listing.rows] == ["damaged"] * 3
    assert len(listing.trouble) == 1
