"""Spans are split into the database, caches, other services and the rest, and add up."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from adx_lab.analysis.spans.findings import span_findings
from adx_lab.analysis.spans.spans import (
    Span,
    SpanKind,
    SpanSplit,
    by_trace,
    sort_of,
    split_trace,
    statement_of,
)

MS = 1_000_000
PG = {"db.system": "postgresql", "db.statement": "SELECT * FROM users WHERE id = 7"}
VALKEY = {"db.system.name": "redis", "db.operation.name": "GET"}
CALL = {"http.request.method": "GET", "url.full": "http://other/"}


def span(
    name: str,
    start: float,
    end: float,
    *,
    kind: SpanKind = "client",
    parent: str = "root",
    **more: dict[str, str],
) -> Span:
    attributes = more.get("attributes", {})
    return Span("t", name, parent, name, kind, int(start * MS), int(end * MS), attributes)


ROOT = span("root", 0, 100, kind="server", parent="lab")


def test_a_request_is_split_into_what_it_called() -> None:
    split = split_trace(
        [
            ROOT,
            span("q", 10, 30, attributes=PG),
            span("c", 35, 40, attributes=VALKEY),
            span("h", 50, 70, attributes=CALL),
            span("view", 5, 95, kind="internal"),
        ]
    )
    assert (split.server_ms, split.db_ms, split.cache_ms, split.http_ms) == (100, 20, 5, 20)
    assert split.rest_ms == 55
    assert split.queries == (("SELECT * FROM users WHERE id = ?", 20.0),)
    assert (split.cache_calls, split.http_calls) == (1, 1)


def test_to_connect_is_the_databases_time_and_no_query() -> None:
    split = split_trace([ROOT, span("connect", 10, 30, attributes={"db.system": "postgresql"})])
    assert (split.db_ms, split.queries) == (20, ())


def test_queries_at_once_take_no_longer_than_the_longest() -> None:
    split = split_trace([ROOT, span("a", 10, 30, attributes=PG), span("b", 15, 40, attributes=PG)])
    assert split.db_ms == 30
    assert len(split.queries) == 2


def test_a_drivers_span_within_an_orms_is_one_query() -> None:
    orm = span("SELECT", 10, 30, attributes={"db.system": "postgresql"})
    driver = span("inner", 12, 28, parent="SELECT", attributes=PG)
    split = split_trace([ROOT, orm, driver])
    assert split.queries == (("SELECT * FROM users WHERE id = ?", 20.0),)
    assert split.db_ms == 20


def test_another_services_own_spans_are_the_calls_time() -> None:
    call = span("h", 10, 60, attributes=CALL)
    theirs = span("their root", 12, 58, kind="server", parent="h")
    query = span("q", 20, 50, parent="their root", attributes=PG)
    split = split_trace([query, theirs, call, ROOT])
    assert (split.server_ms, split.http_ms, split.db_ms) == (100, 50, 0)


def test_work_after_the_answer_is_none_of_the_requests_time() -> None:
    split = split_trace([ROOT, span("late", 120, 150, attributes=PG), span("over", 90, 130, attributes=PG)])
    assert split.db_ms == 10


def test_without_a_servers_span_nothing_is_known() -> None:
    assert math.isnan(split_trace([span("q", 1, 2, attributes=PG)]).server_ms)


def test_statements_lose_their_values() -> None:
    def told(text: str) -> str:
        return statement_of(span("q", 0, 1, attributes={"db.query.text": text}))

    assert told("SELECT  a\n FROM t WHERE b = 'it''s' AND c = 4.5") == "SELECT a FROM t WHERE b = ? AND c = ?"
    assert told("SELECT a FROM t1 WHERE b IN (1, 2, 3)") == told("SELECT a FROM t1 WHERE b IN (4, 5)")
    assert told("SELECT a FROM t WHERE b IN ($1, $2)") == "SELECT a FROM t WHERE b IN (…)"
    assert statement_of(span("q", 0, 1, attributes={"db.operation": "COMMIT"})) == "COMMIT"
    assert sort_of(span("x", 0, 1, kind="internal")) == "other"


@given(st.lists(st.tuples(st.integers(-20, 150), st.integers(0, 60), st.sampled_from([PG, VALKEY, CALL]))))
def test_the_parts_add_up_to_the_request(calls: list[tuple[int, int, dict[str, str]]]) -> None:
    spans = [span(f"s{i}", start, start + ms, attributes=told) for i, (start, ms, told) in enumerate(calls)]
    inside = [one for one in spans if one.start_ns >= 0]
    split = split_trace([ROOT, *inside])
    assert 0 <= split.rest_ms <= 100
    assert math.isclose(split.rest_ms + split.db_ms + split.cache_ms + split.http_ms, 100)
    assert len(by_trace([ROOT, *inside])["t"]) == len(inside) + 1


def test_an_n_plus_one_and_a_slow_query_are_findings() -> None:
    many = SpanSplit(20.0, 12.0, queries=(("SELECT 1", 2.0), *(("SELECT author", 1.0),) * 10))
    slow = SpanSplit(40.0, 30.0, queries=(("SELECT sum(x)", 30.0),))
    fine = SpanSplit(10.0, 1.0, queries=(("SELECT 1", 1.0),))
    found = span_findings([("GET /books", many), ("GET /report", slow), ("GET /", fine)])
    assert [(one.kind, one.endpoints[0]) for one in found] == [
        ("n+1", "GET /books"),
        ("query", "GET /report"),
    ]
    assert "10 times a request" in found[0].cause
    assert found[0].share == 0.5
