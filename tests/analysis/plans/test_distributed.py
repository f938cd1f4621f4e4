"""Plans that several servers make together, and plans whose figures were taken out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adx_lab.analysis.plans import PlanAnalysis, analyse, read_plans, scan_plans

TEXT = """ QUERY PLAN
-----------------------------------------
 Sort  (cost=9.00..9.25 rows=100 width=16) (actual time=12.001..12.010 rows=5 loops=1)
   Sort Key: remote_scan.sold
   ->  Custom Scan (Citus Adaptive)  (cost=0.00..0.00 rows=100000 width=16) (actual time=11.000..11.900 rows=5 loops=1)
         ->  Distributed Subplan 7_1
               Intermediate Data Size: 36 bytes
               Result destination: Write locally
               ->  Limit  (cost=0.00..0.10 rows=2 width=4) (actual time=0.010..0.020 rows=2 loops=1)
                     ->  Seq Scan on shops  (cost=0.00..9.00 rows=90 width=4) (actual time=0.009..0.010 rows=2 loops=1)
         Task Count: 32
         Tasks Shown: One of 32
         ->  Task
               Query: SELECT sold FROM sales_102008 sales WHERE true
               Node: host=one port=5432 dbname=shop
               ->  Hash Join  (cost=1.00..20.00 rows=10 width=16) (actual time=30.000..40.000 rows=5 loops=1)
                     Hash Cond: (sales.shop = s.shop)
                     ->  Seq Scan on sales_102008 sales  (cost=0.00..9.00 rows=9 width=8) (actual time=9.000..19.000 rows=5 loops=1)
                     ->  Hash  (cost=1.00..1.00 rows=2 width=4) (actual time=3.000..3.000 rows=2 loops=1)
                           ->  Function Scan on read_intermediate_result s  (cost=0.00..1.00 rows=2 width=4) (actual time=2.000..2.500 rows=2 loops=1)
                   Planning:
                     Buffers: shared hit=999
                   Planning Time: 99.000 ms
                   Execution Time: 99.000 ms
         Memory: used=8kB  allocated=16kB
 Planning Time: 1.000 ms
 Execution Time: 12.500 ms
(25 rows)
"""  # noqa: E501 - as it is printed
TASK = {
    "Node Type": "Aggregate",
    "Strategy": "Plain",
    "Partial Mode": "Simple",
    "Plans": [{"Node Type": "Seq Scan", "Parent Relationship": "Outer", "Relation Name": "sales_102008"}],
}
JOB = {
    "Task Count": 32,
    "Tasks Shown": "One of 32",
    "Tasks": [{"Node": "host=one", "Remote Plan": [[{"Plan": TASK}]]}],
}
SUBPLANS = [{"PlannedStmt": [{"Plan": {"Node Type": "Seq Scan", "Relation Name": "shops"}}]}]
ADAPTIVE = {"Node Type": "Custom Scan", "Custom Plan Provider": "Citus Adaptive"}
YAML = """- Plan:
    Node Type: "Custom Scan"
    Custom Plan Provider: "Citus Adaptive"
    Distributed Query:
      Subplans:
        - PlannedStmt:
            - Plan:
                Node Type: "Seq Scan"
                Relation Name: "shops"
      Job:
        Task Count: 32
        Tasks Shown: "One of 32"
        Tasks:
          - Node: "host=one"
            Remote Plan:
              - Plan:
                  Node Type: "Aggregate"
                  Strategy: "Plain"
                  Partial Mode: "Simple"
                  Plans:
                    - Node Type: "Seq Scan"
                      Parent Relationship: "Outer"
                      Relation Name: "sales_102008"
"""
XML = """<explain xmlns="http://www.postgresql.org/2009/explain"><Query><Plan>
<Node-Type>Custom Scan</Node-Type><Custom-Plan-Provider>Citus Adaptive</Custom-Plan-Provider>
<Distributed-Query>
<Subplans><Subplan><PlannedStmt><Query><Plan>
<Node-Type>Seq Scan</Node-Type><Relation-Name>shops</Relation-Name>
</Plan></Query></PlannedStmt></Subplan></Subplans>
<Job><Task-Count>32</Task-Count><Tasks-Shown>One of 32</Tasks-Shown><Tasks><Task><Node>host=one</Node>
<Remote-Plan><explain xmlns="http://www.postgresql.org/2009/explain"><Query><Plan>
<Node-Type>Aggregate</Node-Type><Strategy>Plain</Strategy><Partial-Mode>Simple</Partial-Mode>
<Plans><Plan><Node-Type>Seq Scan</Node-Type><Parent-Relationship>Outer</Parent-Relationship>
<Relation-Name>sales_102008</Relation-Name></Plan></Plans>
</Plan></Query></explain></Remote-Plan></Task></Tasks></Job>
</Distributed-Query></Plan></Query></explain>
"""
PLAIN_TEXT = """Custom Scan (Citus Adaptive)
  ->  Distributed Subplan XXX_1
        ->  Seq Scan on shops
  Task Count: 32
  Tasks Shown: One of 32
  ->  Task
        Node: host=one
        ->  Aggregate
              ->  Seq Scan on sales_102008
"""


def tree(analysis: PlanAnalysis) -> list[tuple[int, str, str]]:
    return [(node.depth, (node.relationship or "").split(" ")[0], node.label) for node in analysis.nodes]


def test_tasks_and_subplans_stand_below_what_asked_for_them() -> None:
    reading = scan_plans(TEXT)
    (document,) = reading.documents
    assert not reading.faults
    analysis = analyse(document)
    assert tree(analysis) == [
        (0, "", "Sort"),
        (1, "Outer", "Custom Scan (Citus Adaptive)"),
        (2, "Distributed", "Limit"),
        (3, "Outer", "Seq Scan on shops"),
        (2, "Task", "Hash Join"),
        (3, "Outer", "Seq Scan on sales_102008 sales"),
        (3, "Inner", "Hash"),
        (4, "Outer", "Function Scan on read_intermediate_result s"),
    ]
    assert (analysis.planning_ms, analysis.execution_ms, analysis.planning_pages) == (1.0, 12.5, None)
    task = analysis.nodes[4]
    assert task.details["Remote SQL"] == "SELECT sold FROM sales_102008 sales WHERE true"
    assert "host=one" in task.details["Task Node"]


def test_other_servers_clocks_are_no_part_of_the_sum() -> None:
    analysis = analyse(read_plans(TEXT)[0])
    assert analysis.certificate.holds, analysis.certificate.text
    adaptive, task = analysis.nodes[1], analysis.nodes[4]
    assert adaptive.self_ms == pytest.approx(11.9)
    assert task.self_ms == pytest.approx(40.0 - 19.0 - 3.0)
    assert any("one of 32" in caveat for caveat in analysis.caveats)


def test_a_distributed_plan_is_the_same_in_each_format() -> None:
    plan = ADAPTIVE | {"Distributed Query": {"Subplans": SUBPLANS, "Job": JOB}}
    trees, shapes = [], set()
    for text in (json.dumps([{"Plan": plan}]), YAML, XML, PLAIN_TEXT):
        reading = scan_plans(text)
        (document,) = reading.documents
        assert not reading.faults
        analysis = analyse(document)
        trees.append(tree(analysis))
        shapes.add(analysis.shape)
        assert analysis.nodes[0].details["Tasks Shown"] == "One of 32"
        assert analysis.nodes[2].details["Task Node"] == "host=one"
    assert all(found == trees[0] for found in trees), trees
    assert [depth for depth, _, _ in trees[0]] == [0, 1, 1, 2]
    assert len(shapes) == 1


def test_jobs_that_only_move_rows_are_no_nodes() -> None:
    text = PLAIN_TEXT.replace(
        "  ->  Task\n",
        "  ->  MapMergeJob\n        Map Task Count: 3\n        Merge Task Count: 4\n  ->  Task\n",
    )
    assert tree(analyse(read_plans(text)[0])) == tree(analyse(read_plans(PLAIN_TEXT)[0]))


MASKED = {
    "text": """Limit  (cost=0.00..1.00 rows=5 width=4) (actual rows=5 loops=N)
  ->  Seq Scan on sales  (cost=0.00..9.00 rows=50 width=4) (actual rows=7 loops=xxx)
""",
    "json": """[{"Plan": {"Node Type": "Limit", "Actual Rows": 5, "Actual Loops": null,
"Plans": [{"Node Type": "Seq Scan", "Relation Name": "sales", "Actual Rows": 7}]}}]""",
    "yaml": """- Plan:
    Node Type: "Limit"
    Actual Rows: 5
    Actual Loops: N
    Plans:
      - Node Type: "Seq Scan"
        Relation Name: "sales"
        Actual Rows: 7
        Actual Loops: N
""",
    "xml": """<explain><Query><Plan><Node-Type>Limit</Node-Type>
<Actual-Rows>5</Actual-Rows><Actual-Loops>N</Actual-Loops>
<Plans><Plan><Node-Type>Seq Scan</Node-Type><Relation-Name>sales</Relation-Name>
<Actual-Rows>7</Actual-Rows><Actual-Loops>N</Actual-Loops></Plan></Plans></Plan></Query></explain>
""",
}


@pytest.mark.parametrize("form", MASKED)
def test_masked_loops_are_one_and_said_to_be(form: str) -> None:
    analysis = analyse(read_plans(MASKED[form])[0])
    assert analysis.analysed
    assert [(node.rows, node.loops, node.never_executed) for node in analysis.nodes] == [
        (5, 1, False),
        (7, 1, False),
    ]
    assert any("masked" in caveat for caveat in analysis.caveats)


def test_loops_that_are_known_need_no_caveat() -> None:
    known: dict[str, Any] = {"Node Type": "Seq Scan", "Actual Rows": 5, "Actual Loops": 2}
    assert analyse(read_plans(json.dumps(known))[0]).caveats == ()
    planned: dict[str, Any] = {"Node Type": "Seq Scan", "Plan Rows": 5}
    assert not analyse(read_plans(json.dumps(planned))[0]).analysed


def test_a_plan_of_any_length_among_others() -> None:
    """Most plans are short and are looked for in few lines; one that is longer is not cut."""
    for parts in (10, 398, 399, 400, 401, 2000):
        lines = "\n".join(
            f"  ->  Seq Scan on part_{i}  (cost=0.00..1.00 rows=1 width=4)" for i in range(parts)
        )
        text = (
            f"Append  (cost=0.00..9.00 rows=9 width=4)\n{lines}\n\nResult  (cost=0.00..0.01 rows=1 width=4)\n"
        )
        first, second = read_plans(text)
        assert (len(first.root["Plans"]), second.root["Node Type"]) == (parts, "Result")
