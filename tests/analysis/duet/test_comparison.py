"""A duet's answers: false alarms as rare as planned, slowdowns found as planned, nothing decided by luck."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from adx_lab.analysis.duet.block_ratios import ALL, BlockSeries, block_quantiles, value_series
from adx_lab.analysis.duet.comparison import Comparison, compare, needs_more
from adx_lab.analysis.stats.quantiles import harrell_davis
from adx_lab.analysis.stats.sequential_design import SequentialDesign
from adx_lab.analysis.stats.sign_flip import step_down
from adx_lab.records.documents import to_json
from tests.analysis.noise import KINDS, duet_noise

ENDPOINTS = 3
PLAN = SequentialDesign(smallest={"p50_ms": 0.03, "p95_ms": 0.05})


def judged(
    rng: np.random.Generator, kind: str, slower: dict[str, float], scale: float = 1.0
) -> list[Comparison]:
    """Run one duet on endpoint 0 made slower, with all its planned looks."""
    noise = duet_noise(rng, PLAN.cap, ENDPOINTS, kind)
    ratios = {
        (e, m): scale * z + (np.log1p(slower.get(m, 0.0)) if e == 0 else 0.0) for (e, m), z in noise.items()
    }
    blocks, more = 0, PLAN.looks[0]
    comparisons: tuple[Comparison, ...] = ()
    while more:
        blocks += more
        comparisons = compare(
            [
                BlockSeries(str(e), m, tuple(r[:blocks].tolist()), gate=m == "p50_ms")
                for (e, m), r in ratios.items()
            ],
            PLAN,
        )
        more = needs_more(comparisons, PLAN, blocks=blocks)
    return list(comparisons)


@pytest.mark.parametrize("kind", KINDS)
def test_the_test_alone_keeps_its_one_percent(kind: str) -> None:
    """Without help from the smallest effect. Of 1,000 duets a true 3% would pass in 4 of 100 tries."""
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(1_000):
        table = np.array(list(duet_noise(rng, 10, ENDPOINTS, kind).values())).T
        alarms += step_down(table, alpha=0.01, seed=0).slower.min() <= 0.01
    assert alarms / 1_000 < 0.02


@pytest.mark.parametrize(
    ("kind", "scale"), [*((kind, 1.0) for kind in KINDS), ("independent", 3.0), ("uneven", 3.0)]
)
def test_a_whole_duet_of_equal_variants_raises_no_alarm(kind: str, scale: float) -> None:
    """With all its looks, at the noise that was measured and at three times that; 2% of 100 duets is 2."""
    rng = np.random.default_rng(12)
    alarms = sum(any(c.status == "slower" for c in judged(rng, kind, {}, scale)) for _ in range(100))
    assert alarms <= 2


@pytest.mark.parametrize("kind", ["independent", "heavy", "dependent"])
def test_five_percent_at_the_median_is_found(kind: str) -> None:
    rng = np.random.default_rng(13)
    found = 0
    for _ in range(100):
        comparisons = judged(rng, kind, {"p50_ms": 0.05, "p95_ms": 0.05})
        found += any((c.subject, c.metric, c.status) == ("0", "p50_ms", "slower") for c in comparisons)
    assert found >= 97


def test_ten_percent_in_the_tail_alone_is_found() -> None:
    rng = np.random.default_rng(14)
    found = sum(
        any(
            (c.subject, c.metric, c.status) == ("0", "p95_ms", "slower")
            for c in judged(rng, "independent", {"p95_ms": 0.1})
        )
        for _ in range(100)
    )
    assert found >= 97


def test_power_is_what_the_could_see_says() -> None:
    """Inject what an A/A duet said it would see in 90%: it must be found in 80 to 98% of 120 tries."""
    rng = np.random.default_rng(15)
    design = SequentialDesign(looks=(12,), smallest={"p50_ms": 0.001, "p95_ms": 0.001})
    found = 0
    for _ in range(120):
        quiet = [
            BlockSeries(str(e), m, tuple(r.tolist()))
            for (e, m), r in duet_noise(rng, 12, ENDPOINTS, "independent").items()
        ]
        place = next(i for i, one in enumerate(quiet) if one.metric == "p95_ms")
        seen = compare(quiet, design)[place].could_see
        assert seen is not None
        fresh = [
            BlockSeries(str(e), m, tuple(r.tolist()))
            for (e, m), r in duet_noise(rng, 12, ENDPOINTS, "independent").items()
        ]
        slowed = tuple(d + np.log1p(seen) for d in fresh[place].log_ratio)
        fresh[place] = BlockSeries("0", "p95_ms", slowed)
        found += compare(fresh, design)[place].status == "slower"
    assert 96 <= found <= 118


def test_a_change_too_small_to_matter_is_the_same() -> None:
    rng = np.random.default_rng(16)
    ratios = np.log(1.015) + 0.002 * rng.normal(size=12)
    (c,) = compare([BlockSeries("e", "p50_ms", tuple(ratios.tolist()))], PLAN)
    assert c.low is not None
    assert c.low > 1  # certainly slower, but not by what matters
    assert c.status == "same"
    assert needs_more([c], PLAN, blocks=12) == 0


def test_faster_and_capacity() -> None:
    rng = np.random.default_rng(17)
    noise = 0.01 * rng.normal(size=12)
    base = [1_000.0] * 12
    quick, less, more = compare(
        [
            BlockSeries("e", "p50_ms", tuple((noise - 0.1).tolist())),
            value_series(
                ALL, "capacity_per_s", base, (1_000 * np.exp(noise - 0.1)).tolist(), higher_is_better=True
            ),
            value_series(ALL, "cpu_ms_per_request", base, (1_000 * np.exp(noise + 0.1)).tolist()),
        ],
        PLAN,
    )
    assert (quick.status, less.status, more.status) == ("faster", "slower", "slower")
    assert quick.ratio is not None
    assert quick.ratio < 0.95
    assert less.ratio is not None
    assert less.ratio < 0.95
    assert less.low is not None
    assert less.high is not None
    assert less.low < less.ratio < less.high < 1
    assert json.loads(to_json(less))["status"] == "slower"


def test_a_noisy_duet_is_undecided_and_says_what_it_could_have_seen() -> None:
    rng = np.random.default_rng(18)
    (c,) = compare([BlockSeries("e", "p50_ms", tuple((0.1 * rng.normal(size=12)).tolist()))], PLAN)
    assert c.status == "undecided"
    assert c.open
    assert c.could_see is not None
    assert c.could_see > 0.1
    assert needs_more([c], PLAN, blocks=12) == 4
    assert needs_more([c], PLAN, blocks=16) == 0


def test_nothing_is_decided_between_looks() -> None:
    series = [BlockSeries("e", "p50_ms", tuple(np.linspace(0.19, 0.21, 11).tolist()))]
    (c,) = compare(series, PLAN)
    assert c.status == "undecided"
    assert [caveat.code for caveat in c.caveats] == ["not-a-look"]
    assert needs_more([c], PLAN, blocks=11) == 1
    (later,) = compare([BlockSeries("e", "p50_ms", tuple(np.linspace(0.19, 0.21, 12).tolist()))], PLAN)
    assert later.status == "slower"


def test_too_few_blocks() -> None:
    (c,) = compare([BlockSeries("e", "p50_ms", (0.1, 0.2, float("nan"), 0.1))], PLAN)
    assert (c.status, c.ratio, c.n_blocks) == ("undecided", None, 3)
    assert c.open
    assert compare([], PLAN) == ()
    assert needs_more([], PLAN, blocks=0) == 12


def duet_samples(blocks: int = 6, requests: int = 150, tail: float = 1.0) -> pd.DataFrame:
    rng = np.random.default_rng(19)
    parts = []
    for block in range(blocks):
        for variant in ("base", "head"):
            for endpoint, scale in (("GET /me", 1.0), ("GET /users", 4.0), ("POST /rare", 9.0)):
                n = 15 if endpoint == "POST /rare" else requests
                times = scale * rng.lognormal(0, 0.5, n)
                if variant == "head" and endpoint == "GET /users":
                    times = np.where(times > np.quantile(times, 0.9), times * tail, times)
                parts.append(
                    pd.DataFrame(
                        {
                            "service_ms": times,
                            "endpoint": endpoint,
                            "variant": variant,
                            "block": block,
                            "status": 200,
                        }
                    )
                )
    return pd.concat(parts, ignore_index=True).sample(frac=1, random_state=1)


def test_blocks_are_reduced_to_log_ratios() -> None:
    samples = duet_samples()
    series = {(one.subject, one.metric): one for one in block_quantiles(samples)}
    assert list(series) == [
        (ALL, "p50_ms"), (ALL, "p95_ms"), ("GET /me", "p50_ms"), ("GET /me", "p95_ms"),
        ("GET /users", "p50_ms"), ("GET /users", "p95_ms"), ("POST /rare", "p50_ms"),
    ]  # fmt: skip
    block = samples[(samples.block == 2) & (samples.endpoint == "GET /me")]
    want = np.log(
        harrell_davis(np.sort(block.service_ms[block.variant == "head"].to_numpy()), 0.95)
        / harrell_davis(np.sort(block.service_ms[block.variant == "base"].to_numpy()), 0.95)
    )
    assert series["GET /me", "p95_ms"].log_ratio[2] == pytest.approx(want, rel=1e-12)
    assert not series["GET /me", "p95_ms"].gate
    assert series[ALL, "p95_ms"].gate
    parts = [series[e, "p50_ms"].log_ratio[0] for e in ("GET /me", "GET /users", "POST /rare")]
    assert series[ALL, "p50_ms"].log_ratio[0] == pytest.approx(np.average(parts, weights=[150, 150, 15]))


def test_failed_requests_do_not_count_as_fast() -> None:
    samples = duet_samples()
    broken = samples.assign(status=np.where(samples.variant == "head", 500, 200))
    assert block_quantiles(broken) == ()


def test_the_same_samples_give_the_same_answer_bit_for_bit_in_any_order() -> None:
    samples = duet_samples(blocks=12, tail=1.5)
    first = compare(block_quantiles(samples), PLAN)
    again = compare(block_quantiles(samples.sample(frac=1, random_state=2)), PLAN)
    assert first == again
    assert [c.status for c in first if (c.subject, c.metric) == ("GET /users", "p95_ms")] == ["slower"]
