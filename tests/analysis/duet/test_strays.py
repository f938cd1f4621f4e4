"""A few requests that are far slower are counted over all blocks, and one bad block is no proof."""

from __future__ import annotations

import numpy as np
import pytest

from adx_lab.analysis.duet.block_ratios import BlockSeries
from adx_lab.analysis.duet.comparison import Comparison, compare
from adx_lab.analysis.duet.strays import count_strays
from adx_lab.analysis.stats.sequential_design import SequentialDesign

PAIRS = 60


def series_of(*counts: tuple[tuple[int, int], ...], pairs: int = PAIRS) -> list[BlockSeries]:
    """Return what is known of endpoints, given the strays of base and head in each block."""
    series = []
    for place, own in enumerate(counts):
        total = pairs * len(own)
        base, head = np.array(own).sum(axis=0)
        shares = tuple((after - before) / pairs for before, after in own)
        noise = float(np.sqrt(base + head + 1) / total * np.sqrt(len(own)))
        series.append(
            BlockSeries(
                f"GET /{place}", "serial_strays", shares, difference=True, matters=0.03, noise=noise,
                base=float(base / total), head=float(head / total), unit="share", counts=own,
            )
        )  # fmt: skip
    return series


def judged(*counts: tuple[tuple[int, int], ...]) -> list[str]:
    """Return what is said of endpoints, given the strays of base and head in each block."""
    series = series_of(*counts)
    comparisons = [Comparison(one.subject, one.metric, 0.9, 0.03, len(counts[0])) for one in series]
    return [one.status for one in count_strays(comparisons, series, alpha=0.0025)]


def test_a_twentieth_of_the_requests_is_found_over_all_blocks() -> None:
    assert judged(((0, 3),) * 10, ((0, 0),) * 10) == ["slower", "undecided"]
    assert judged(((1, 5),) * 10) == ["slower"]


@pytest.mark.parametrize(
    "counts",
    [
        ((0, 30), *((0, 0),) * 9),  # a checkpoint, a collection: all in one block
        ((2, 3),) * 10,  # as many as chance gives
        ((0, 1),) * 10,  # fewer than matter
        ((3, 0),) * 10,  # base's
    ],
)
def test_what_one_block_or_chance_gives_is_no_slowdown(counts: tuple[tuple[int, int], ...]) -> None:
    assert judged(counts) == ["undecided"]


def test_strays_of_a_few_blocks_are_not_ruled_out_by_the_others() -> None:
    """The middle block has none, and head has nine of 200 more all the same."""
    few, none = ((0, 3),) * 3 + ((0, 0),) * 7, ((0, 0),) * 10
    told = compare(series_of(few, none, pairs=20), SequentialDesign(looks=(10,)))
    assert [one.closed for one in told] == [False, True]


def test_equals_are_hardly_ever_called_slower() -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        own = [tuple((int(b), int(h)) for b, h in rng.poisson(1.5, (10, 2))) for _ in range(40)]
        wrong += "slower" in judged(*own)
    assert wrong <= 1
