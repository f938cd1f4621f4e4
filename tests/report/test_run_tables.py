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


def test_a_statement_is_told_by_what_it_asks_of_and_no_column_fills_the_page() -> None:
    listed = ", ".join(f"products.column_{number}" for number in range(30))
    where = ("products.category = ?::varchar", "products.id = ?::integer")
    metrics = [f"statement.select {listed} from products where {one}.mean_ms" for one in where]
    table = tables.budgets([result(metric, "below", 10.0, 1.0, "pass") for metric in metrics])
    shown = table.html()
    assert "«select … from products where products.categ" in shown
    assert "«select … from products where products.id = " in shown
    assert "column_9" not in shown
