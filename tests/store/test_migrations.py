"""Stores of every age, in SQLite and in PostgreSQL: brought to this lab's version, or refused in one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from adx_lab.errors import StoreError, UsageError
from adx_lab.settings import Settings, override
from adx_lab.store import migrations
from adx_lab.store.engine import _with_driver
from adx_lab.store.migrations import LATEST, VERSION_TABLE
from adx_lab.store.rows import RunStore, list_runs
from adx_lab.store.tables import METADATA, RUNS
from tests.store.test_rows import ids, save

YOUNGER = ("variants", "environment", "service")
"""Columns of a run's row that the first stores lack."""

OLD = {"kind": "load", "scenario": "mixed", "started_at": "2026", "duration_s": 1.0, "figures": "{}"}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.stack)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A home with an empty database of its own for its store."""
    here = Settings(home=str(tmp_path))
    if request.param == "sqlite":
        here.data_dir.mkdir()
        return here
    server = _with_driver(request.getfixturevalue("postgres_url"))
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE IF EXISTS store_versions WITH (FORCE)")
        connection.exec_driver_sql("CREATE DATABASE store_versions")
    engine.dispose()
    url = server.set(database="store_versions").render_as_string(hide_password=False)
    return override(here, {"store.url": url})


@pytest.fixture
def engine(settings: Settings) -> Iterator[sa.Engine]:
    """A way past the store to its database."""
    engine = sa.create_engine(_with_driver(settings.store_url), poolclass=sa.NullPool)
    yield engine
    engine.dispose()


def make_old(engine: sa.Engine, *, lacking: int) -> None:
    """Make what a lab left that had no revisions: with a run, and without so many of the later columns."""
    METADATA.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(RUNS).values(run_id="old", **OLD))
        for name in YOUNGER[:lacking]:
            connection.exec_driver_sql(f"ALTER TABLE runs DROP COLUMN {name}")


def tell(engine: sa.Engine, version: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '{version}'")


def versions(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(migrations._VERSION).scalars())


def test_the_revisions_are_one_line_and_the_last_is_known_without_alembic() -> None:
    config = Config()
    config.set_main_option("script_location", "adx_lab.store:migrations")
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert found[::-1] == migrations._REVISIONS


def test_the_revisions_make_the_tables_that_the_store_uses(settings: Settings, engine: sa.Engine) -> None:
    assert save(settings, "a") is None
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, METADATA) == []
    assert versions(engine) == [LATEST]


@pytest.mark.parametrize("lacking", [0, 1, 3])
def test_a_store_of_before_there_were_revisions_is_taken_over(
    settings: Settings, engine: sa.Engine, lacking: int
) -> None:
    make_old(engine, lacking=lacking)
    assert save(settings, "new") is None
    store = RunStore(settings)
    assert [(row["run_id"], row["service"]) for row in store.list()] == [
        ("new", "adx-core"),
        ("old", "adx-core"),
    ]
    assert store.trouble is None
    store.close()
    assert versions(engine) == [LATEST]


def test_a_store_of_a_newer_lab_is_refused_and_what_is_kept_meanwhile_comes_later(
    settings: Settings, engine: sa.Engine
) -> None:
    save(settings, "a")
    tell(engine, "9999")
    trouble = save(settings, "b")
    assert trouble is not None
    assert "at version 9999" in trouble
    store = RunStore(settings)
    for refused in (store.list, store.require, store.restart):
        with pytest.raises(UsageError, match=f"a newer ADX Lab made the run store.* newer than {LATEST}"):
            refused()
    store.close()
    assert not list(settings.data_dir.glob("*.damaged-*"))
    tell(engine, LATEST)
    assert ids(settings) == ["a", "b"]


def test_several_that_open_a_fresh_store_at_once_wait_for_one_another(
    settings: Settings, engine: sa.Engine
) -> None:
    with ThreadPoolExecutor(4) as pool:
        several = [pool.submit(save, settings, name) for name in "abcd"]
    assert [one.result() for one in several] == [None] * 4
    assert ids(settings) == list("abcd")
    assert versions(engine) == [LATEST]


def test_a_revision_that_fails_leaves_nothing(settings: Settings, engine: sa.Engine) -> None:
    sqlite = engine.dialect.name == "sqlite"
    # The first revision has made two tables when it finds the name taken.
    blocks = "TABLE ix_trials_machine (x int)" if sqlite else "TYPE rule_costs AS ENUM ('x')"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE {blocks}")
    before = set(sa.inspect(engine).get_table_names())
    assert "exist" in str(save(settings, "a")) or sqlite
    store = RunStore(settings)
    with pytest.raises(StoreError):
        store.require()
    store.close()
    assert set(sa.inspect(engine).get_table_names()) == before
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP {' '.join(blocks.split()[:2])}")
    assert ids(settings) == ["a"]
    assert list_runs(settings).trouble == ()


def test_a_store_whose_table_was_dropped_is_rebuilt(tmp_path: Path) -> None:
    home = Settings(home=str(tmp_path))
    save(home, "a")
    engine = sa.create_engine(home.store_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE runs")
    engine.dispose()
    store = RunStore(home)
    store.restart()
    store.close()
    assert ids(home) == ["a"]
    assert list_runs(home).trouble == ()


def test_a_store_that_is_up_to_date_is_read_without_alembic(tmp_path: Path) -> None:
    save(Settings(home=str(tmp_path)), "a")
    code = (
        "import sys; from adx_lab.settings import Settings; from adx_lab.store.rows import list_runs\n"
        f"assert len(list_runs(Settings(home={str(tmp_path)!r})).rows) == 1\n"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
