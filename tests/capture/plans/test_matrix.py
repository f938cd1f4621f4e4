"""The matrix of plans and the causes of their changes, on clones of the core's real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from adx_lab.analysis.plans.captures.causes import Cause, name_cause, plan_trials
from adx_lab.analysis.plans.captures.compare import PlanChange, compare_matrices
from adx_lab.analysis.plans.captures.flips import find_flips, find_ties
from adx_lab.analysis.plans.captures.growth import CheckedForecast, check_forecasts
from adx_lab.analysis.plans.captures.matrix import Matrix, read_matrix
from adx_lab.capture.plans.experiments.causes import Statement, try_changes
from adx_lab.capture.plans.experiments.growth import grow_tenant
from adx_lab.capture.plans.matrix import capture_matrix, capture_resampled
from adx_lab.errors import MeasurementError, UsageError
from adx_lab.sql import load_queries

QUERIES = Path(__file__).parents[3] / "adx_lab" / "core" / "queries"
Clone = Callable[[], Any]


@pytest.fixture
def clone(postgres_url: str, stack_state: dict[str, Any]) -> Clone:
    """Make a fresh clone of the data set for the length of a block, and give its URL."""

    @asynccontextmanager
    async def made() -> AsyncIterator[str]:
        admin = await asyncpg.connect(postgres_url)
        await admin.execute("drop database if exists plans_clone with (force)")
        await admin.execute(f"create database plans_clone template {stack_state['template']}")
        try:
            yield postgres_url.replace("/postgres?", "/plans_clone?")
        finally:
            await admin.execute("drop database if exists plans_clone with (force)")
            await admin.close()

    return made


async def run(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def matrix_of(url: str, *only: str) -> Matrix:
    return read_matrix(await capture_matrix(url, QUERIES, only=only or None))


async def cause_of(url: str, base: Matrix, head: Matrix, change: PlanChange) -> Cause:
    cell = head.cells[change.key]
    text = head.queries[change.query]["text"]
    statement = Statement(text, tuple(cell.arguments.values()), change.mode)
    trials = [trial.plain() for trial in plan_trials(base, head, change)]
    return name_cause(base, head, change, await try_changes(url, statement, trials))


def worst(changes: tuple[PlanChange, ...], query: str) -> PlanChange:
    return next(change for change in changes if change.query == query and change.worse)


async def test_the_matrix_is_whole_and_writes_nothing(clone: Clone) -> None:
    async with clone() as url:
        connection = await asyncpg.connect(url)
        rows = [await connection.fetchval(f"select count(*) from {table}") for table in ("users", "events")]
        document = await capture_matrix(url, QUERIES)
        written = await capture_matrix(url, QUERIES, execute_writes=True)
        assert rows == [await connection.fetchval(f"select count(*) from {t}") for t in ("users", "events")]
        await connection.close()
    matrix = read_matrix(document)
    assert document["faults"] == []
    assert len(matrix.cells) == len(load_queries(QUERIES)) * 4 * 2
    assert {tenant for _, tenant, _ in matrix.cells} == {"whale", "median", "small", "absent"}
    for cell in matrix.cells.values():
        assert cell.analysis.certificate.holds or not cell.analysis.timed, cell.key
    assert not any(item["error"] for item in document["plans"])
    failed = [item for item in written["plans"] if item["error"]]
    assert {item["tenant"] for item in failed} <= {"absent"}, failed[0]


async def test_the_unchanged_database_shows_no_change(clone: Clone) -> None:
    async with clone() as url:
        base = await matrix_of(url)
        for _ in range(9):  # ten captures in all
            assert compare_matrices(base, await matrix_of(url)) == ()


async def test_flips_and_ties_are_named(clone: Clone) -> None:
    async with clone() as url:
        matrix = await matrix_of(url)
    flips = find_flips(matrix)
    assert flips
    assert all(flip.custom.analysis.shape != flip.generic.analysis.shape for flip in flips)
    assert flips[0].pages_more >= flips[-1].pages_more
    assert "pages" in flips[0].words
    assert all(tie.shape not in tie.others for tie in find_ties(matrix))


async def test_what_analysing_again_turns_over_is_a_tie(clone: Clone) -> None:
    chosen = ["auth.access", "workflows.count_users", "users.list.page"]
    async with clone() as url:
        matrix = read_matrix(await capture_resampled(url, QUERIES, rounds=2, only=chosen))
        for cell in matrix.cells.values():
            assert cell.analysis.timed, "the first capture is a whole one, analysed again or not"
        # The planner believes that there are no users, until the clone is analysed.
        await run(
            url,
            "delete from pg_statistic where starelid = 'users'::regclass",
            "update pg_class set reltuples = 1, relpages = 1 where oid = 'users'::regclass",
        )
        once = await matrix_of(url, *chosen)
        fresh = read_matrix(await capture_resampled(url, QUERIES, rounds=1, only=chosen))
    costs = {(tie.query, tie.tenant, tie.mode): set(tie.others) for tie in find_ties(once)}
    found = [
        tie
        for tie in find_ties(fresh)
        if set(tie.others) - costs.get((tie.query, tie.tenant, tie.mode), set())
    ]
    assert found, "a plan that ANALYZE turned over is told"
    for tie in found:
        assert matrix.cells[tie.query, tie.tenant, tie.mode].analysis.shape in tie.others


async def test_a_dropped_index(clone: Clone) -> None:
    async with clone() as url:
        base = await matrix_of(url, "auth.user_by_email", "users.get")
        await run(url, "drop index idx_users_tenant_email")
        head = await matrix_of(url, "auth.user_by_email", "users.get")
        change = worst(compare_matrices(base, head), "auth.user_by_email")
        assert "shape" in change.kinds
        assert "using idx_users_tenant_email on users became" in change.words
        assert "pages for the whale tenant" in change.words
        cause = await cause_of(url, base, head, change)
    assert (cause.kind, cause.subject) == ("index", "idx_users_tenant_email")


async def test_a_changed_work_mem(clone: Clone, tmp_path: Path) -> None:
    (tmp_path / "sorted.sql").write_text(
        "-- name: events.sorted\n-- All of a tenant's events in an order no index has.\n"
        "-- params: tenant_id=$tenant\n"
        "SELECT id, data FROM events WHERE tenant_id = $1 ORDER BY md5(data::text);",
        encoding="utf-8",
    )
    async with clone() as url:
        base = read_matrix(await capture_matrix(url, tmp_path))
        await run(url, "alter database plans_clone set work_mem = '64kB'")
        head = read_matrix(await capture_matrix(url, tmp_path))
        change = worst(compare_matrices(base, head), "events.sorted")
        assert "temp" in change.kinds
        assert "temporary pages written" in change.words
        cause = await cause_of(url, base, head, change)
    assert (cause.kind, cause.subject) == ("setting", "work_mem")
    assert cause.words == "work_mem went from 4MB to 64kB; set back, the old plan is back"


async def test_a_setting_that_turns_indexes_off(clone: Clone) -> None:
    async with clone() as url:
        base = await matrix_of(url, "users.list.first")
        await run(url, "alter database plans_clone set random_page_cost = 400")
        await run(url, "alter database plans_clone set enable_indexscan = off")
        head = await matrix_of(url, "users.list.first")
        change = worst(compare_matrices(base, head), "users.list.first")
        cause = await cause_of(url, base, head, change)
    assert cause.kind in {"setting", "settings"}
    assert "enable_indexscan" in cause.subject


async def test_stale_statistics(clone: Clone) -> None:
    async with clone() as url:
        base = await matrix_of(url, "workflows.count_events", "events.list")
        # The planner is told that there is nothing: what a bulk load before the next ANALYZE looks like.
        await run(
            url,
            "delete from pg_statistic where starelid = 'users'::regclass",
            "update pg_class set reltuples = 1, relpages = 1 where oid = 'users'::regclass",
        )
        head = await matrix_of(url, "workflows.count_events", "events.list")
        assert compare_matrices(base, head) == ()  # another table's
        base = await matrix_of(url, "auth.access", "workflows.count_users", "users.list.page")
        await run(url, "analyze users")
        fresh = await matrix_of(url, "auth.access", "workflows.count_users", "users.list.page")
        changes = compare_matrices(fresh, base)
        assert changes
        await run(
            url,
            "delete from pg_statistic where starelid = 'users'::regclass",
            "update pg_class set reltuples = 1, relpages = 1 where oid = 'users'::regclass",
        )
        cause = await cause_of(url, fresh, base, changes[0])
    assert cause.kind == "statistics"
    assert "users" in cause.subject


async def test_a_query_rewritten_worse(clone: Clone, tmp_path: Path) -> None:
    folder = tmp_path / "queries"
    folder.mkdir()
    text = (QUERIES / "users.sql").read_text(encoding="utf-8")
    (folder / "users.sql").write_text(text, encoding="utf-8")
    good = load_queries(folder)["users.get"].sql
    async with clone() as url:
        base = read_matrix(await capture_matrix(url, folder, only=["users.get"]))
        assert "tenant_id = $1" in good
        worse = text.replace(good, good.replace("tenant_id = $1", "tenant_id::text = $1"))
        (folder / "users.sql").write_text(worse, encoding="utf-8")
        head = read_matrix(await capture_matrix(url, folder, only=["users.get"]))
        change = worst(compare_matrices(base, head), "users.get")
        cause = await cause_of(url, base, head, change)
    assert (cause.kind, cause.subject) == ("query", "users.get")


async def test_a_whale_that_grew_tenfold(clone: Clone) -> None:
    async with clone() as url:
        base = await matrix_of(url, "workflows.count_users", "users.export")
        whale = base.tenants["whale"]["id"]
        await run(
            url,
            "insert into users (tenant_id, id, email, name, is_active, password_hash, created_at) "
            "select tenant_id, gen_random_uuid(), n || email, name, is_active, password_hash, now()"
            f" from users, generate_series(1, 9) n where tenant_id = '{whale}'",
            "vacuum analyze users",
        )
        head = await matrix_of(url, "workflows.count_users", "users.export")
        change = worst(compare_matrices(base, head), "workflows.count_users")
        assert change.tenant == "whale"
        cause = await cause_of(url, base, head, change)
    assert (cause.kind, cause.subject) == ("rows", "users")


async def test_forecasts_are_held_against_a_tenant_that_grew(clone: Clone) -> None:
    """What is said to grow with the tenant's rows touches more pages then, and what isn't does not."""
    async with clone() as url:
        base = await matrix_of(url)
        await grow_tenant(url, base.tenants["whale"]["id"], 5)
        grown = await matrix_of(url)
        connection = await asyncpg.connect(url)
        orphans = await connection.fetchval(
            "select count(*) from files left join users on users.id = owner_id where users.id is null"
        )
        await connection.close()
    assert orphans == 0
    whale = {table: rows for table, rows in base.tenant_rows("whale").items() if rows}
    assert grown.tenant_rows("whale") == {
        **grown.tenant_rows("whale"),
        **{t: 5 * n for t, n in whale.items()},
    }
    checked = check_forecasts(base, grown, "whale")
    assert {item.query for item in checked} >= {"users.export", "workflows.count_users", "users.get"}
    right = [item for item in checked if _grew_as_forecast(base, grown, item)]
    assert len(right) >= 0.9 * len(checked), [item for item in checked if item not in right]
    for item in checked:
        assert item.low_ms <= item.forecast_ms <= item.high_ms
        assert item.factor >= 1


def _grew_as_forecast(base: Matrix, grown: Matrix, item: CheckedForecast) -> bool:
    key = (item.query, "whale", item.mode)
    before, after = (matrix.cells[key].analysis.pages or 0 for matrix in (base, grown))
    mostly = item.forecast_ms >= 2 * item.ms
    return after >= 2 * before if mostly else after <= 3 * before + 20


async def test_a_database_without_tenants_is_refused_in_one_line(postgres_url: str) -> None:
    with pytest.raises(MeasurementError, match="no tenants"):
        await capture_matrix(postgres_url, QUERIES)
    with pytest.raises(UsageError, match="no capture"):
        read_matrix({"plans": 3})
    with pytest.raises(UsageError, match="damaged"):
        read_matrix([{"query": "x"}])
