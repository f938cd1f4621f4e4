"""Reading plans from any text: what is understood, and that nothing else ends in a traceback."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adx_lab.analysis.plans import PlanDocument, analyse, read_plans, scan_plans
from adx_lab.analysis.plans.reading import scan
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


def test_a_copy_that_lacks_the_head_of_its_json() -> None:
    """Copied from a table without its first lines, padded as wide as the widest."""
    lines = json.dumps(json.loads(ONE), indent=2).splitlines()[2:-1]
    (document,) = read_plans("\n".join(f"  {line:<400}" for line in lines))
    assert document.root["Relation Name"] == "users"
    assert analyse(document).execution_ms == 0.6
    (fault,) = scan_plans("\n".join(lines[:7])).faults
    assert "cut off" in fault


def test_a_plan_of_another_server_within_a_plan() -> None:
    """What a distributed database sends to its servers is a part of its plan, in XML as well."""
    inner = "<explain><Query><Plan><Node-Type>Seq Scan</Node-Type></Plan></Query></explain>"
    outer = f"<Plan><Node-Type>Custom Scan</Node-Type><Remote-Plan>{inner}</Remote-Plan></Plan>"
    whole = f"<explain><Query>{outer}</Query></explain>\n"
    reading = scan_plans(whole * 2)
    assert [document.root["Node Type"] for document in reading.documents] == ["Custom Scan"] * 2
    assert not reading.faults


def test_a_table_with_a_word_that_nodes_have_is_no_plan() -> None:
    described = " Result data type    | numeric\n Argument data types | bigint\n->  QUERY PLAN of none\n"
    assert scan_plans(described).documents == ()


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
        ("<explain><Query><Plan><Node-Type>Seq Scan</Node-Type>", "cut off"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><explain><Query>&b;</Query></explain>", "not XML"),
        ('{"query_block": {"select_id": 1}}', "MySQL"),
        ('<ShowPlanXML xmlns="http://schemas.microsoft.com/sqlserver/2004/07/showplan"/>', "SQL Server"),
        ("distribution: local\nvectorized: true\n\n• scan\n  missing stats", "CockroachDB"),
        ("-> Filter: (t.a = 1)  (cost=0.35 rows=1)\n    -> Table scan on t  (cost=0.35 rows=1)", "MySQL"),
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


TEXT = """Limit  (cost=0.00..0.08 rows=2 width=190) (actual time=0.033..0.043 rows=2 loops=1)
  Buffers: shared hit=7
  ->  Seq Scan on public.orders o  (cost=0.00..13.61 rows=3 width=9) (actual time=0.028..0.030 rows=2 loops=1)
        Filter: ((o.note)::text = 'a -> b  (cost=1)'::text)
        Rows Removed by Filter: 40
        Buffers: shared hit=7
Planning Time: 0.100 ms
Execution Time: 0.060 ms"""


def framed(text: str) -> str:
    lines = text.splitlines()
    width = max(map(len, lines)) + 2
    rows = "\n".join(f"| {line:<{width}}+|" for line in lines)
    return f"+{'-' * width}+\n| QUERY PLAN |\n+{'-' * width}+\n{rows}\n+{'-' * width}+\n(1 row)\n"


def wrapped(text: str, width: int = 70) -> str:
    """Wrap as a terminal does: within words and figures."""
    pieces = []
    for line in text.splitlines():
        pieces += [line[begin : begin + width] for begin in range(0, len(line), width)]
    return "\n".join(pieces)


WRAPPINGS = {
    "as it is": TEXT,
    "psql": " QUERY PLAN \n------------\n"
    + "\n".join(f" {line}" for line in TEXT.splitlines())
    + "\n(8 rows)\n",
    "psql, one row": " QUERY PLAN \n-----\n" + "\n".join(f" {line:<120}+" for line in TEXT.splitlines()),
    "borders": framed(TEXT),
    "unicode borders": framed(TEXT).replace("|", "│").replace("+│", "↵│").replace("---", "───"),
    "a mail": "Hello,\n" + "\n".join(f"> {line}" for line in TEXT.splitlines()) + "\n> regards\n",
    "a mail's answer": "\n".join(f">> {line}" for line in TEXT.splitlines()),
    "hard spaces": TEXT.replace("  ", "\u00a0 "),
    "quoted lines": "\n".join('"' + line + '"' for line in TEXT.splitlines()),
    "quoted as one": '"' + TEXT + '"',
    "spaced": TEXT.replace("\n", "\n\n"),
    "windows": TEXT.replace("\n", "\r\n"),
    "tabs": TEXT.replace("        ", "\t\t").replace("  ->", "\t->"),
    "rows of a driver": json.dumps([{"QUERY PLAN": line} for line in TEXT.splitlines()]),
    "one row of a driver": json.dumps([{"QUERY PLAN": TEXT}]),
    "a repr of rows": repr([(line,) for line in TEXT.splitlines()]),
    "a repr of JSON": repr([{"QUERY PLAN": json.loads(ONE.replace("users", "orders"))}]),
    "a statement before": "explain analyze select 1;\n\n" + TEXT,
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_text_in_any_wrapping(wrapping: str) -> None:
    (document,) = read_plans(WRAPPINGS[wrapping])
    analysis = analyse(document)
    assert analysis.certificate.holds, analysis.certificate.text
    scan = analysis.nodes[-1]
    assert (scan.type, scan.relation) == ("Seq Scan", "orders")
    if len(analysis.nodes) > 1:
        assert scan.details["Filter"] == "((o.note)::text = 'a -> b  (cost=1)'::text)" or wrapping == "tabs"
        assert (analysis.pages, scan.self_pages, scan.rows_removed) == (7, 7, 40)


def test_a_text_that_was_wrapped_within_its_figures() -> None:
    (document,) = read_plans(wrapped(TEXT))
    analysis = analyse(document)
    assert [node.label for node in analysis.nodes] == ["Limit", "Seq Scan on orders o"]
    assert analysis.certificate.holds


LOGGED = "2026-11-24 02:00:01.123 UTC [4711] app@shop LOG:  duration: 1.060 ms  plan:\n"


def logged(body: str) -> str:
    lines = ("Query Text: select *\nfrom orders\n" + body).replace("\n", "\n\t")
    return f"{LOGGED}\t{lines}\n2026-11-24 02:00:02 UTC [4711] app@shop LOG:  checkpoint starting: time\n"


def test_a_log_in_which_formats_are_mixed() -> None:
    text = TEXT.partition("\nPlanning")[0]
    log = logged(text) + as_log(ONE) + logged(text) + LOGGED + "\tQuery Text: select 1\n\tnonsense\n"
    reading = scan_plans(log)
    assert [document.duration_ms for document in reading.documents] == [1.06, 12.345, 1.06]
    assert reading.documents[0].query_text == "select *\nfrom orders"
    assert reading.documents[0].facts["pid"] == 4711
    assert reading.faults == (f"the plan that is announced in line {log.count(chr(10)) - 1} can't be read",)


def test_csvlog_and_jsonlog_hold_plans_as_text() -> None:
    message = "duration: 1.060 ms  plan:\nQuery Text: select 1, ',\"'\n" + TEXT.partition("\nPlanning")[0]
    row = ["2026-11-24 02:00:01.123 UTC", "app", "shop", "4711", "[local]", "6", "1", "SELECT", "2026", "3/2"]
    row += ["0", "LOG", "00000", message, "", "", "", "", "", "", "", "", "psql", "client backend", "", "77"]
    out = io.StringIO()
    csv.writer(out).writerows([row, row])
    line = json.dumps({"timestamp": row[0], "pid": 4711, "dbname": "shop", "message": message})
    reading = scan_plans(out.getvalue() + line + "\n")
    assert [document.duration_ms for document in reading.documents] == [1.06] * 3
    assert {document.facts["dbname"] for document in reading.documents} == {"shop"}
    assert all(analyse(document).certificate.holds for document in reading.documents)
    assert reading.faults == ()


CONTAINED = {
    "docker compose": "db-1  | {}",
    "kubernetes": "2026-11-24T02:00:01.123456789Z {}",
    "containerd": "2026-11-24T02:00:01.123456789Z stderr F {}",
    "journald": "Nov 24 02:00:01 db postgres[4711]: {}",
    "numbers": "  7: {}",
    "numbers and a bar": "  7 | {}",
    "a comment": "-- {}",
    "a comment of a shell": "# {}",
    "a change": "+{}",
    "two of them": "db-1  | 2026-11-24T02:00:01.123456789Z {}",
}


@pytest.mark.parametrize("form", CONTAINED)
def test_what_stands_in_front_of_every_line(form: str) -> None:
    plain = analyse(read_plans(TEXT)[0])
    text_log = "2026-11-24 02:00:01 UTC [4711] LOG:  duration: 1.5 ms  plan:\n\tQuery Text: select 1\n\t"
    for text in (TEXT, as_log(ONE), text_log + TEXT.replace("\n", "\n\t") + "\n"):
        alone = read_plans(text)
        framed = read_plans("\n".join(CONTAINED[form].format(line) for line in text.splitlines()))
        assert [document.body for document in framed] == [document.body for document in alone], text
    assert len(plain.nodes) == 2


def test_logs_of_containers_that_hold_one_line_a_record() -> None:
    lines = as_log(ONE).splitlines(keepends=True)
    records = "\n".join(json.dumps({"log": line, "stream": "stderr"}) for line in lines)
    whole = json.dumps({"severity": "INFO", "textPayload": as_log(ONE)})
    for text in (records, f"{whole}\n{whole}\n"):
        documents = read_plans(text)
        assert {document.root["Relation Name"] for document in documents} == {"users"}
        assert {document.duration_ms for document in documents} == {12.345}


def test_what_pages_and_languages_make_of_signs() -> None:
    plain = read_plans(TEXT)[0].body
    for changed in (
        TEXT.replace("->", "-&gt;"),
        f"<pre><code>{TEXT.replace('->', '-&gt;')}</code></pre>",
        TEXT.replace("->", "\u2013>"),
        TEXT.replace("\n", "\\n"),
        "[" + ", ".join(f'{{"QUERY PLAN"=>{json.dumps(line)}}}' for line in TEXT.splitlines()) + "]",
        "".join(f"[{i}] => Array\n(\n [QUERY PLAN] => {x}\n)\n" for i, x in enumerate(TEXT.splitlines())),
    ):
        assert read_plans(changed)[0].body == plain, changed
    grouped = "Seq Scan on t  (cost=0.00..21,983.66 rows=1,000,000 width=4)"
    assert read_plans(grouped)[0].root["Plan Rows"] == 1_000_000
    assert read_plans(ONE.replace('"', "\u201c"))[0].root["Relation Name"] == "users"


def test_what_can_not_be_told_is_refused() -> None:
    """A tree whose indentation is gone, or lines that begin with what nobody knows, give no wrong tree."""
    flat = (
        "Sort  (cost=1.00..2.00 rows=1 width=4)\n"
        + "->  Seq Scan on t  (cost=0.00..1.00 rows=1 width=4)\n" * 3
    )
    odd = "".join(f"<<{line}\n" for line in flat.splitlines())
    for text, said in ((flat, "lost its indentation"), (odd, "before its lines")):
        reading = scan_plans(text)
        assert not any("->" in document.root["Node Type"] for document in reading.documents)
        assert any(said in fault for fault in reading.faults), reading.faults


MASKED = """select explain_filter('explain (analyze) select * from orders');
             explain_filter
-----------------------------------------
 Limit  (cost=N.N..N.N rows=N width=N) (actual time=N.N..N.N rows=N.N loops=N)
   Buffers: shared hit=N
   ->  Seq Scan on orders o  (cost=xxx..xxx rows=3 width=xxx) (actual rows=2 loops=1)
         Filter: (note = 'N'::text)
         Rows Removed by Filter: N
 Planning Time: N.N ms
 Execution Time: N.N ms
(6 rows)
"""


def test_figures_that_regression_tests_mask_are_unknown_and_the_plan_is_read() -> None:
    (document,) = read_plans(MASKED)
    limit, scan = analyse(document).nodes
    assert (limit.cost, limit.rows, scan.cost, scan.planned_rows, scan.rows) == (None, None, None, 3, 2)
    assert (scan.relation, scan.details["Filter"]) == ("orders", "(note = 'N'::text)")
    assert "Execution Time" not in document.body
    masked = json.dumps(json.loads(ONE), indent=2).replace("0.5", "N.N").replace("12", "N")
    table = "explain_filter\n-----\n" + "\n".join(f" {line:<60}+" for line in masked.splitlines())
    for text in (masked, table):
        (document,) = read_plans(text)
        assert (document.root["Actual Rows"], document.root["Plan Rows"]) == (None, 10), text


def test_a_plan_within_a_program() -> None:
    """In its first line something stands before the plan, and it is no name of a node."""
    plain = [node.label for node in analyse(read_plans(TEXT)[0]).nodes]
    for before, after in (('const plan = `"', '"`'), ("PLAN = '''", "'''"), ("- plan: ", ""), ("* ", "")):
        (document,) = read_plans(before + TEXT + after)
        assert [node.label for node in analyse(document).nodes] == plain, before


def test_sub_plans_whatever_they_are_called() -> None:
    for name in ("InitPlan 1 (returns $0)", "InitPlan (null)", "SubPlan exists_1", "InitPlan", "CTE a b"):
        below = TEXT.replace("\n", "\n    ")
        text = f"Result (actual rows=1.00 loops=1)\n  {name}\n    ->  {below}"
        (document,) = read_plans(text)
        nodes = analyse(document).nodes
        assert [(node.type, node.depth) for node in nodes] == [("Result", 0), ("Limit", 1), ("Seq Scan", 2)]


def test_a_comment_that_speaks_of_a_plan_is_none() -> None:
    (document,) = read_plans("-- why it says '(never executed)' at all\n\n" + TEXT)
    assert document.root["Node Type"] == "Limit"


def test_many_plans_in_one_text_take_time_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of beginning is searched for once a plan, and not again from every plan to the end."""
    searched = 0
    first = scan._Finder._first

    def counted(finder: scan._Finder, pattern: re.Pattern[str], position: int) -> int | None:
        nonlocal searched
        before = finder._ahead.get(pattern)
        place = first(finder, pattern, position)
        if finder._ahead[pattern] is not before:
            searched += (len(finder.text) if place is None else place) - position
        return place

    monkeypatch.setattr(scan._Finder, "_first", counted)
    text = f" QUERY PLAN\n-----\n{TEXT}\n(8 rows)\n\n" * 300
    assert len(read_plans(text)) == 300
    assert searched < 10 * len(text)
