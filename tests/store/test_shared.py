"""A team's store on a share that several homes have: what is put there is found whole, or not at all."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adx_lab.conduct.sharing import push, put_up
from adx_lab.errors import StoreError, UsageError
from adx_lab.records.run import LoadAudit, Origin, RunRecord
from adx_lab.settings import Settings, override
from adx_lab.store.folders import new_run_folder, run_ids, write_plans, write_record
from adx_lab.store.pruning import prune
from adx_lab.store.rows import list_runs
from adx_lab.store.shared import AwayError, find_run, is_copy, owe, owed, remove_run

FIRST, SECOND, THIRD = "20260901T000000-aaaaaa", "20260902T000000-bbbbbb", "20260903T000000-cccccc"
NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Told:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, text: str) -> None:
        self.lines.append(text)

    def advance(self, label: str, done: float, total: float, unit: str) -> None:
        """Say nothing."""


def make_run(settings: Settings, run_id: str) -> Path:
    """Store a run as a conductor does."""
    day = f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}T00:00:00+00:00"
    with new_run_folder(settings.runs_dir, run_id) as folder:
        owe(settings, folder)
        (folder / "samples.parquet").write_bytes(run_id.encode() * 1000)
        write_plans(folder, {"plans": [run_id]})
        audit = LoadAudit(began=0.0, duration_s=1.0, requests=0)
        record = RunRecord(run_id, "load", "mixed", day, 1.0, 1, audit, git=Origin(commit=run_id[-6:]))
        write_record(folder, record)
    return settings.runs_dir / run_id


@pytest.fixture
def share(tmp_path: Path) -> Path:
    folder = tmp_path / "a share"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def homes(tmp_path: Path, share: Path) -> tuple[Settings, Settings]:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(override(Settings(home=str(tmp_path / name)), {"store.runs_url": share.as_uri()}))
    return made[0], made[1]


def send(settings: Settings) -> list[str]:
    told = Told()
    asyncio.run(put_up(settings, told))
    return told.lines


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def modes(folder: Path) -> tuple[int, set[int]]:
    return stat.S_IMODE(folder.stat().st_mode), {
        stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()
    }


def test_what_one_home_stores_another_opens(homes: tuple[Settings, Settings], share: Path) -> None:
    one, two = homes
    made = make_run(one, FIRST)
    assert owed(one) == [FIRST]
    assert send(one) == [f"put up: {FIRST}"]
    assert (owed(one), send(one)) == ([], [])
    for said in (FIRST, FIRST[:11], "latest"):
        brought = find_run(two, said)
        assert brought.folder == two.runs_dir / FIRST
        assert files(brought.folder) == files(made) == files(share / FIRST)
        assert (is_copy(brought.folder), is_copy(made)) == (True, False)
        assert modes(brought.folder) == (0o700, {0o600})
        shutil.rmtree(brought.folder)
    with pytest.raises(UsageError, match=f"no run 1999 in .* or {share.as_uri()}"):
        find_run(two, "1999")


def test_the_latest_is_the_teams_latest_of_its_kind(homes: tuple[Settings, Settings]) -> None:
    one, two = homes
    make_run(one, FIRST)
    make_run(two, SECOND)
    send(one)
    assert find_run(two, "latest").record.run_id == SECOND
    assert run_ids(two.runs_dir) == [SECOND]  # an older one is not brought down for it
    send(two)
    assert find_run(one, "latest", "load").record.run_id == SECOND
    with pytest.raises(UsageError, match="there is no duet"):
        find_run(one, "latest", "duet")


def test_half_a_run_is_nobodys_and_is_taken_up_again(homes: tuple[Settings, Settings], share: Path) -> None:
    one, two = homes
    make_run(one, FIRST)
    (share / FIRST / "samples.parquet").mkdir(parents=True)  # what stops an upload half-way
    (said,) = send(one)
    assert said.startswith(
        f"1 stored run could not be put up: the runs' store {share.as_uri()} can't be used"
    )
    assert (share / FIRST / "plans.json").is_file()
    assert not (share / FIRST / "run.json").exists()
    assert owed(one) == [FIRST]
    with pytest.raises(StoreError, match="is not whole"):
        find_run(two, FIRST)
    with pytest.raises(UsageError):
        find_run(two, "latest")
    assert list_runs(two, everywhere=True).rows == ()
    assert run_ids(two.runs_dir) == []
    there = (share / FIRST / "plans.json").stat().st_ino
    (share / FIRST / "samples.parquet#1").write_bytes(b"half")  # what a killed one leaves
    (share / FIRST / "samples.parquet").rmdir()
    make_run(one, SECOND)
    assert send(one) == [f"put up: {FIRST}, {SECOND}"]
    assert files(find_run(two, FIRST).folder) == files(share / FIRST) == files(one.runs_dir / FIRST)
    assert (share / FIRST / "plans.json").stat().st_ino == there  # what was there is not sent again


def test_a_store_that_is_away_costs_nothing_that_was_stored(
    homes: tuple[Settings, Settings], share: Path
) -> None:
    one, two = homes
    share.rmdir()  # not mounted
    make_run(one, FIRST)
    (said,) = send(one)
    assert "No such file or directory" in said
    assert said.endswith("adx-lab runs push")
    assert find_run(one, FIRST).record.run_id == FIRST  # what is here asks nobody
    for asked in (SECOND, "latest"):
        with pytest.raises(AwayError):
            find_run(one, asked)
    waiting, away = list_runs(one, everywhere=True).trouble[:2]
    assert waiting == "1 of the runs here are not in the team's store yet; adx-lab runs push"
    assert "can't be used" in away
    assert not share.exists()  # nothing was made in its place
    share.mkdir()
    assert send(one) == [f"put up: {FIRST}"]
    assert find_run(two, "latest").record.run_id == FIRST


def test_a_later_file_of_a_run_goes_up_too(homes: tuple[Settings, Settings], share: Path) -> None:
    one, _ = homes
    made = make_run(one, FIRST)
    send(one)
    (made / "unplayed.json").write_text("{}")
    owe(one, made)
    assert send(one) == [f"put up: {FIRST}"]
    assert files(share / FIRST) == files(made)


def test_runs_from_before_there_was_a_store_wait_for_somebody_to_say_so(
    homes: tuple[Settings, Settings], share: Path
) -> None:
    one, _ = homes
    make_run(override(one, {"store.runs_url": None}), FIRST)
    assert (owed(one), send(one)) == ([], [])
    assert asyncio.run(push(one, [FIRST])) == [FIRST]
    assert files(share / FIRST) == files(one.runs_dir / FIRST)


@pytest.mark.parametrize(
    ("rights", "folder", "file"),
    [(0o700, 0o700, 0o600), (0o2770, 0o2770, 0o640), (0o755, 0o750, 0o640)],
)
def test_a_share_gives_its_group_what_its_folder_gives_and_others_nothing(
    homes: tuple[Settings, Settings], share: Path, rights: int, folder: int, file: int
) -> None:
    one, _ = homes
    share.chmod(rights)
    make_run(one, FIRST)
    before = os.umask(0o077)
    try:
        send(one)
    finally:
        os.umask(before)
    assert modes(share / FIRST) == (folder, {file})
    assert modes(share / "baselines") == (folder, {file})


def test_names_that_lead_elsewhere_are_no_files_of_a_run(
    homes: tuple[Settings, Settings], share: Path
) -> None:
    one, two = homes
    make_run(one, FIRST)
    send(one)
    (share / FIRST / "sub").mkdir()
    for name in ("sub/x.json", ".owed", ".hidden"):
        (share / FIRST / name).write_text("")
    (share / "notes").mkdir()
    (share / "notes" / "run.json").write_text("{}")
    assert find_run(two, "latest").record.run_id == FIRST
    assert files(two.runs_dir / FIRST) == files(one.runs_dir / FIRST)
    assert owed(two) == []


def test_old_runs_go_where_this_home_has_put_them(homes: tuple[Settings, Settings], share: Path) -> None:
    one, two = homes
    make_run(one, FIRST)
    make_run(two, SECOND)
    send(one)
    send(two)
    find_run(two, FIRST)
    make_run(two, THIRD)  # owed: it is nowhere else
    make_run(two, "20261123T000000-dddddd")
    removed = prune(two, baseline_commit=None, keep=frozenset(), now=NOW)
    assert removed == [FIRST, SECOND]
    assert run_ids(two.runs_dir) == [THIRD, "20261123T000000-dddddd"]
    assert run_ids(share) == [FIRST]


def test_another_homes_baseline_keeps_its_runs(homes: tuple[Settings, Settings], share: Path) -> None:
    one, two = homes
    make_run(two, SECOND)
    send(two)
    one.data_dir.mkdir(exist_ok=True)
    (one.data_dir / "baseline.json").write_text(f'{{"ref": "x", "commit": "{SECOND[-6:]}", "set_at": ""}}')
    make_run(one, FIRST)
    send(one)
    assert prune(two, baseline_commit=None, keep=frozenset(), now=NOW) == []
    assert run_ids(share) == [FIRST, SECOND]
    for path in (share / "baselines").iterdir():  # a home that is heard of no more
        os.utime(path, (0, 0))
    make_run(two, "20261123T000000-dddddd")
    assert prune(two, baseline_commit=None, keep=frozenset(), now=NOW) == [SECOND]


def test_a_run_is_removed_with_what_a_killed_upload_left(
    homes: tuple[Settings, Settings], share: Path
) -> None:
    one, _ = homes
    make_run(one, FIRST)
    send(one)
    (share / FIRST / "samples.parquet#1").write_bytes(b"half")
    remove_run(one, FIRST, everywhere=True)
    assert (run_ids(one.runs_dir), run_ids(share)) == ([], [])
    assert not (share / FIRST).exists()
    remove_run(one, FIRST, everywhere=True)  # removing what isn't there is no fault
