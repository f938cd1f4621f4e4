"""What the database was asked: by whom, how often a request, and with which plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adx_lab.errors import UsageError
from adx_lab.report.bench import make_run
from adx_lab.report.run.judged_run import Judgement
from adx_lab.report.run.statements import cell_of, statement_costs, statement_table
from adx_lab.store.folders import open_folder, write_plans, write_table

LOOKUP = "SELECT id FROM invoices WHERE number = $1"
LIST = "SELECT * FROM invoices WHERE client_id = $1 ORDER BY issued DESC LIMIT $2"
REQUESTS = 500


def row(text: str, calls: int, total_ms: float, query: str | None = None) -> dict[str, Any]:
    return {
        "query": query, "queryid": hash(text), "calls": calls, "total_ms": total_ms,
        "mean_ms": total_ms / calls,
        "rows": calls, "shared_hit": 4 * calls, "shared_read": calls, "temp_written": 0, "wal_bytes": 0,
        "text": text,
    }  # fmt: skip


def judged(folder: Path, rows: list[dict[str, Any]], asked: dict[str, Any] | None = None) -> Judgement:
    make_run(folder, REQUESTS)
    write_table(folder, "database", rows)
    plan = {"Plan": {"Node Type": "Seq Scan", "Relation Name": "invoices", "Total Cost": 9.0, "Plan Rows": 1}}
    cell = {"query": "lookup", "tenant": "any", "mode": "generic", "arguments": {}, "plan": [plan]}
    write_plans(folder, {"queries": {"lookup": {"text": LOOKUP.lower()}}, "plans": [cell]})
    if asked is not None:
        (folder / "asked.json").write_text(json.dumps(asked))
    return Judgement(open_folder(folder), None)


def test_of_a_service_that_names_nothing(tmp_path: Path) -> None:
    once = {"calls": 1.0, "total_ms": 0.1, "pages": 5.0}
    asked = {
        "GET /lookup": {"requests": 9, "statements": {LOOKUP: {**once, "calls": 3.0}}},
        "GET /invoices": {"requests": 9, "statements": {LIST: once, LOOKUP: once}},
    }
    rows = [row(LIST, 100, 300.0), row("BEGIN", 500, 5.0), row(LOOKUP, 250, 100.0)]
    first, second = statement_costs(judged(tmp_path, rows, asked))
    assert (first.number, first.calls_per_request, first.share, first.pages) == (1, 0.2, 0.75, 5)
    assert list(second.asked_by.items()) == [("GET /lookup", 3.0), ("GET /invoices", 1.0)]
    table = statement_table((first, second))
    assert list(table.frame["statement"]) == [first.name, second.name]
    assert "GET /lookup (3), GET /invoices (1)" in table.html()


def test_of_a_service_that_names_its_queries(tmp_path: Path) -> None:
    rows = [row("SELECT 1", 9, 900.0), row("SELECT u FROM users", 250, 100.0, "users.get")]
    (only,) = statement_costs(judged(tmp_path, rows))
    assert (only.name, only.share) == ("users.get", 1.0)
    assert {name.partition(" ")[2][:1] for name in only.asked_by} == {"/"}
    assert all(0 < calls <= 1 for calls in only.asked_by.values())


def test_its_plan_is_found_by_its_text(tmp_path: Path) -> None:
    judgement = judged(tmp_path, [row(LOOKUP, 9, 9.0), row(LIST, 9, 1.0)])
    costs = statement_costs(judgement)
    assert cell_of(judgement, costs, 1).query == "lookup"
    with pytest.raises(UsageError, match="was not captured"):
        cell_of(judgement, costs, 2)
    with pytest.raises(UsageError, match="there is no statement 3; the run has 1 to 2"):
        cell_of(judgement, costs, 3)
