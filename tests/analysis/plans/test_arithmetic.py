"""The traps of the arithmetic, each on the smallest plan that has it, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from adx_lab.analysis.plans import PlanAnalysis, PlanDocument, analyse, read_plans


def node(kind: str, total: float | None, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Build a node; ``total`` is its Actual Total Time, None for one that was never executed."""
    found: dict[str, Any] = {"Node Type": kind, "Parent Relationship": "Outer", "Plan Rows": 1}
    loops = more.pop("loops", 1) if total is not None else 0
    found |= {"Actual Total Time": total or 0.0, "Actual Rows": 1, "Actual Loops": loops}
    found |= {key.replace("_", " "): value for key, value in more.items()}
    return found | ({"Plans": list(children)} if children else {})


def plan(root: dict[str, Any], execution: float | None = None, **more: Any) -> PlanAnalysis:
    body = {"Plan": root} | ({} if execution is None else {"Execution Time": execution})
    return analyse(PlanDocument(body | {key.replace("_", " "): value for key, value in more.items()}))


def selfs(analysis: PlanAnalysis) -> list[float]:
    assert analysis.certificate.holds, analysis.certificate.text
    return [round(item.self_ms or 0.0, 6) for item in analysis.nodes]


def test_loops_multiply_times_and_their_rounding_but_not_pages() -> None:
    inner = node("Index Scan", 0.002, loops=1000, Shared_Hit_Blocks=3000, Parent_Relationship="Inner")
    outer = node("Seq Scan", 1.0, Shared_Hit_Blocks=10)
    found = plan(node("Nested Loop", 5.0, outer, inner, Shared_Hit_Blocks=3010), 5.5)
    assert selfs(found) == [2.0, 1.0, 2.0]
    assert found.unattributed_ms == pytest.approx(0.5)
    assert (found.nodes[2].self_ms_low, found.nodes[2].self_ms_high) == pytest.approx((1.5, 2.5))
    assert [item.self_pages for item in found.nodes] == [0, 10, 3000]


def test_workers_are_divided_where_only_the_average_is_known() -> None:
    scan = node("Seq Scan", 4.0, loops=3, Parallel_Aware=True)
    assert selfs(plan(node("Gather", 5.0, scan, Workers_Launched=2), 5.0)) == [1.0, 4.0]


def test_workers_named_leave_the_leader_exactly() -> None:
    workers = [{"Worker Number": i, "Actual Total Time": 9.0, "Actual Loops": 1} for i in range(2)]
    scan = node("Seq Scan", 8.0, loops=3, Workers=workers)
    found = plan(node("Gather", 10.0, scan, Workers_Launched=2), 10.0)
    assert selfs(found) == [4.0, 6.0]  # 3 x 8 - 2 x 9
    assert found.nodes[1].cpu_ms == 24.0


def test_a_leader_that_stood_aside_is_replaced_by_the_average() -> None:
    workers = [{"Worker Number": i, "Actual Total Time": 4.0, "Actual Loops": 1} for i in range(2)]
    scan = node("Seq Scan", 4.0, loops=2, Workers=workers)
    assert selfs(plan(node("Gather", 5.0, scan, Workers_Launched=2), 5.0)) == [1.0, 4.0]


def test_a_shutdown_is_charged_to_the_limit_that_waited_for_it() -> None:
    gather = node("Gather Merge", 1626.206, node("Sort", 1615.0, loops=3), Workers_Launched=2)
    limit = node("Limit", 1626.219, node("Aggregate", 1621.740, gather))
    assert selfs(plan(limit, 1626.7)) == [0.013, 0.0, 11.206, 1615.0]


def test_a_cte_is_taken_from_its_scans_in_proportion_pages_too() -> None:
    cte = node("Seq Scan", 6.0, Parent_Relationship="InitPlan", Subplan_Name="CTE c", Shared_Hit_Blocks=60)
    first = node("CTE Scan", 8.0, CTE_Name="c", Shared_Hit_Blocks=60)
    second = node("CTE Scan", 4.0, CTE_Name="c", Parent_Relationship="Inner", Shared_Hit_Blocks=0)
    found = plan(node("Nested Loop", 13.0, cte, first, second, Shared_Hit_Blocks=60), 13.0)
    assert selfs(found) == [1.0, 6.0, 4.0, 2.0]
    assert [item.self_pages for item in found.nodes] == [0, 60, 0, 0]


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("InitPlan 1 (returns $0)", "(score > $0)"),
        ("InitPlan 1 (returns $0,$1)", "(score > $1)"),
        ("InitPlan 1", "(score > (InitPlan 1).col1)"),
        ("InitPlan expr_1", "(score > (InitPlan expr_1).col1)"),
    ],
)
def test_an_init_plan_is_charged_to_the_node_that_uses_it(name: str, use: str) -> None:
    init = node("Aggregate", 3.0, Parent_Relationship="InitPlan", Subplan_Name=name)
    other = node("Seq Scan", 4.0, Filter="(a > $10) AND (b > (InitPlan 10).col1)")
    user = node("Seq Scan", 5.0, Filter=use, Parent_Relationship="Inner")
    assert selfs(plan(node("Nested Loop", 10.0, init, other, user), 10.0)) == [1.0, 3.0, 4.0, 2.0]


def test_an_init_plan_that_workers_need_runs_in_the_gather() -> None:
    init = node("Aggregate", 3.0, Parent_Relationship="InitPlan", Subplan_Name="InitPlan 1")
    scan = node("Seq Scan", 4.0, loops=3, Filter="(a > (InitPlan 1).col1)")
    top = node("Aggregate", 9.0, init, node("Gather", 8.0, scan, Workers_Launched=2))
    assert selfs(plan(top, 9.0)) == [1.0, 3.0, 1.0, 4.0]


def test_an_init_plan_in_a_rescanned_index_condition_runs_in_the_join() -> None:
    init = node("Aggregate", 3.0, Parent_Relationship="InitPlan", Subplan_Name="InitPlan 1 (returns $0)")
    inner = node("Index Scan", 0.1, loops=10, Index_Cond="(id = $0)", Parent_Relationship="Inner")
    join = node("Nested Loop", 6.0, node("Seq Scan", 1.0), inner)
    assert selfs(plan(node("Limit", 6.5, init, join), 6.5)) == [0.5, 3.0, 1.0, 1.0, 1.0]


def test_sub_plans_are_ordinary_children() -> None:
    sub = node("Index Scan", 0.2, loops=10, Parent_Relationship="SubPlan", Subplan_Name="SubPlan 1")
    assert selfs(plan(node("Seq Scan", 5.0, sub), 5.0)) == [3.0, 2.0]


def test_what_never_ran_took_nothing_and_is_no_misestimate() -> None:
    never = node("Seq Scan", None, Plan_Rows=100_000, Parent_Relationship="Inner")
    found = plan(node("Nested Loop", 1.0, node("Seq Scan", 0.5), never), 1.0)
    assert selfs(found) == [0.5, 0.5, 0.0]
    assert found.nodes[2].never_executed
    assert found.nodes[2].estimate_factor is None
    assert found.findings == ()


def test_jit_is_in_the_nodes_already_and_serialization_is_outside() -> None:
    jit = {"Functions": 3, "Timing": {"Generation": {"Deform": 0.1, "Total": 0.2}, "Total": 4.0}}
    found = plan(node("Seq Scan", 5.0), 8.0, JIT=jit, Serialization={"Time": 2.0})
    assert found.unattributed_ms == pytest.approx(1.0)
    assert (found.jit_ms, found.serialization_ms) == (4.0, 2.0)
    assert [finding.kind for finding in found.findings] == ["jit"]


def test_triggers_before_are_in_the_node_and_after_are_not() -> None:
    triggers = [
        {"Trigger Name": "before", "Relation": "t", "Time": 3.0, "Calls": 1},
        {"Trigger Name": "RI_1", "Constraint Name": "fk", "Relation": "t", "Time": 1.5, "Calls": 1},
    ]
    found = plan(node("ModifyTable", 5.0), 7.0, Triggers=triggers)
    assert selfs(found) == [5.0]
    assert [trigger.inside for trigger in found.triggers] == [True, False]
    assert found.unattributed_ms == pytest.approx(0.5)


def test_estimates_know_fractions_pruning_and_early_stops() -> None:
    assert plan(node("Seq Scan", 1.0, Actual_Rows=0.25)).nodes[0].estimate_factor == 1
    pruned = node("Append", 1.0, Plan_Rows=1000, Subplans_Removed=9)
    assert plan(pruned).nodes[0].estimate_factor is None
    reached = node(
        "Limit", 1.0, node("Seq Scan", 1.0, Plan_Rows=1000, Actual_Rows=5), Plan_Rows=5, Actual_Rows=5
    )
    assert plan(reached).nodes[1].estimate_factor is None
    ran_dry = node(
        "Limit", 1.0, node("Seq Scan", 1.0, Plan_Rows=1000, Actual_Rows=5), Plan_Rows=50, Actual_Rows=5
    )
    assert plan(ran_dry).nodes[1].estimate_factor == pytest.approx(0.005)
    sort = node(
        "Sort", 1.0, node("Seq Scan", 1.0, Plan_Rows=1000, Actual_Rows=5), Plan_Rows=1000, Actual_Rows=5
    )
    blocked = plan(node("Limit", 1.0, sort, Plan_Rows=5, Actual_Rows=5))
    assert [item.estimate_factor for item in blocked.nodes] == [1, None, pytest.approx(0.005)]


def test_query_ids_keep_all_their_bits() -> None:
    assert plan(node("Result", 1.0), Query_Identifier=-2554755193460711317).query_id == -2554755193460711317


def test_a_wrong_sum_is_not_certified() -> None:
    found = plan(node("Limit", 1.0, node("Seq Scan", 2.0)), 1.0)
    assert not found.certificate.holds
    assert found.certificate.negative == ("0",)
    assert not plan(node("Limit", 5.0), 1.0).certificate.holds


def test_the_shape_knows_decisions_and_nothing_else() -> None:
    scan: dict[str, Any] = {
        "Node Type": "Index Scan",
        "Relation Name": "users",
        "Index Name": "i",
        "Index Cond": "(id = 1)",
    }
    same = scan | {
        "Index Cond": "(u.id = $1)",
        "Alias": "u",
        "Total Cost": 9,
        "Actual Rows": 3,
        "Schema": "x",
    }
    same |= {"Workers": [], "Sort Method": "quicksort", "Output": ["id"]}
    others = [
        scan | {"Index Name": "j"},
        scan | {"Relation Name": "files"},
        scan | {"Node Type": "Index Only Scan"},
        scan | {"Filter": "(a = 1)"},
        scan | {"Scan Direction": "Backward"},
        scan | {"Plans": [scan]},
    ]
    assert plan(scan).shape == plan(same).shape
    assert len({plan(item).shape for item in [scan, *others]}) == len(others) + 1


@pytest.mark.parametrize(
    ("planned_ms", "executed_ms", "scans", "found"),
    [(9.0, 3.0, 1, True), (9.0, 30.0, 1, False), (1.0, 0.1, 1, False), (90.0, 3.0, 300, True)],
)
def test_planning_above_execution_is_found(
    planned_ms: float, executed_ms: float, scans: int, found: bool
) -> None:
    parts = [node("Seq Scan", 0.001, Relation_Name=f"part_{i}") for i in range(scans)]
    analysed = plan(node("Append", executed_ms, *parts), executed_ms, Planning_Time=planned_ms)
    findings = [item for item in analysed.findings if item.kind == "planning"]
    assert bool(findings) == found
    assert ("partition key" in findings[0].mend if findings else scans == 1) == (scans == 300 or not found)


def test_workers_that_outlast_their_gather_leave_the_sum_whole() -> None:
    """An EXISTS has its row while workers are still at theirs: their average is more than the Gather's."""
    scan = node("Seq Scan", 256.9, **{"Actual Loops": 4, "Parallel Aware": True})
    named = {"Parent Relationship": "InitPlan", "Subplan Name": "InitPlan 1", "Workers Launched": 3}
    analysed = plan(node("Result", 217.2, node("Gather", 217.1, scan, **named)), 217.3)
    assert analysed.certificate.holds, analysed.certificate.text
    assert min(selfs(analysed)) >= 0


SHUT_DOWN_LATE = """Finalize Aggregate (actual time=155.875..184.321 rows=1 loops=1)
  Output: count(*)
  Buffers: shared hit=561
  InitPlan 1
    ->  Aggregate (actual time=121.554..149.705 rows=1 loops=1)
          Output: avg(slow(notes.id))
          Buffers: shared hit=5
  ->  Gather (actual time=134.402..156.150 rows=4 loops=1)
        Output: (PARTIAL count(*))
        Workers Planned: 1
        Workers Launched: 1
        Buffers: shared hit=561
        ->  Parallel Seq Scan on public.users (actual time=0.013..5.908 rows=3745 loops=2)
              Output: users.id
              Filter: ((users.score)::numeric > (InitPlan 1).col1)
              Buffers: shared hit=556
              Worker 0:  actual time=0.001..0.001 rows=0 loops=1
Execution Time: 184.406 ms
"""


def test_an_init_plan_that_ended_after_its_user_is_charged_to_both_clocks() -> None:
    """It ran in the Gather before the workers began, and what it had left running ended with the plan."""
    analysis = analyse(read_plans(SHUT_DOWN_LATE)[0])
    assert analysis.certificate.holds, analysis.certificate.text
    root, init_plan, gather, scan = analysis.nodes
    assert scan.self_ms == pytest.approx(11.815)
    assert init_plan.self_ms == pytest.approx(149.705)
    assert gather.self_ms == pytest.approx(0.0)
    assert root.self_ms == pytest.approx(184.321 - 11.815 - 149.705)


def test_the_end_of_a_writing_cte_is_its_owners_where_nothing_came_after() -> None:
    """The nodes are shut down within the root's time; only a CTE that was not read whole goes on later."""
    gone = node("ModifyTable", 0.408, Parent_Relationship="InitPlan", Subplan_Name="CTE gone")
    scan = node("CTE Scan", 0.366, CTE_Name="gone")
    shut_down = plan(node("Aggregate", 0.467, gone, scan), 0.491)
    assert selfs(shut_down) == [0.059, 0.408, 0.0]
    went_on = plan(node("Aggregate", 0.467, gone, scan), 0.6)
    assert selfs(went_on) == [0.101, 0.408, 0.0]
    assert went_on.unattributed_ms == pytest.approx(0.6 - 0.467 - 0.042)
