"""What the formats of EXPLAIN print each in its own way, and mean alike."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adx_lab.analysis.plans import PlanAnalysis, analyse, read_plans

MERGED: dict[str, Any] = {
    "Node Type": "ModifyTable",
    "Operation": "Merge",
    "Relation Name": "stock",
    "Alias": "s",
    "Actual Startup Time": 9.0,
    "Actual Total Time": 9.0,
    "Actual Rows": 0,
    "Actual Loops": 1,
    "Tuples Inserted": 5,
    "Tuples Updated": 7,
    "Conflict Arbiter Indexes": ["stock_pkey"],
    "Plans": [
        {
            "Node Type": "Result",
            "Parent Relationship": "Outer",
            "Actual Startup Time": 0.0,
            "Actual Total Time": 0.0,
            "Actual Rows": 0,
            "Actual Loops": 1,
            "One-Time Filter": "false",
            "Filter": "(a = 5)",
            "Rows Removed by Filter": 9,
        }
    ],
}
TRIGGERS = [
    {"Trigger Name": "RI_ConstraintTrigger_a_1", "Constraint Name": "items_fk", "Time": 90.0, "Calls": 20},
    {"Trigger Name": "odd: calls=9", "Time": 50.0, "Calls": 20},
]
FORMS = {
    "json": json.dumps([{"Plan": MERGED, "Triggers": TRIGGERS, "Execution Time": 150.0}]),
    "text": """Merge on stock s  (actual time=9.000..9.000 rows=0 loops=1)
  Tuples: inserted=5 updated=7
  Conflict Arbiter Indexes: stock_pkey
  ->  Result  (actual time=0.000..0.000 rows=0 loops=1)
        One-Time Filter: false
        Filter: (a = 5)
        Rows Removed by Filter: 9
Trigger for constraint items_fk: time=90.000 calls=20
Trigger odd: calls=9: time=50.000 calls=20
Execution Time: 150.000 ms
""",
    "yaml": """- Plan:
    Node Type: "ModifyTable"
    Operation: "Merge"
    Relation Name: "stock"
    Alias: "s"
    Actual Startup Time: 9.000
    Actual Total Time: 9.000
    Actual Rows: 0
    Actual Loops: 1
    Tuples Inserted: 5
    Tuples Updated: 7
    Conflict Arbiter Indexes:
      - "stock_pkey"
    Plans:
      - Node Type: "Result"
        Parent Relationship: "Outer"
        Actual Startup Time: 0.000
        Actual Total Time: 0.000
        Actual Rows: 0
        Actual Loops: 1
        One-Time Filter: "false"
        Filter: "(a = 5)"
        Rows Removed by Filter: 9
  Triggers:
    - Trigger Name: "RI_ConstraintTrigger_a_1"
      Constraint Name: "items_fk"
      Time: 90.000
      Calls: 20
    - Trigger Name: "odd: calls=9"
      Time: 50.000
      Calls: 20
  Execution Time: 150.000
""",
    "xml": """<explain xmlns="http://www.postgresql.org/2009/explain"><Query><Plan>
<Node-Type>ModifyTable</Node-Type><Operation>Merge</Operation><Relation-Name>stock</Relation-Name>
<Alias>s</Alias><Actual-Startup-Time>9.000</Actual-Startup-Time><Actual-Total-Time>9.000</Actual-Total-Time>
<Actual-Rows>0</Actual-Rows><Actual-Loops>1</Actual-Loops><Tuples-Inserted>5</Tuples-Inserted>
<Tuples-Updated>7</Tuples-Updated>
<Conflict-Arbiter-Indexes><Item>stock_pkey</Item></Conflict-Arbiter-Indexes>
<Plans><Plan><Node-Type>Result</Node-Type><Parent-Relationship>Outer</Parent-Relationship>
<Actual-Startup-Time>0.000</Actual-Startup-Time><Actual-Total-Time>0.000</Actual-Total-Time>
<Actual-Rows>0</Actual-Rows><Actual-Loops>1</Actual-Loops><One-Time-Filter>false</One-Time-Filter>
<Filter>(a = 5)</Filter><Rows-Removed-by-Filter>9</Rows-Removed-by-Filter></Plan></Plans>
</Plan><Triggers>
<Trigger><Trigger-Name>RI_ConstraintTrigger_a_1</Trigger-Name><Constraint-Name>items_fk</Constraint-Name>
<Time>90.000</Time><Calls>20</Calls></Trigger>
<Trigger><Trigger-Name>odd: calls=9</Trigger-Name><Time>50.000</Time><Calls>20</Calls></Trigger>
</Triggers><Execution-Time>150.000</Execution-Time></Query></explain>
""",
}


def said(form: str) -> PlanAnalysis:
    (document,) = read_plans(FORMS[form])
    return analyse(document)


@pytest.mark.parametrize("form", FORMS)
def test_triggers_are_timed_and_counted(form: str) -> None:
    analysis = said(form)
    assert [(item.name, item.calls, item.ms) for item in analysis.triggers] == [
        ("items_fk", 20, 90.0),
        ("odd: calls=9", 20, 50.0),
    ]
    assert analysis.certificate.holds, analysis.certificate.text
    found = {item.subject for item in analysis.findings if item.kind == "trigger"}
    assert found == {"trigger items_fk", "trigger odd: calls=9"}


@pytest.mark.parametrize("form", FORMS)
def test_conditions_are_texts_and_counts_are_numbers(form: str) -> None:
    written, result = said(form).nodes
    assert result.details["One-Time Filter"] == "false"
    assert (result.details["Filter"], result.rows_removed) == ("(a = 5)", 9)
    assert (written.details["Tuples Inserted"], written.details["Tuples Updated"]) == (5, 7)
    assert written.details["Conflict Arbiter Indexes"] == ["stock_pkey"]


def test_a_trigger_and_its_constraint_with_verbose() -> None:
    text = (
        FORMS["text"]
        .replace("Trigger for", "Trigger RI_ConstraintTrigger_a_1 for")
        .replace("items_fk:", "items_fk on stock:")
    )
    first, _ = analyse(read_plans(text)[0]).triggers
    assert (first.name, first.relation) == ("items_fk", "stock")


def test_a_literal_may_hold_what_looks_like_lines_of_a_plan() -> None:
    text = """Sort  (cost=1.00..2.00 rows=3 width=4) (actual time=0.010..0.020 rows=3 loops=1)
  Sort Key: t."it's"
  ->  Seq Scan on t  (cost=0.00..1.00 rows=3 width=4) (actual time=0.001..0.002 rows=3 loops=1)
        Filter: (((t.note)::text = 'one
  ->  Seq Scan on other
  Filter: two'::text) OR (t."it's" > 'f: (never executed)'::text))
        Rows Removed by Filter: 4
Planning Time: 0.100 ms
Execution Time: 0.060 ms
"""
    analysis = analyse(read_plans(text)[0])
    assert [node.label for node in analysis.nodes] == ["Sort", "Seq Scan on t"]
    scan = analysis.nodes[1]
    assert scan.details["Filter"].endswith("two'::text) OR (t.\"it's\" > 'f: (never executed)'::text))")
    assert (scan.rows_removed, scan.never_executed, analysis.execution_ms) == (4, False, 0.06)


def test_what_other_servers_write_or_send_side_by_side_is_a_scan() -> None:
    text = """Append (actual rows=2 loops=1)
  ->  Async Foreign Scan on f (actual rows=1 loops=1)
  ->  Foreign Update on g (actual rows=1 loops=1)
"""
    nodes = analyse(read_plans(text)[0]).nodes
    assert [node.label for node in nodes[1:]] == ["Foreign Scan on f", "Foreign Scan on g"]
    assert (nodes[1].details["Async Capable"], nodes[2].details["Operation"]) == (True, "Update")


def test_lists_in_a_line_of_yaml() -> None:
    text = """- Plan:
    Node Type: "Aggregate"
    Grouping Sets:
      - Hash Keys:
          - ["a", "b"]
          - []
"""
    (node,) = analyse(read_plans(text)[0]).nodes
    assert node.details["Grouping Sets"] == [{"Hash Keys": [["a", "b"], []]}]


def test_masked_space_is_unknown_and_its_kind_is_not() -> None:
    text = """Sort (actual rows=9 loops=1)
  Sort Key: a
  Sort Method: external merge  Disk: NkB
  ->  CTE Scan on c (actual rows=9 loops=1)
        Storage: Disk  Maximum Storage: xxxkB
"""
    sort, scan = analyse(read_plans(text)[0]).nodes
    assert (sort.details["Sort Method"], sort.details["Sort Space Type"]) == ("external merge", "Disk")
    assert "Sort Space Used" not in sort.details
    assert scan.details["Storage"] == "Disk"
