"""What the budgets of one run say: for each one that is broken, where the slow requests spend their time."""

from __future__ import annotations

from adx_lab.analysis.run.budgets import BudgetResult
from adx_lab.analysis.run.tail import TailAttribution
from adx_lab.analysis.verdict import Finding
from adx_lab.report.parts.numbers import number
from adx_lab.report.run.judged_run import Judgement


def budget_findings(judgement: Judgement) -> tuple[Finding, ...]:
    """Return a finding for each broken budget, the one that is broken the most first."""
    broken = [item for item in judgement.budgets if item.status == "fail" and item.value is not None]
    if not broken:
        return ()
    tails = {tail.subject: tail for tail in judgement.tails}
    return tuple(_finding(item, tails) for item in sorted(broken, key=_excess, reverse=True))


def _excess(item: BudgetResult) -> float:
    assert item.value is not None
    if item.direction == "above":
        return item.limit / item.value if item.value else float("inf")
    return item.value / item.limit if item.limit else float("inf")


def _finding(item: BudgetResult, tails: dict[str, TailAttribution]) -> Finding:
    said = f"{item.metric} is {number(item.value)} {item.unit}, its limit {number(item.limit)}"
    endpoint = item.metric.removeprefix("endpoint.").rpartition(".")[0]
    tail = tails.get(endpoint) if item.metric.startswith("endpoint.") else None
    if tail is not None and tail.parts:
        part = tail.parts[0]
        said += f"; {part.share:.0%} of what the slowest take longer is {part.name}"
    return Finding(
        kind="budget",
        subject=item.name,
        cause=said,
        evidence={"metric": item.metric},
        endpoints=(endpoint,) if item.metric.startswith("endpoint.") else (),
        mend="see where its slowest requests spend their time, on the page of endpoints",
        where=item.metric.rpartition(".")[0].partition(".")[2] or item.metric,
    )
