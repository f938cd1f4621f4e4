"""``adx-lab plans`` as a person uses it: capture, break something, compare, read the cause."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.conftest import Home

PLAN = {
    "Plan": {
        "Node Type": "Seq Scan",
        "Relation Name": "users",
        "Actual Rows": 3,
        "Actual Loops": 1,
        "Actual Startup Time": 0.01,
        "Actual Total Time": 12.5,
        "Plan Rows": 3,
        "Rows Removed by Filter": 9997,
        "Filter": "(email = 'x'::text)",
        "Shared Hit Blocks": 150,
        "Shared Read Blocks": 0,
    },
    "Planning Time": 0.1,
    "Execution Time": 12.6,
}
NODE_FIELDS = [
    *("path", "type", "relation", "index", "loops", "inclusive_ms", "self_ms", "self_ms_low", "self_ms_high"),
    *("rows", "planned_rows", "estimate_factor", "shared_hit", "shared_read", "temp_written", "rows_removed"),
    "findings",
]


def run_sql(url: str, sql: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(sql)
        await connection.close()

    asyncio.run(run())


def read_sql(url: str, sql: str) -> Any:
    async def run() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_show_accounts_for_every_microsecond(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps([PLAN]))
    shown = home.adx_lab("plans", "show", str(file), "--json").json()
    assert {"shape", "execution_ms", "planning_ms", "unattributed_ms", "certificate", "nodes"} <= set(shown)
    assert list(shown["nodes"][0]) == NODE_FIELDS
    assert shown["nodes"][0]["self_ms"] == 12.5
    assert shown["certificate"]["text"]
    assert abs(shown["certificate"]["sum_ms"] - shown["execution_ms"]) <= shown["certificate"]["tolerance_ms"]
    text = home.adx_lab("plans", "show", str(file))
    assert text.code == 0
    assert "Seq Scan on users" in text.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty text"),
        ("not JSON", "something else than the output of EXPLAIN"),
        ('{"a": 1}', "no plan"),
        ('[{"Plan": {"Node', "explain the statement"),
    ],
)
def test_what_is_no_plan_is_one_line(home: Home, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    done = home.adx_lab("plans", "show", str(file))
    assert done.code == 2
    assert len(done.error_lines) == 1
    assert said in done.error_lines[0]
    assert home.adx_lab("plans", "show", str(tmp_path / "nothing")).code == 2


def test_standard_input_is_read(home: Home) -> None:
    done = subprocess.run(
        home.command("plans", "show", "-"),
        env=home.environ(),
        input=json.dumps(PLAN),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Seq Scan on users" in done.stdout


def test_a_dropped_index_is_found_and_named(
    stack_home: Home, stack_state: dict[str, Any], tmp_path: Path
) -> None:
    url = stack_state["database_url"]
    base, head = tmp_path / "base.json", tmp_path / "head.json"
    before = stack_home.adx_lab("plans", "--out", str(base), "--json")
    assert before.code == 0, before.err
    kinds = {(plan["tenant"], plan["mode"]) for plan in before.json()["plans"]}
    assert kinds >= {(kind, "custom") for kind in ("whale", "median", "small", "absent")}
    assert stack_home.adx_lab("plans", "compare", str(base), str(base)).out.startswith("no plan changed")
    run_sql(url, "ALTER INDEX idx_users_tenant_email RENAME TO kept")
    run_sql(url, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'kept'::regclass")
    try:
        assert stack_home.adx_lab("plans", "--out", str(head)).code == 0
        compared = stack_home.adx_lab("plans", "compare", str(base), str(head), "--json")
    finally:
        run_sql(url, "UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'kept'::regclass")
        run_sql(url, "ALTER INDEX kept RENAME TO idx_users_tenant_email")
    assert compared.code == 1, compared.err
    worse = [item for item in compared.json() if item["change"]["worse"]]
    assert {item["change"]["query"] for item in worse} >= {"auth.user_by_email"}
    causes = {item["cause"]["kind"] for item in worse if item["cause"]}
    assert causes == {"index"}
    assert any("idx_users_tenant_email" in item["cause"]["words"] for item in worse if item["cause"])


def test_any_database_is_read_without_executing(stack_home: Home, stack_state: dict[str, Any]) -> None:
    done = stack_home.adx_lab("plans", "--database", stack_state["database_url"], "--json")
    assert done.code == 0, done.err
    assert {plan["mode"] for plan in done.json()["plans"]} >= {"generic"}
    assert all(plan["execution_ms"] is None for plan in done.json()["plans"])
    refused = stack_home.adx_lab("plans", "--database", "postgresql://127.0.0.1:1/x")
    assert refused.code == 4
    assert len(refused.error_lines) == 1


def test_ties_are_found_on_a_clone_that_is_thrown_away(
    stack_home: Home, stack_state: dict[str, Any], tmp_path: Path
) -> None:
    url = stack_state["database_url"]
    analysed = "SELECT sum(analyze_count) FROM pg_stat_user_tables"
    before = read_sql(url, analysed)
    out = tmp_path / "capture.json"
    done = stack_home.adx_lab("plans", "--resample", "2", "--query", "users.list", "--out", str(out))
    assert done.code == 0, done.err
    assert "again after each of 2 ANALYZEs" in done.err
    assert {item["query"] for item in json.loads(out.read_text())["plans"]} >= {"users.list.first"}
    assert read_sql(url, analysed) == before
    assert read_sql(url, "SELECT count(*) FROM pg_database WHERE datname = 'adx_scratch'") == 0


def test_one_query_of_one_tenant_is_shown_as_a_tree(stack_home: Home) -> None:
    shown = stack_home.adx_lab("plans", "--query", "users.list", "--tenant", "small", "--json").json()
    assert len(shown) > 1
    assert {plan["tenant"] for plan in shown} == {"small"}
    assert list(shown[0]["nodes"][0]) == NODE_FIELDS
    text = stack_home.adx_lab("plans", "--query", "users.get")
    assert (text.code, "users.get for the whale tenant" in text.out) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--query", "users.lst"), "did you mean users.list"),
        (("--query", "users.get", "--tenant", "wale"), "unknown tenant wale; did you mean whale"),
        (("--query", "users.get", "--mode", "auto"), "unknown mode auto"),
        (("--role", "web"), "--role and --set are for services that name no queries"),
        (("--set", "a", "--database", "postgresql://127.0.0.1/x"), "--set a sets nothing"),
        (("--limit", "0", "--database", "postgresql://127.0.0.1/x"), "--limit 0 is not a number"),
        (("--resample", "-1"), "--resample -1 is not a number of times"),
        (
            ("--resample", "2", "--database", "postgresql://127.0.0.1/x"),
            "--resample needs a clone of the stack's own data",
        ),
    ],
)
def test_a_wrong_query_or_tenant_is_one_line(home: Home, words: tuple[str, ...], said: str) -> None:
    done = home.adx_lab("plans", *words)
    assert done.code == 2
    assert len(done.error_lines) == 1
    assert said in done.error_lines[0]
