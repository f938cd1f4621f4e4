from __future__ import annotations

from pathlib import Path

import pytest

from adx_lab.errors import UsageError
from adx_lab.report.notebooks.opened import open_judgement
from adx_lab.settings import read_budgets
from tests.conftest import CHECKOUT

TARGETS = {
    "group.gateway.p95_ms": 50,
    "group.auth.p95_ms": 30,
    "group.users.p95_ms": 100,
    "group.files.p95_ms": 200,
    "group.workflows.p95_ms": 150,
    "query.*.p95_ms": 10,
    "throughput_per_s": 1000,
    "users.connected": 10000,
    "database.connections": 100,
    "service.rss_mb": 512,
    "service.cpu_share": 0.5,
}
"""The response times and throughput that the performance rules require."""


def test_every_target_of_the_rules_is_a_budget() -> None:
    budgets = read_budgets(CHECKOUT / "data" / "budgets.toml", "ten_thousand")
    assert {budget.metric: budget.limit for budget in budgets}.items() >= TARGETS.items()


def test_a_scenario_is_judged_by_what_it_can_tell() -> None:
    metrics = {budget.metric for budget in read_budgets(CHECKOUT / "data" / "budgets.toml", "mixed")}
    assert "users.connected" not in metrics
    assert "group.users.p95_ms" in metrics


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there are no budgets"),
        ("[[budget]\n", "is not TOML"),
        ('[[budget]]\nname = "a"\nmetric = "b"\n', "budget 1 of .* has no limit"),
        (
            '[[budget]]\nname = "a"\nmetric = "b"\nlimit = 1\nlimt = 2\n',
            "unknown key limt; did you mean",
        ),
        ('[[budget]]\nname = "a"\nmetric = "b"\nlimit = 1\ndirection = "up"\n', "invalid enum value 'up'"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "budgets.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_budgets(path, "mixed")


def test_a_notebooks_parameters_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the parameter run_id is 3, not text"):
        open_judgement(run_id=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="there is no load or climb in"):
        open_judgement(home=str(tmp_path))
    with pytest.raises(TypeError, match="run_di"):
        open_judgement(run_di="latest")  # type: ignore[call-arg]
