"""Pairs see what two medians can't: the same request, the same cache, the same moment."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from adx_lab.analysis.duet.block_ratios import block_quantiles
from adx_lab.analysis.duet.pair_ratios import METRIC, pair_series

PAIRS = 150


def world(effect: float, seed: int, *, blocks: int = 12) -> pd.DataFrame:
    """Half of the requests are answered by a cache; which ones, both variants have in common."""
    rng = np.random.default_rng(seed)
    frames = []
    for block in range(blocks):
        cached = rng.random(PAIRS) < 0.5
        common = np.where(cached, 1.0, 3.0) * rng.lognormal(0, 0.8, PAIRS)
        for variant, factor in (("base", 1.0), ("head", 1 + effect)):
            frames.append(
                pd.DataFrame(
                    {
                        "block": block,
                        "pair": np.arange(PAIRS),
                        "variant": variant,
                        "endpoint": np.where(np.arange(PAIRS) % 2, "GET /a", "GET /b"),
                        "service_ms": common * factor * rng.lognormal(0, 0.1, PAIRS),
                        "status": 200,
                        "error": None,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def spread(log_ratio: tuple[float, ...]) -> float:
    return float(np.std(log_ratio, ddof=1))


def test_pairs_are_steadier_than_medians() -> None:
    samples = world(0.0, 1)
    paired = {one.subject: one for one in pair_series(samples)}
    medians = {one.subject: one for one in block_quantiles(samples) if one.metric == "p50_ms"}
    assert set(paired) == {"all", "GET /a", "GET /b"}
    for subject in ("GET /a", "GET /b"):
        assert spread(paired[subject].log_ratio) < 0.8 * spread(medians[subject].log_ratio)


@pytest.mark.parametrize("effect", [-0.1, 0.0, 0.05, 0.1])
def test_the_effect_is_what_it_is(effect: float) -> None:
    paired = {one.subject: np.mean(one.log_ratio) for one in pair_series(world(effect, 2))}
    for ratio in paired.values():
        assert ratio == pytest.approx(np.log1p(effect), abs=0.01)
    assert {one.metric for one in pair_series(world(effect, 2))} == {METRIC}


def test_half_a_pair_does_not_count() -> None:
    samples = world(0.0, 3)
    late = (samples["pair"] < 20) & (samples["variant"] == "head")
    broken = samples.assign(
        error=late.map({True: "it broke", False: None}),
        service_ms=np.where(late, 1e4, samples["service_ms"]),
    )
    kept = samples[samples["pair"] >= 20]
    assert pair_series(broken) == pair_series(kept)


def test_an_endpoint_that_few_blocks_asked_for_is_left_out() -> None:
    samples = world(0.0, 8)
    few = (samples["block"] <= samples["block"].min() + 3) & (samples["pair"] < 5)
    rare = samples.assign(endpoint=np.where(few, "GET /rare", "GET /often"))
    assert {one.subject for one in pair_series(rare)} == {"GET /often"}
