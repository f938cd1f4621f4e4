"""Measured rules outlive the call, and add up over calls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adx_lab.records.run import Caveat
from adx_lab.report.switches.worth_table import rules_table
from adx_lab.settings import Settings
from adx_lab.store.rule_costs import RuleCost, RuleCosts, read_rule_costs

COST = RuleCost(
    run_id="r1",
    rule="cache.l1",
    at="2026-01-01T00:00:00+00:00",
    machine="m",
    kind="cost",
    scenario="cached",
    subject="GET /auth/me",
    metric="p50 of pairs",
    unit="ms",
    effect="ratio",
    status="costs",
    level=0.95,
    p=1 / 64,
    blocks=6,
    seconds=50.0,
    kept=1.0,
    broken=1.4,
    value=1.4,
    low=1.3,
    high=1.5,
    budget="Authentication",
    limit=30.0,
    budget_kept="pass",
    budget_broken="pass",
    evidence="waiting for Valkey 0 -> 0.3 ms",
    kept_blocks=(1.0, 1.1),
    broken_blocks=(1.4, 1.5),
    caveats=(Caveat("scale", "small"),),
)


def settings_of(tmp_path: Path) -> Settings:
    settings = Settings(home=str(tmp_path))
    settings.data_dir.mkdir(parents=True)
    return settings


def test_the_latest_of_each_rule_is_read(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert read_rule_costs(settings) == {}
    store = RuleCosts(settings)
    later = replace(COST, run_id="r2", at="2026-01-02T00:00:00+00:00", value=1.2)
    tried = replace(COST, run_id="r3", at="2026-01-03T00:00:00+00:00", caveats=(Caveat("few-blocks", "1"),))
    for cost in (tried, later, COST, replace(COST, rule="cache.l2"), COST):
        store.add(cost)
    store.close()
    assert read_rule_costs(settings) == {"cache.l1": later, "cache.l2": replace(COST, rule="cache.l2")}
    assert read_rule_costs(settings, run_id="r3")["cache.l1"] == tried
    assert read_rule_costs(settings, run_id="r1")["cache.l1"] == COST


def test_the_table_says_what_it_costs() -> None:
    price = replace(COST, kind="blindness", status="blind", value=1.02, low=0.99, high=1.05, budget=None)
    stale = replace(COST, effect="difference", value=1000.0, low=1000.0, high=1000.0, budget_broken="fail")
    dead = replace(COST, value=None, low=None, high=None, kept=None, status="undecided", budget_kept=None)
    table = rules_table([COST, price, stale, replace(COST, value=3.2), dead])
    shown = [dict(zip(table.header, row, strict=True)) for row in table.texts]
    assert [row["cost of breaking it"] for row in shown] == [
        "+40.0%",
        "price +2.0%",
        "+1,000 ms",
        "×3.2",
        "–",
    ]
    assert shown[0]["interval"] == "+30.0% to +50.0%"
    assert [row["budget"] for row in shown][:3] == [
        "Authentication 30: kept",
        "none fits",
        "Authentication 30: broken",
    ]
    assert shown[4]["budget"] == "Authentication 30: undecided"
    assert [row["says"] for row in shown] == ["costs", "blind", "costs", "costs", "undecided"]
    assert "Valkey" in table.html()
