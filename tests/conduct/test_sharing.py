"""A team's verbs: what one home stored is listed, shown, judged and deleted from another."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import numpy as np
import pytest

from adx_lab.conduct import stored
from adx_lab.conduct.checks import all_checks
from adx_lab.conduct.nights import pages
from adx_lab.conduct.nights.night import unfinished
from adx_lab.conduct.nights.usual import usual_nights
from adx_lab.conduct.run import recorded
from adx_lab.conduct.sharing import push
from adx_lab.errors import UsageError
from adx_lab.progress import Silent
from adx_lab.report.notebooks.opened import open_judgement
from adx_lab.settings import Settings, override, read_settings
from adx_lab.store.folders import run_ids
from adx_lab.store.rows import RunStore, list_runs
from adx_lab.store.shared import AwayError, find_run, owe
from adx_lab.workbench.lab import Lab
from tests.conduct.known_duet import known_duet
from tests.conduct.test_stored import BASE, OLD, YOUNG, make_run
from tests.conftest import Home, make_home
from tests.promises.stored_duet import store_duet

SECRET = "S3CRETbucket"


@pytest.fixture
def share(tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    folder.mkdir()
    return folder


@pytest.fixture
def environ(share: Path) -> dict[str, str]:
    return {"ADX_LAB_STORE_RUNS_URL": share.as_uri()}


@pytest.fixture
def generator(home: Home, share: Path) -> Settings:
    """A home that has put up two runs; one is of its baseline's commit."""
    made = override(Settings(home=str(home.path)), {"store.runs_url": share.as_uri()})
    for run_id, commit in ((OLD, "old"), (BASE, "base")):
        make_run(made, run_id, commit)
    (made.data_dir / "baseline.json").write_text(json.dumps({"ref": "x", "commit": "base", "set_at": ""}))
    asyncio.run(push(made, run_ids(made.runs_dir)))
    return made


@pytest.fixture
def laptop(tmp_path: Path, share: Path) -> Settings:
    home = make_home(tmp_path / "laptop")
    return override(Settings(home=str(home.path)), {"store.runs_url": share.as_uri()})


def test_the_verbs_find_what_is_only_in_the_teams_store(
    generator: Settings, laptop: Settings, environ: dict[str, str]
) -> None:
    home = Home(laptop.home_dir)
    listed = home.adx_lab("runs", "list", "--json", environ=environ)
    assert [row["run_id"] for row in listed.json()] == [OLD, BASE]
    assert listed.error_lines == [
        "adx-lab: 2 runs have no row in the run store; adx-lab runs rebuild makes it"
    ]
    assert run_ids(laptop.runs_dir) == []
    shown = home.adx_lab("runs", "show", environ=environ)
    assert (shown.code, BASE in shown.out) == (0, True), shown.err
    assert run_ids(laptop.runs_dir) == [BASE]


def test_notebooks_python_and_nights_find_it_too(
    generator: Settings, laptop: Settings, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert open_judgement(home=laptop.home).record.run_id == BASE
    with Lab(home=laptop.home) as lab:
        assert lab.run(OLD[:10]).judgement.record.run_id == OLD
        shutil.rmtree(laptop.runs_dir)
        assert lab.runs().frame["run_id"].tolist() == [OLD, BASE]
    make_run(laptop, YOUNG, "young")
    store = RunStore(laptop)
    store.save(find_run(generator, OLD).record, status="pass", figures={"p95_ms": 1.0})
    store.close()
    (usual,) = usual_nights(laptop, find_run(laptop, YOUNG))
    assert (usual.record.run_id, run_ids(laptop.runs_dir)) == (OLD, [OLD, YOUNG])


def test_what_its_home_said_of_a_run_stands(generator: Settings, laptop: Settings) -> None:
    def kept(run_id: str, status: str) -> str:
        recorded.keep_row(laptop, recorded.judge(laptop, find_run(laptop, run_id)), status=status)
        (row,) = (row for row in list_runs(laptop).rows if row["run_id"] == run_id)
        return str(row["status"])

    assert kept(OLD, "undecided") == "undecided"  # nobody else has said anything
    store = RunStore(laptop)
    store.save(find_run(generator, BASE).record, status="pass", figures={})
    store.close()
    assert kept(BASE, "regressed") == "pass"
    make_run(laptop, YOUNG, "young")
    assert [kept(YOUNG, said) for said in ("pass", "regressed")] == ["pass", "regressed"]


def test_two_who_open_the_same_run_at_once_get_it_whole(
    generator: Settings, laptop: Settings, environ: dict[str, str]
) -> None:
    home = Home(laptop.home_dir)
    words = home.command("runs", "show", OLD, "--json")
    both = [
        subprocess.Popen(words, env=home.environ() | environ, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, json.loads(out)["run_id"]) == (0, OLD)
    assert [path.name for path in laptop.runs_dir.iterdir()] == [OLD]


def test_an_index_is_made_from_the_teams_store(generator: Settings, laptop: Settings) -> None:
    find_run(laptop, OLD)
    assert stored.rebuild(laptop, Silent()) == [OLD, BASE]
    assert run_ids(laptop.runs_dir) == [OLD]  # the other one was only looked at
    assert [row["run_id"] for row in list_runs(laptop).rows] == [OLD, BASE]
    stored.delete(generator, OLD)
    other = override(laptop, {"store.url": f"sqlite:///{laptop.data_dir / 'anew.sqlite'}"})
    (laptop.data_dir / "store.jsonl").unlink()
    assert stored.rebuild(other, Silent()) == [BASE]  # and no row for the copy of what was deleted


def test_a_whole_id_deletes_there_and_never_a_baselines(
    generator: Settings, laptop: Settings, share: Path
) -> None:
    with pytest.raises(UsageError, match="baseline's commit base"):
        stored.delete(laptop, BASE)
    with pytest.raises(UsageError, match="whole id"):
        stored.delete(laptop, OLD[:12])
    stored.delete(laptop, OLD)
    assert run_ids(share) == [BASE]
    stored.delete(generator, OLD)  # its own is here still
    assert run_ids(generator.runs_dir) == [BASE]


def test_old_ones_of_others_stay_there(generator: Settings, laptop: Settings, share: Path) -> None:
    stored.rebuild(laptop, Silent())
    find_run(laptop, OLD)
    assert stored.delete_old(laptop, older_than_days=None, keep=0) == [OLD]
    assert run_ids(laptop.runs_dir) == []
    assert run_ids(share) == [OLD, BASE]
    assert [row["run_id"] for row in list_runs(laptop).rows] == [OLD, BASE]
    assert stored.delete_old(generator, older_than_days=None, keep=0) == [OLD]
    assert run_ids(share) == [BASE]


def test_nothing_is_deleted_while_the_store_is_away(generator: Settings, share: Path) -> None:
    share.rename(share.with_name("elsewhere"))
    with pytest.raises(AwayError):
        stored.delete(generator, OLD)
    with pytest.raises(AwayError):
        stored.delete_old(generator, older_than_days=None, keep=0)
    assert run_ids(generator.runs_dir) == [OLD, BASE]


def test_a_nights_report_brings_down_what_was_measured_beside_it(
    generator: Settings, laptop: Settings
) -> None:
    night = f"{datetime.now(UTC):%Y%m%d}T000000-aaaaaa"  # before the duet, which is of now
    make_run(generator, night, "base", purpose="nightly")
    duet = store_duet(generator, known_duet(np.random.default_rng(5)), night=night)
    asyncio.run(push(generator, run_ids(generator.runs_dir)))
    run = find_run(laptop, night)
    assert run_ids(laptop.runs_dir) == [night]
    with pytest.raises(UsageError, match="no night to go on with"):
        unfinished(laptop)  # it is another home's
    assert [other.record.run_id for other in pages.of_the_night(laptop, run)] == [duet]


def test_push_says_what_it_does(home: Home, share: Path, environ: dict[str, str]) -> None:
    settings = override(Settings(home=str(home.path)), {"store.runs_url": share.as_uri()})
    for run_id in (OLD, YOUNG):
        make_run(settings, run_id, "x")
    owe(settings, settings.runs_dir / YOUNG)
    done = home.adx_lab("runs", "push", environ=environ)
    assert done.out.splitlines() == [f"put up {YOUNG}", f"put 1 run into {share.as_uri()}"], done.err
    assert home.adx_lab("runs", "push", "--all", environ=environ).code == 0
    assert run_ids(share) == [OLD, YOUNG]
    nowhere = home.adx_lab("runs", "push")
    assert (nowhere.code, len(nowhere.error_lines)) == (2, 1)


@pytest.mark.parametrize(
    "url",
    [
        "memory:///", "data/runs", "file://", "file:///", "file://host/share", "s3://", "ftp://h/x", "s3://[",
        f"s3://key:{SECRET}@bucket/x", f"s3://bucket/x?secret={SECRET}", f"https://{SECRET}@h/x",
    ],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_before_anything_is_measured(home: Home, url: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_settings({"ADX_LAB_HOME": str(home.path), "ADX_LAB_STORE_RUNS_URL": url})
    assert str(refused.value).startswith("store.runs_url in the environment is ")
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_a_bucket_that_is_away_is_one_line_without_its_key(home: Home) -> None:
    environ = {
        "ADX_LAB_STORE_RUNS_URL": "s3://bucket/prefix",
        "AWS_ACCESS_KEY_ID": f"{SECRET}id",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT": "http://127.0.0.1:1",
    }
    settings = override(Settings(home=str(home.path)), {"store.runs_url": "s3://bucket/prefix"})
    make_run(settings, OLD, "x")
    owe(settings, settings.runs_dir / OLD)
    listed = home.adx_lab("runs", "list", "--debug", environ=environ)
    assert (listed.code, OLD in listed.out) == (0, True)
    assert "the runs' store s3://bucket/prefix can't be used" in listed.err
    pushed = home.adx_lab("runs", "push", "--debug", environ=environ)
    assert (pushed.code, len(pushed.error_lines)) == (4, 1)
    assert SECRET not in listed.err + pushed.err + pushed.out


def test_a_night_looks_at_the_store_before_it_measures(generator: Settings, share: Path) -> None:
    def found() -> tuple[bool, bool, str]:
        (check,) = (check for check in all_checks(generator) if check.name == "team's store")
        return check.ok, check.needed, check.found

    assert found()[::2] == (True, f"{share.as_uri()} takes what is stored")
    share.rename(share.with_name("elsewhere"))
    ok, needed, words = found()
    assert (ok, needed) == (False, False)
    assert share.as_uri() in words
    without = override(generator, {"store.runs_url": None})
    assert "team's store" not in [check.name for check in all_checks(without)]


@pytest.fixture
def rows_url(postgres_url: str) -> Iterator[str]:
    async def make(statement: str) -> None:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(make("CREATE DATABASE team"))
    yield postgres_url.replace("/postgres?", "/team?")
    asyncio.run(make("DROP DATABASE team WITH (FORCE)"))


def test_rows_in_postgresql_are_everybodys_index(
    generator: Settings, laptop: Settings, rows_url: str
) -> None:
    generator, laptop = (override(one, {"store.url": rows_url}) for one in (generator, laptop))
    store = RunStore(generator)
    for run_id in (OLD, BASE):
        store.save(find_run(generator, run_id).record, status="pass", figures={"p95_ms": 1.0})
    store.close()
    listing = list_runs(laptop, everywhere=True)
    assert listing.trouble == ()
    assert [(row["run_id"], row["status"]) for row in listing.rows] == [(OLD, "pass"), (BASE, "pass")]
    assert find_run(laptop, "latest").record.run_id == BASE
    stored.delete(laptop, OLD)
    assert [row["run_id"] for row in list_runs(laptop, everywhere=True).rows] == [BASE]


@pytest.mark.acceptance
def test_a_load_is_put_up_and_stays_where_that_fails(
    stack_home: Home, share: Path, environ: dict[str, str]
) -> None:
    words = ("load", "mixed", "--duration", "2", "--warmup", "0", "--rate", "50", "--json")
    done = stack_home.adx_lab(*words, environ=environ)
    run_id = done.json()["run_id"]
    assert f"put up: {run_id}" in done.err
    assert run_ids(share) == [run_id]
    share.rename(share.with_name("elsewhere"))
    done = stack_home.adx_lab(*words, environ=environ)
    assert "1 stored run could not be put up" in done.err
    assert done.json()["run_id"] in run_ids(stack_home.data / "runs")
