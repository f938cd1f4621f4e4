"""Plans that nobody executed, compared: what got dearer, and why; on a database that is no stack's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from adx_lab.analysis.plans.captures.causes import Cause, read_cause
from adx_lab.analysis.plans.captures.compare import compare_matrices
from adx_lab.analysis.plans.captures.matrix import read_matrix
from adx_lab.capture.plans.foreign.anywhere import Asking, capture_anywhere
from tests.capture.plans.test_matrix import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Home

BY_ID, BY_NOTE = (
    "/* held.by_id */ select note from held where id = $1",
    "select count(*) from held where note = $1",
)


@pytest.fixture
async def held(postgres_url: str) -> AsyncIterator[str]:
    """A database with one table that is read by its index and whole."""
    await run(
        postgres_url,
        "drop database if exists plans_held with (force)",
        "drop role if exists plans_reader",
        "create role plans_reader",
        "create database plans_held",
    )
    url = postgres_url.replace("/postgres?", "/plans_held?")
    await run(
        url,
        "create extension if not exists pg_stat_statements",
        "create table held (id int, note text) with (autovacuum_enabled = false)",
        "insert into held select i, repeat('x', 200) || i from generate_series(1, 60000) i",
        "create index held_id on held (id)",
        "grant select on held to plans_reader",
        "vacuum analyze held",
    )
    connection = await asyncpg.connect(url)
    await connection.execute("set role plans_reader")
    await connection.fetch(BY_ID, 5)
    await connection.fetch(BY_NOTE, "y")
    await connection.close()
    yield url
    await run(postgres_url, "drop database if exists plans_held with (force)", "drop role plans_reader")


async def captured(url: str) -> dict[str, Any]:
    return await capture_anywhere(url, Asking(query="from held"))


def cause_of(base: dict[str, Any], head: dict[str, Any]) -> Cause:
    before, after = read_matrix(base), read_matrix(head)
    changes = [change for change in compare_matrices(before, after) if change.worse]
    assert changes
    cause = read_cause(before, after, changes[0])
    assert cause is not None
    return cause


@pytest.mark.parametrize(
    ("broken", "kind", "subject", "said"),
    [
        (["drop index held_id"], "index", "held_id", "is gone"),
        (
            ["update pg_index set indisvalid = false where indexrelid = 'held_id'::regclass"],
            *("index", "held_id", "no longer valid"),
        ),
        ([*["update held set id = id"] * 4, "analyze held"], "dead_rows", "held", "pages for 60,000 rows"),
        (
            [
                "alter table held alter id set statistics 0",
                "delete from pg_statistic where starelid = 'held'::regclass",
            ],
            *("statistics", "held", "id 0"),
        ),
        (
            ["alter database plans_held set random_page_cost = 1000000"],
            *("setting", "random_page_cost", "went from"),
        ),
    ],
)
async def test_a_dearer_plan_is_worse_and_has_its_cause(
    held: str, home: Home, tmp_path: Path, broken: list[str], kind: str, subject: str, said: str
) -> None:
    base = await captured(held)
    await run(held, *broken)
    head = await captured(held)
    cause = cause_of(base, head)
    assert (cause.kind, cause.subject) == (kind, subject)
    assert said in cause.words
    for name, document in (("base", base), ("head", head)):
        (tmp_path / name).write_text(json.dumps(document))
    compared = home.adx_lab("plans", "compare", str(tmp_path / "base"), str(tmp_path / "head"))
    assert compared.code == 1, compared.err
    assert "cost" in compared.out
    assert subject in compared.out
    again = home.adx_lab("plans", "compare", str(tmp_path / "head"), str(tmp_path / "head"))
    assert again.code == 0, again.out


async def test_a_statement_that_was_rewritten_is_known_by_its_name(held: str) -> None:
    base = await captured(held)
    connection = await asyncpg.connect(held)
    await connection.fetch("/* held.by_id */ select note from held where id + 0 = $1", 5)
    await connection.close()
    head = await captured(held)
    cause = cause_of(base, head)
    assert cause.kind == "query"
    assert "was rewritten" in cause.words


async def test_a_setting_of_the_role_that_asks_is_named(held: str) -> None:
    base = await captured(held)
    await run(held, "alter role plans_reader set random_page_cost = 1000000")
    cause = cause_of(base, await captured(held))
    assert cause.kind == "setting"
    assert "random_page_cost" in cause.words
