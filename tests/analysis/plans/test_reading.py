"""Reading plans from any text: what is understood, and that nothing else ends in a traceback."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adx_lab.analysis.plans import PlanDocument, analyse, read_plans, scan_plans
from adx_lab.errors import UsageError
from adx_lab.records.documents import to_json
from adx_lab.report.plans.terminal import plan_text
from tests.analysis.plans.corpus import FOLDER, as_log

LEAF: dict[str, Any] = {
    "Node Type": "Seq Scan",
    "Relation Name": "users",
    "Plan Rows": 10,
    "Total Cost": 1.0,
    "Actual Rows": 12,
    "Actual Loops": 1,
    "Actual Startup Time": 0.1,
    "Actual Total Time": 0.5,
    "Shared Hit Blocks": 3,
    "Shared Read Blocks": 0,
}
ONE = json.dumps([{"Plan": LEAF, "Planning Time": 0.1, "Execution Time": 0.6}])


def test_a_document_and_a_single_object_and_a_bare_node() -> None:
    for text in (ONE, json.dumps({"Plan": LEAF}), json.dumps(LEAF), ONE + ";\n", "\ufeff" + ONE):
        (document,) = read_plans(text)
        assert document.root["Relation Name"] == "users"


def test_wrapped_by_drivers() -> None:
    for wrapped in (
        [{"QUERY PLAN": json.loads(ONE)}],
        [{"QUERY PLAN": ONE}],
        {"rows": [[json.loads(ONE)]]},
        {"query": "users.get", "tenant": "whale", "plan": json.loads(ONE)[0]},
    ):
        (document,) = read_plans(json.dumps(wrapped))
        assert document.root["Relation Name"] == "users"
    assert document.facts["tenant"] == "whale"


def test_several_statements_and_several_documents() -> None:
    assert len(read_plans(json.dumps([{"Plan": LEAF}, {"Plan": LEAF}]))) == 2
    documents = read_plans(f"{json.dumps(json.loads(ONE), indent=2)}\n\n{ONE}\n")
    assert [document.line for document in documents] == [1, 20]


def test_what_psql_prints() -> None:
    lines = json.dumps(json.loads(ONE), indent=2).splitlines()
    table = " QUERY PLAN \n------------\n" + "\n".join(f" {line:<60}+" for line in lines) + "\n(1 row)\n"
    bordered = "|  QUERY PLAN  |\n|--------------|\n" + "\n".join(f"| {line:<60} +|" for line in lines)
    drawn = "┌──┐\n│ QUERY PLAN │\n├──┤\n" + "\n".join(f"│ {line:<60}↵│" for line in lines) + "\n└──┘\n"
    quoted = '"' + ONE.replace('"', '""') + '"\n'
    for text in (table, bordered, drawn, quoted, table.replace("\n", "\r\n")):
        (document,) = read_plans(text)
        assert document.root["Relation Name"] == "users"


def test_a_plain_log_with_other_lines_between() -> None:
    log = "2026-11-24 01:59:59 UTC [1] LOG:  checkpoint starting\n" + as_log(ONE)
    log += "2026-11-24 02:00:02 UTC [2] ERROR:  duplicate key {\n" + as_log(ONE, duration_ms=33.5)
    first, second = read_plans(log)
    assert (first.duration_ms, second.duration_ms) == (12.345, 33.5)
    assert first.line == 3
    assert first.facts == {"timestamp": "2026-11-24 02:00:01.123 UTC", "pid": 4711}
    assert first.query_text == "select 'x'"
    assert analyse(second).execution_ms == 33.5


def test_syslog_csvlog_and_jsonlog() -> None:
    body = as_log(ONE)
    syslog = body.replace("\n\t", "\nNov 24 02:00:01 db postgres[4711]: [3-2] #011")
    message = body.partition("LOG:  ")[2].replace("\n\t", "\n")
    doubled = message.replace('"', '""')
    csvlog = f'2026-11-24 02:00:01.123 UTC,"postgres","adx",4711,,LOG,00000,"{doubled}",,,,,,,,,"psql"\n'
    jsonlog = json.dumps({"timestamp": "2026-11-24", "pid": 7, "message": message}) + "\n"
    for text in (syslog, csvlog * 2, jsonlog + jsonlog):
        documents = read_plans(text)
        assert {document.duration_ms for document in documents} == {12.345}
        assert documents[0].root["Relation Name"] == "users"
    assert read_plans(jsonlog * 2)[1].facts["pid"] == 7


def test_a_log_that_was_cut_off_yields_its_whole_plans() -> None:
    reading = scan_plans(as_log(ONE) + as_log(ONE)[:-200])
    assert len(reading.documents) == 1
    (fault,) = reading.faults
    assert "cut off" in fault


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("hello", "something else"),
        ("{}", "no plan"),
        ("[]", "no plan"),
        ("null", "no plan"),
        ('{"Plan": 3}', "no plan"),
        ('["Utility Statement"]', "utility"),
        (" Seq Scan on users  (cost=0.00..1.01 rows=1 width=4)", "as text"),
        ('- Plan: \n    Node Type: "Seq Scan"', "YAML"),
        ("<explain><Query><Plan><Node-Type>Seq Scan</Node-Type>", "XML"),
        (ONE[:-40], "cut off"),
        (ONE[:50], "cut off"),
        (ONE.replace(":", ";", 4), "line 1"),
        ('{"a": 1', "ends too soon"),
        ("[" * 100_000, "ends too soon"),
        ("\x00\x01\x02", "something else"),
    ],
)
def test_anything_else_is_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_plans(text)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_workers_under_one_key_twice_are_joined() -> None:
    text = """{"Plan": {"Node Type": "Gather", "Actual Loops": 1, "Actual Total Time": 5.0, "Plans": [{
        "Node Type": "Sort", "Parent Relationship": "Outer", "Actual Loops": 2, "Actual Total Time": 3.0,
        "Workers": [{"Worker Number": 0, "Sort Method": "quicksort"}],
        "Workers": [{"Worker Number": 0, "Actual Total Time": 2.0, "Actual Loops": 1}]}]}}"""
    plan = analyse(read_plans(text)[0])
    assert plan.nodes[1].inclusive_ms == pytest.approx(4.0)
    assert plan.nodes[0].self_ms == pytest.approx(1.0)


@pytest.mark.parametrize("depth", [100, 1500, 5000])
def test_depth_is_no_matter(depth: int) -> None:
    text = '{"Node Type": "Result", "Actual Loops": 1, "Actual Total Time": 1.0, "Plans": [' * depth
    text = '[{"Plan": ' + text + json.dumps(LEAF) + "]}" * depth + "}]"
    plan = analyse(read_plans(text)[0])
    assert len(plan.nodes) == depth + 1
    assert plan.certificate.holds
    to_json(plan)
    plan_text(plan)


def test_unknown_nodes_are_shown_as_such() -> None:
    plan = analyse(PlanDocument({"Plan": {"Node Type": "Quantum Scan", "Plans": [LEAF, 7, None]}}))
    assert not plan.nodes[0].known
    assert "unknown" in plan.nodes[0].label
    assert len(plan.nodes) == 2


TWO_WORDS = ("Parent Relationship", "Subplan Name", "CTE Name", "Index Cond", "Sort Key", "Execution Time")
KEYS = st.sampled_from(
    [*LEAF, *["Plans", "Plan", "Workers", "Filter", "Triggers", "JIT", "Settings", "Strategy"], *TWO_WORDS]
)
NAMES = ["Gather", "CTE Scan", "InitPlan", "InitPlan 1 (returns $0)", "CTE x", "x", "Limit", "Sort"]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(NAMES)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=8),
    max_leaves=40,
)


@settings(max_examples=150, deadline=None)
@given(body=st.dictionaries(KEYS, VALUES, max_size=8), plan=st.dictionaries(KEYS, VALUES, max_size=10))
def test_any_json_is_analysed_or_refused(body: dict[str, Any], plan: dict[str, Any]) -> None:
    try:
        documents = read_plans(json.dumps([{**body, "Plan": {"Node Type": "Gather", **plan}}]))
    except UsageError:
        return
    for document in documents:
        analysis = analyse(document)
        to_json(analysis)
        plan_text(analysis)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_to_a_log_is_survived(data: st.DataObject) -> None:
    text = as_log(ONE) * 2
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 60)))
    damaged = text[:start] + data.draw(st.text(max_size=6)) + text[end:]
    try:
        for document in read_plans(damaged):
            to_json(analyse(document))
    except UsageError:
        return


def test_the_corpus_queries_have_names_of_their_own() -> None:
    text = (FOLDER / "corpus_queries.sql").read_text(encoding="utf-8")
    names = [line for line in text.splitlines() if line.startswith("-- name: ")]
    assert len(names) == len(set(names)) > 100
