"""Tables of a run: what stands in them is what was judged, the right way round."""

from __future__ import annotations

from adx_lab.analysis.run.budgets import BudgetResult
from adx_lab.report.run import tables


def result(metric: str, direction: str, limit: float, value: float, status: str) -> BudgetResult:
    return BudgetResult(
        name=metric, metric=metric, limit=limit, direction=direction, unit="ms",  # type: ignore[arg-type]
        value=value, low=value, high=value, n=10, status=status,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_limit_is_written_in_the_direction_in_which_it_holds() -> None:
    below = result("group.users.p95_ms", "below", 100.0, 3.0, "pass")
    above = result("throughput_per_s", "above", 900.0, 1000.0, "pass")
    shown = tables.budgets((below, above)).html()
    assert "≤ 100" in shown
    assert "≥ 900" in shown
    assert "≥ 100" not in shown
    assert "≤ 900" not in shown
