"""What a captured matrix says: flips, changes, headroom, and which requests a slow query held up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from adx_lab.analysis.plans import PlanDocument, analyse, read_plans
from adx_lab.analysis.plans.captures.causes import name_cause, plan_trials
from adx_lab.analysis.plans.captures.compare import compare_cells, compare_matrices
from adx_lab.analysis.plans.captures.flips import find_flips, find_ties
from adx_lab.analysis.plans.captures.headroom import headrooms
from adx_lab.analysis.plans.captures.matrix import Matrix, read_matrix
from adx_lab.analysis.plans.captures.slow import requests_that_waited, slow_queries
from tests.analysis.plans.corpus import as_log


def scan(
    pages: int, ms: float, *, index: str | None = "i", cost: float = 8.0, more: Any = ()
) -> dict[str, Any]:
    node: dict[str, Any] = {
        "Node Type": "Seq Scan" if index is None else "Index Scan",
        "Relation Name": "users",
    }
    node |= {"Index Name": index} if index else {}
    node |= {"Actual Loops": 1, "Actual Rows": 5, "Plan Rows": 5, "Actual Total Time": ms, "Total Cost": cost}
    node |= {"Shared Hit Blocks": pages, "Shared Read Blocks": 0, "Temp Written Blocks": 0, **dict(more)}
    return {"Plan": node, "Execution Time": ms}


def item(tenant: str, mode: str, plan: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"query": "q", "tenant": tenant, "mode": mode, "arguments": {}, "plan": plan, **more}


def matrix(*plans: dict[str, Any], rows: dict[str, int] | None = None, **more: Any) -> Matrix:
    sizes = rows or {"whale": 4000, "small": 20}
    tenants = {kind: {"id": kind, "rows": {"users": count}} for kind, count in sizes.items()}
    return read_matrix({"plans": list(plans), "tenants": tenants, **more})


def test_a_flip_is_told_with_who_brings_it_about_and_what_it_costs() -> None:
    found = matrix(
        item("whale", "custom", scan(900, 4.0, index=None, cost=90.0)),
        item("whale", "generic", scan(4000, 12.0, cost=12.0)),
        item("small", "custom", scan(4, 0.1, cost=9.0)),
        item("small", "generic", scan(4, 0.1, cost=12.0)),
    )
    (flip,) = find_flips(found)
    assert (flip.query, flip.tenant, flip.pages_more) == ("q", "whale", 3100)
    assert flip.settles_generic
    assert flip.settled_by == ("whale", "small")
    assert flip.words == "900 -> 4,000 pages for the whale tenant on a connection that served any tenants"


def test_a_tie_is_a_shape_that_other_costs_would_give() -> None:
    near = [scan(1, 1.0, index=None)]
    (tie,) = find_ties(matrix(item("whale", "custom", scan(9, 1.0), near=near)))
    assert tie.others == (analyse(PlanDocument(near[0])).shape,)
    other = matrix(item("whale", "custom", near[0]))
    (change,) = compare_matrices(matrix(item("whale", "custom", scan(9, 1.0), near=near)), other)
    assert change.tie


def test_changes_are_told_in_words_and_small_ones_are_not() -> None:
    base = matrix(item("whale", "custom", scan(7, 0.1, index="users_tenant_email")))
    head = matrix(item("whale", "custom", scan(1913, 9.0, index=None)))
    (change,) = compare_matrices(base, head)
    assert change.worse
    assert change.kinds == ("shape", "pages")
    assert change.words == (
        "Index Scan using users_tenant_email on users became Seq Scan on users: 7 -> 1,913 pages "
        "for the whale tenant"
    )
    (better,) = compare_matrices(head, base)
    assert not better.worse
    for pages in (7, 8, 20, 22):
        near = matrix(item("whale", "custom", scan(pages, 5.0, index="users_tenant_email")))
        assert compare_matrices(base, near) == (), pages


def test_temporary_files_and_estimates_are_changes_too() -> None:
    base = matrix(item("whale", "custom", scan(7, 0.1)))
    spilled = matrix(item("whale", "custom", scan(7, 0.1, more={"Temp Written Blocks": 90})))
    (change,) = compare_matrices(base, spilled)
    assert change.kinds == ("temp",)
    assert "0 -> 90 temporary pages written" in change.words
    off = matrix(item("whale", "custom", scan(7, 0.1, more={"Actual Rows": 5000})))
    (change,) = compare_matrices(base, off)
    assert change.kinds == ("estimate",)
    assert not change.worse


def test_causes_are_what_brings_the_old_plan_back() -> None:
    index = {"i": {"table": "users", "definition": "CREATE INDEX i ON users (a)"}}
    queries = {"q": {"text": "select 1"}}
    base = matrix(
        item("whale", "custom", scan(7, 0.1)), indexes=index, settings={"work_mem": "4MB"}, queries=queries
    )
    head = matrix(
        item("whale", "custom", scan(900, 4.0, index=None)), settings={"work_mem": "1MB"}, queries=queries
    )
    (change,) = compare_matrices(base, head)
    trials = plan_trials(base, head, change)
    assert [trial.kind for trial in trials] == ["setting", "index", "statistics"]
    assert trials[1].plain()["create"] == "CREATE INDEX i ON users (a)"
    tried = [trial.plain() | {"plan": scan(900, 4.0, index=None)} for trial in trials]
    assert name_cause(base, head, change, tried).kind == "unknown"
    tried[1]["plan"] = scan(8, 0.1)
    cause = name_cause(base, head, change, tried)
    assert (cause.kind, cause.subject) == ("index", "i")
    assert "the index i is gone" in cause.words
    grown = replace(head, tenants={"whale": {"id": "w", "rows": {"users": 40_000}}})
    tried[1]["plan"] = None
    assert name_cause(base, grown, change, tried).kind == "rows"


def test_headroom_follows_the_pages() -> None:
    found = matrix(
        item("whale", "custom", scan(4003, 4.0)),
        item("small", "custom", scan(23, 0.03)),
    )
    whale, small = sorted(headrooms(found), key=lambda room: room.tenant, reverse=True)
    assert whale.rows == 4000
    assert whale.rows_at_budget == pytest.approx(10_000, rel=0.01)
    assert whale.times == pytest.approx(2.5, rel=0.01)
    assert "leaves 10 ms at" in whale.words
    assert small.of_tenant
    fixed = matrix(item("whale", "custom", scan(4, 0.02)), item("small", "custom", scan(4, 0.02)))
    assert all(room.rows_at_budget is None for room in headrooms(fixed))


def test_headroom_of_a_table_read_as_a_whole() -> None:
    facts = {"users": {"rows": 10_000, "pages": 500}}
    (room,) = headrooms(matrix(item("absent", "custom", scan(500, 5.0, index=None)), tables=facts))
    assert not room.of_tenant
    assert room.rows_at_budget == pytest.approx(20_000)
    (spent,) = headrooms(matrix(item("absent", "custom", scan(500, 25.0, index=None)), tables=facts))
    assert "over 10 ms already" in spent.words


def test_cells_without_figures_are_not_judged() -> None:
    planned = {"Plan": {"Node Type": "Result", "Total Cost": 1.0}}
    found = matrix(item("whale", "custom", planned), item("whale", "generic", planned))
    assert headrooms(found) == ()
    assert find_flips(found) == ()
    (cell, other) = found.cells.values()
    assert compare_cells(cell, other) is None


def test_a_slow_query_finds_its_name_its_tenant_and_its_request() -> None:
    body = '[{"Query Parameters": "$1 = \'t-1\', $2 = NULL", "Plan": {"Node Type": "Result"}}]'
    log = as_log(body, duration_ms=20.0).replace("select 'x'", "SELECT 1\\n  FROM users;")
    (slow,) = slow_queries(read_plans(log), {"users.get": "SELECT 1 FROM users"}, {"t-1": 77.0})
    assert (slow.query, slow.tenant, slow.tenant_rows) == ("users.get", "t-1", 77.0)
    assert slow.parameters == ("t-1", None)
    assert slow.at == datetime(2026, 11, 24, 2, 0, 1, 123000, tzinfo=UTC)
    samples = pd.DataFrame({"t_sent_s": [0.5, 1.1, 1.11], "service_ms": [30.0, 30.0, 30.0]})
    timings = pd.DataFrame({"sample": [0, 1, 2], "query": ["users.get"] * 3, "ms": [20.0, 21.0, 5.0]})
    began = datetime(2026, 11, 24, 2, 0, 0, tzinfo=UTC)
    assert requests_that_waited([slow, slow], samples, timings, began) == {0: 1}
