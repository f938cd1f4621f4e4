"""Of a service that tells nothing of its queries a duet names statement and plan all the same."""

from __future__ import annotations

from typing import Any

import pandas as pd

from adx_lab.analysis.finding import Finding
from adx_lab.conduct.run.statements import explain_asked, with_named

LOOKUP, LINE = "select id from invoices where number = ?", "select label from articles where id = ?"
LIST, ITEM, SLEEPS = "GET /lookup", "GET /invoices/[id]", "GET /invoices"


DEFINED = "CREATE INDEX invoices_number ON public.invoices USING btree (number)"


def plan(node: dict[str, Any], indexes: dict[str, Any]) -> dict[str, Any]:
    told = {"Relation Name": "invoices", "Total Cost": 9.0, "Plan Rows": 1, "Plan Width": 4, **node}
    cell = {"query": LOOKUP, "tenant": "any", "mode": "generic", "arguments": {}, "plan": [{"Plan": told}]}
    return {"queries": {LOOKUP: {"text": LOOKUP}}, "plans": [cell], "indexes": indexes}


def side(
    pages: float, ms: float, lines: float, node: dict[str, Any], indexes: dict[str, Any] | None = None
) -> dict[str, Any]:
    def one(calls: float, ms: float, pages: float) -> dict[str, float]:
        return {"calls": calls, "total_ms": calls * ms, "pages": calls * pages}

    return {
        "asked": {
            LIST: {"requests": 30, "statements": {LOOKUP: one(1, ms, pages)}},
            ITEM: {"requests": 30, "statements": {LINE: one(lines, 0.05, 3)}},
            SLEEPS: {"requests": 30, "statements": {}},
        },
        "matrix": plan(node, indexes or {"other": {"table": "invoices", "definition": "CREATE INDEX other"}}),
    }


def samples() -> pd.DataFrame:
    rows = [
        {"variant": variant, "endpoint": name, "latency_ms": ms, "error": None, "status": 200}
        for variant, ms in (("base", 6.0), ("head", 12.0))
        for name in (LIST, ITEM, SLEEPS)
        for _ in range(30)
    ]
    return pd.DataFrame(rows)


INDEX = {"Node Type": "Index Scan", "Index Name": "invoices_number", "Index Cond": "(number = $1)"}
SEQ = {"Node Type": "Seq Scan", "Filter": "(number = $1)"}


def test_a_lost_index_and_a_query_a_row_are_named_and_the_rest_is_left() -> None:
    block = {"base": side(3, 0.06, 1, INDEX), "head": side(400, 4.0, 4, SEQ)}
    counts, named = explain_asked([block], samples(), {LIST, ITEM, SLEEPS})
    assert {(one.subject, one.metric) for one in counts if one.status == "slower"} == {
        (LIST, "pages_per_request"),
        (ITEM, "statements_per_request"),
    }
    by_kind = {one.kind: one for one in named}
    assert by_kind["plan"].endpoints == (LIST,)
    assert "became Seq Scan" in by_kind["plan"].cause
    assert LOOKUP in by_kind["plan"].cause
    assert f"«{LINE}» 4 times ({ITEM} p50 6 -> 12 ms)" in by_kind["n+1"].cause
    generic = Finding("dependency", LIST, "waits", {}, share=1.0, endpoints=(LIST, SLEEPS, ITEM))
    strays = Finding("strays", LIST, "some", {}, endpoints=(LIST, SLEEPS))
    certain = Finding("failures", LIST, "fails", {}, endpoints=(LIST,))
    told = with_named((generic, strays, certain), named)
    assert [one.kind for one in told] == ["plan", "n+1", "dependency", "failures"]
    assert (told[2].subject, told[2].endpoints) == (SLEEPS, (SLEEPS,))


def test_an_index_that_is_gone_is_named_with_the_statement_that_makes_it_again() -> None:
    known = {"invoices_number": {"table": "invoices", "definition": DEFINED}}
    block = {"base": side(3, 0.06, 1, INDEX, known), "head": side(400, 4.0, 1, SEQ)}
    _, (found,) = explain_asked([block], samples(), {LIST})
    assert found.kind == "index"
    assert "the index invoices_number is gone, and its plan changed" in found.cause
    assert found.mend == DEFINED.replace("INDEX", "INDEX CONCURRENTLY") + ";"


def test_nothing_is_said_where_nothing_changed_or_nobody_looked() -> None:
    same = side(3, 0.06, 1, INDEX)
    counts, named = explain_asked([{"base": same, "head": same}], samples(), set())
    assert named == ()
    assert {one.status for one in counts} == {"same"}
    assert explain_asked([{"base": {}, "head": {}}], samples(), {LIST}) == ((), ())
    assert explain_asked([], samples(), {LIST}) == ((), ())
    told = (Finding("strays", LIST, "some", {}, endpoints=(LIST,)),)
    assert with_named(told, ()) == told
