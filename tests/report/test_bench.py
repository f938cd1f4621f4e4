from __future__ import annotations

from pathlib import Path

from adx_lab.report.bench import judge_run, make_run


def test_a_made_run_is_judged_whole(tmp_path: Path) -> None:
    make_run(tmp_path, 20_000)
    budgets = tmp_path / "budgets.toml"
    found = judge_run(tmp_path, budgets)
    assert found["requests"] == 20_000
    # Throughput and errors; five groups, twelve endpoints and three queries at four percentiles each; each
    # endpoint's own error rate.
    assert found["metrics"] == 2 + 4 * (5 + 12 + 3) + 12
