"""A few requests that are far slower are counted over all blocks, and one bad block is no proof."""

from __future__ import annotations

import numpy as np
import pytest

from adx_lab.analysis.duet.block_ratios import BlockSeries
from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.duet.strays import count_strays

PAIRS = 60


def judged(*counts: tuple[tuple[int, int], ...]) -> list[str]:
    """Return what is said of endpoints, given the strays of base and head in each block."""
    series = []
    for place, own in enumerate(counts):
        base, head = np.array(own).sum(axis=0) / (PAIRS * len(own))
        shares = tuple((after - before) / PAIRS for before, after in own)
        series.append(
            BlockSeries(
                f"GET /{place}", "serial_strays", shares, difference=True, matters=0.03, base=float(base),
                head=float(head), unit="share", counts=own,
            )
        )  # fmt: skip
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


def test_equals_are_hardly_ever_called_slower() -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        own = [tuple((int(b), int(h)) for b, h in rng.poisson(1.5, (10, 2))) for _ in range(40)]
        wrong += "slower" in judged(*own)
    assert wrong <= 1
