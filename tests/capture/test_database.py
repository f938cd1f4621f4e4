from __future__ import annotations

import re

import pytest

from adx_lab.capture.database.statements import (
    connected,
    describe_database,
    is_asked,
    read_statements,
    statement_rows,
)
from adx_lab.errors import StackError
from adx_lab.sql import Query


async def test_the_difference_names_what_ran(postgres_url: str) -> None:
    sql = "SELECT relname FROM pg_class WHERE oid = $1 AND relkind = 'r'"
    named = {"tables.get": Query("tables.get", "", f"-- a comment\n{sql}", (("oid", "$int"),), writes=False)}
    async with connected(postgres_url) as connection:
        before = await read_statements(connection)
        for _ in range(3):
            await connection.fetch(sql, 1259)
        after = await read_statements(connection)
        rows = statement_rows(before, after, named)
        assert [(row["query"], row["calls"]) for row in rows if row["query"]] == [("tables.get", 3)]
        assert all(row["calls"] > 0 for row in rows)
        described = await describe_database(connection)
        assert described["version"].startswith("PostgreSQL 17")
        assert described["settings"]["shared_buffers"] == "327688kB"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM pg_stats WHERE correlation >= 0.99 OR null_frac < 1e-3 OR null_frac = .5",
        "SELECT oid FROM pg_class WHERE relpages > -1 AND relpages-2 < 3 AND reltuples IS NOT NULL",
        "SELECT coalesce(reltoastrelid, NULL), true AS yes FROM pg_class WHERE relhasindex = false",
        "SELECT a.x1 FROM (VALUES (1, 'it''s'), (2, E'\\n')) AS a (x1, x2) JOIN pg_class ON true",
    ],
)
async def test_a_statement_is_known_whatever_its_constants_are(postgres_url: str, sql: str) -> None:
    async with connected(postgres_url) as connection:
        before = await read_statements(connection)
        await connection.fetch(sql)
        after = await read_statements(connection)
        rows = statement_rows(before, after, {"mine": Query("mine", "", sql, (), writes=False)})
    assert [row["calls"] for row in rows if row["query"] == "mine"] == [1], [row["text"] for row in rows]


async def test_a_database_without_statistics_is_one_error(postgres_url: str) -> None:
    async with connected(postgres_url) as connection:
        await connection.execute("CREATE DATABASE bare TEMPLATE template0")
    async with connected(postgres_url.replace("/postgres?", "/bare?")) as connection:
        with pytest.raises(StackError, match="pg_stat_statements can't be read"):
            await read_statements(connection)


async def test_nobody_at_the_url_is_one_error() -> None:
    with pytest.raises(StackError, match="can't be reached for capture"):
        async with connected("postgresql://127.0.0.1:1/x"):
            pass


def test_what_the_lab_asks_is_no_asking_of_the_service() -> None:
    settings = (
        "SELECT name, setting, unit, source FROM pg_settings WHERE source NOT IN ($1, $2, $3) ORDER BY name"
    )
    assert not is_asked(settings)
    assert not is_asked("SELECT version()")
    assert not is_asked("BEGIN")
    assert is_asked("SELECT name FROM settings WHERE source = $1")


async def test_a_role_that_may_see_nothing_is_one_error(postgres_url: str) -> None:
    async with connected(postgres_url) as connection:
        await connection.execute("CREATE ROLE blind LOGIN; SELECT 17 AS asked")
        try:
            blind = re.sub("//[^@]*@", "//blind@", postgres_url)
            async with connected(blind) as seen:
                with pytest.raises(StackError, match="GRANT pg_read_all_stats"):
                    await read_statements(seen)
                await connection.execute("GRANT pg_read_all_stats TO blind")
                assert any(
                    "SELECT $1 AS asked" in row["text"] for row in (await read_statements(seen)).values()
                )
        finally:
            await connection.execute("DROP ROLE blind")


async def test_a_wrong_password_is_one_error_that_does_not_quote_it(postgres_url: str) -> None:
    url = re.sub("//[^@]*@", "//nobody:sesame-7@", postgres_url)
    with pytest.raises(StackError, match="can't be reached for capture") as told:
        async with connected(url):
            pass
    assert "sesame-7" not in str(told.value)
