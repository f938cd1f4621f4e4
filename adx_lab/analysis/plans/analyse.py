"""From one explained statement to everything the lab says about it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.plans.labels import is_known, label, relation_of
from adx_lab.analysis.plans.records import PlanAnalysis, PlanDocument, PlanFinding, PlanNode
from adx_lab.analysis.plans.rules.context import Context
from adx_lab.analysis.plans.rules.find import find
from adx_lab.analysis.plans.shape import shape_of_tree
from adx_lab.analysis.plans.times.certificate import certify, executing_ms, outside_of_nodes
from adx_lab.analysis.plans.times.estimates import early_stops, estimate_factor
from adx_lab.analysis.plans.times.settle import TimeAccount, bounded_self, settle
from adx_lab.analysis.plans.tree import (
    LOOPS_UNKNOWN,
    PlanTree,
    count,
    flatten,
    is_apart,
    number,
    text,
    workers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_REMOVED = (
    "Rows Removed by Filter",
    "Rows Removed by Join Filter",
    "Rows Removed by Index Recheck",
    "Rows Removed by Conflict Filter",
)
_STRUCTURE = frozenset({"Plans", "Workers", "Node Type", "Output", LOOPS_UNKNOWN})
_IO_TIMES = (
    "I/O Read Time",
    "I/O Write Time",
    "Shared I/O Read Time",
    "Shared I/O Write Time",
    "Local I/O Read Time",
    "Local I/O Write Time",
    "Temp I/O Read Time",
    "Temp I/O Write Time",
)


def analyse(document: PlanDocument, context: Context | None = None) -> PlanAnalysis:
    """Analyse one plan: times, pages, estimates, shape, findings, and the certificate of the sums.

    Parameters
    ----------
    document
        A plan from `read_plans`; with or without ANALYZE, BUFFERS, VERBOSE.
    context
        What is known beside the plan: sizes of tables and how stale their statistics are, indexes,
        thresholds.
    """
    tree = flatten(document.root)
    account = settle(tree, executing_ms(document))
    outside = outside_of_nodes(document, tree, account)
    stops = early_stops(tree)
    nodes = tuple(_node(tree, account, index, stopped_early=stops[index]) for index in range(len(tree)))
    bare = PlanAnalysis(
        shape=shape_of_tree(tree),
        execution_ms=outside.execution_ms,
        planning_ms=number(document.body, "Planning Time"),
        unattributed_ms=None if outside.rest is None else outside.rest.value,
        certificate=certify(tree, account, outside),
        nodes=nodes,
        findings=(),
        query_text=document.query_text,
        query_id=_query_id(document.body),
        triggers=outside.triggers,
        serialization_ms=outside.serialization_ms,
        jit_ms=_jit_ms(document.body, tree),
        planning_pages=_planning_pages(document.body),
        settings=_settings(document.body),
        hit_ratio=_hit_ratio(nodes[0]),
        analysed=number(tree.nodes[0], "Actual Loops") is not None,
        timed=account.times.clock[0] is not None,
        buffered=nodes[0].shared_hit is not None,
        line=document.line,
        facts=document.facts,
        caveats=tuple(_caveats(tree)),
    )
    return _with_findings(bare, find(bare, tree, context or Context()))


def _with_findings(analysis: PlanAnalysis, findings: tuple[PlanFinding, ...]) -> PlanAnalysis:
    by_path: dict[str, list[PlanFinding]] = {}
    for finding in findings:
        by_path.setdefault(finding.path, []).append(finding)
    nodes = tuple(
        replace(node, findings=tuple(by_path[node.path])) if node.path in by_path else node
        for node in analysis.nodes
    )
    return replace(analysis, nodes=nodes, findings=findings)


def _node(tree: PlanTree, account: TimeAccount, index: int, *, stopped_early: bool) -> PlanNode:
    node = tree.nodes[index]
    loops, rows = number(node, "Actual Loops"), number(node, "Actual Rows")
    inclusive, own = account.times.clock[index], bounded_self(tree, account, index)
    return PlanNode(
        path=tree.paths[index],
        type=_type(node),
        relation=relation_of(node),
        index=text(node, "Index Name") or None,
        loops=loops,
        inclusive_ms=None if inclusive is None else inclusive.value,
        self_ms=None if own is None else own.value,
        self_ms_low=None if own is None else own.low,
        self_ms_high=None if own is None else own.high,
        rows=rows,
        planned_rows=number(node, "Plan Rows"),
        estimate_factor=estimate_factor(tree, index, stopped_early=stopped_early),
        shared_hit=count(node, "Shared Hit Blocks"),
        shared_read=count(node, "Shared Read Blocks"),
        temp_written=count(node, "Temp Written Blocks"),
        rows_removed=_rows_removed(node, loops),
        findings=(),
        label=label(node),
        parent=tree.parents[index],
        depth=tree.depths[index],
        relationship=text(node, "Subplan Name") or text(node, "Parent Relationship") or None,
        alias=text(node, "Alias") or None,
        known=is_known(node),
        never_executed=loops == 0,
        stopped_early=stopped_early,
        rows_total=None if rows is None or loops is None else rows * loops,
        cpu_ms=account.times.everywhere[index],
        workers=len(workers(node)),
        shared_dirtied=count(node, "Shared Dirtied Blocks"),
        shared_written=count(node, "Shared Written Blocks"),
        local_hit=count(node, "Local Hit Blocks"),
        local_read=count(node, "Local Read Blocks"),
        temp_read=count(node, "Temp Read Blocks"),
        io_ms=_io_ms(node),
        self_shared_hit=account.self_pages["Shared Hit Blocks"][index],
        self_shared_read=account.self_pages["Shared Read Blocks"][index],
        self_temp_written=account.self_pages["Temp Written Blocks"][index],
        cost=number(node, "Total Cost"),
        details={key: value for key, value in node.items() if key not in _STRUCTURE},
    )


def _caveats(tree: PlanTree) -> Iterator[str]:
    if any(LOOPS_UNKNOWN in node for node in tree.nodes):
        yield "how often nodes ran is masked: once is assumed, so that totals are the least that they can be"
    if any(is_apart(node) for node in tree.nodes):
        shown = {text(node, "Tasks Shown") for node in tree.nodes} - {"", "All"}
        some = f" (shown: {', '.join(sorted(shown)).lower()})" if shown else ""
        yield f"what other servers did{some} is on their own clocks: it is no part of the sum"


def _type(node: Mapping[str, Any]) -> str:
    value = node.get("Node Type")
    return value if isinstance(value, str) and value else "(no type)"


def _rows_removed(node: Mapping[str, Any], loops: float | None) -> float | None:
    found = [number(node, key) for key in _REMOVED if number(node, key) is not None]
    if loops is None:
        return None
    return sum(value for value in found if value is not None) * loops


def _io_ms(node: Mapping[str, Any]) -> float | None:
    found = [value for key in _IO_TIMES if (value := number(node, key)) is not None]
    return sum(found) if found else None


def _query_id(body: Mapping[str, Any]) -> int | None:
    value = body.get("Query Identifier")  # 64 bits: more than a float holds
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _jit_ms(body: Mapping[str, Any], tree: PlanTree) -> float | None:
    jit = body.get("JIT")
    timing = jit.get("Timing") if isinstance(jit, dict) else None
    total = number(timing, "Total") if isinstance(timing, dict) else None
    if total is None:
        return None
    # PostgreSQL prints the sum over the leader and its workers (ExplainPrintJITSummary), which compile the
    # same expressions at the same time: the sum can be several times the execution.
    return total / (1 + max(number(node, "Workers Launched") or 0.0 for node in tree.nodes))


def _planning_pages(body: Mapping[str, Any]) -> int | None:
    planning = body.get("Planning")
    if not isinstance(planning, dict):
        return None
    return (count(planning, "Shared Hit Blocks") or 0) + (count(planning, "Shared Read Blocks") or 0)


def _settings(body: Mapping[str, Any]) -> dict[str, str]:
    settings = body.get("Settings")
    return {str(key): str(value) for key, value in settings.items()} if isinstance(settings, dict) else {}


def _hit_ratio(root: PlanNode) -> float | None:
    pages = root.pages
    return None if not pages else (root.shared_hit or 0) / pages
