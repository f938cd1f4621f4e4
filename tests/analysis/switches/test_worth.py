"""What a rule is worth, from blocks whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.analysis.switches.block_figures import figures_of_block
from adx_lab.analysis.switches.worth import BLOCKS_DECISIVE, RuleBlock, estimate, keeps, weigh


def blocks(ratio: float, count: int = BLOCKS_DECISIVE, noise: float = 0.02) -> list[RuleBlock]:
    rng = np.random.default_rng(1)
    return [
        RuleBlock({"ms": 2.0}, {"ms": 2.0 * ratio * float(np.exp(rng.normal(0, noise)))}, {})
        for _ in range(count)
    ]


def test_a_large_effect_is_a_cost() -> None:
    cost = weigh(blocks(3.0), "ms", "ratio")
    assert cost.status == "costs"
    assert cost.value == pytest.approx(3.0, rel=0.05)
    assert cost.low is not None
    assert cost.high is not None
    assert 1 < cost.low < 3 < cost.high
    assert cost.p == 1 / 2**BLOCKS_DECISIVE
    assert (cost.kept, cost.caveats) == (2.0, ())


def test_the_other_direction_saves() -> None:
    assert weigh(blocks(0.5), "ms", "ratio").status == "saves"


def test_no_effect_is_said_only_where_it_is_known() -> None:
    assert weigh(blocks(1.0, 12, noise=0.005), "ms", "ratio").status == "nothing"
    assert weigh(blocks(1.0, 6, noise=0.3), "ms", "ratio").status == "undecided"


@pytest.mark.parametrize("count", [0, 1, 5])
def test_too_few_blocks_tell_nothing(count: int) -> None:
    cost = weigh(blocks(9.0, count), "ms", "ratio")
    assert cost.status == "undecided"
    assert cost.n_blocks == count
    assert [caveat.code for caveat in cost.caveats] == ["few-blocks"]


def test_a_difference_needs_no_ratio() -> None:
    seen = [RuleBlock({"ms": 0.0}, {"ms": 1000.0}, {}) for _ in range(6)]
    cost = weigh(seen, "ms", "difference")
    assert (cost.status, cost.value, cost.low, cost.high) == ("costs", 1000.0, 1000.0, 1000.0)
    same = [RuleBlock({"ms": 0.0}, {"ms": 0.0}, {}) for _ in range(6)]
    assert weigh(same, "ms", "difference").status == "nothing"


def test_pairs_win_over_the_two_figures() -> None:
    seen = [RuleBlock({"ms": 1.0}, {"ms": 9.0}, {"ms": math.log(2) + 0.01 * n}) for n in range(6)]
    assert weigh(seen, "ms", "ratio").value == pytest.approx(2.05, rel=0.01)


def test_a_limit_is_kept_broken_or_not_told() -> None:
    assert keeps([1.0, 1.1, 0.9, 1.0, 1.05, 0.95], 10) == "pass"
    assert keeps([100.0, 110.0, 90.0, 100.0, 105.0, 95.0], 10) == "fail"
    assert keeps([1.0, 100.0, 2.0, 50.0], 10) == "undecided"
    assert keeps([100.0], 10) == "undecided"
    assert keeps([], 10) == "undecided"
    assert estimate([0.0, 0.0, 0.0]).high == 0.0


def test_a_block_becomes_figures() -> None:
    rng = np.random.default_rng(2)
    rows: list[dict[str, object]] = []
    executed: list[dict[str, object]] = []
    for pair in range(60):
        common = rng.lognormal(0, 1)
        for variant, factor in ((BASE, 1.0), (HEAD, 1.5)):
            executed.append({"sample": len(rows), "query": "files.get", "ms": factor})
            rows.append(
                {
                    "pair": pair,
                    "variant": variant,
                    "endpoint": "GET /files" if pair < 50 else "GET /rare",
                    "service_ms": common * factor,
                    "status": 200,
                    "error": None,
                    "db_queries": 1,
                    "bytes": 100,
                    "valkey_ms": 0.0,
                }
            )
    made = figures_of_block(
        pd.DataFrame(rows), pd.DataFrame(executed), {BASE: 0.006, HEAD: 0.012}, endpoint="GET /files"
    )
    assert made.log_ratio["p50_ms"] == pytest.approx(math.log(1.5))
    assert (made.kept["cpu_us"], made.broken["cpu_us"]) == pytest.approx((100, 200))
    assert made.broken["query_p95_ms"] == pytest.approx(1.5)
    assert made.kept["queries GET /rare"] == 1
    assert "p50_ms GET /rare" not in made.kept
