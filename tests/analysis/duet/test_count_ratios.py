"""What a count became is said of the count itself, though it is judged with something added to both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import pytest

from adx_lab.analysis.duet.block_ratios import BlockSeries
from adx_lab.analysis.duet.comparison import Comparison, compare
from adx_lab.analysis.duet.count_ratios import byte_series, count_series
from adx_lab.analysis.stats.sequential_design import SequentialDesign

BLOCKS = 12


def counted(base: float, head: float) -> Comparison:
    """Return what is said of statements a request."""
    rows = [
        {"endpoint": "GET /users", "variant": variant, "block": block, "requests": 200, "rss_mb": 0.0}
        | {"statements": 200 * mean, "pages": 0.0, "valkey_commands": 0.0}
        | {"cpu_ms": 0.0, "database_cpu_ms": 0.0}
        for block in range(BLOCKS)
        for variant, mean in (("base", base), ("head", head))
    ]
    return judged(count_series(pd.DataFrame(rows)), "statements_per_request")


def sized(base: float, head: float) -> Comparison:
    """Return what is said of the bytes of an answer."""
    pairs = pd.DataFrame(
        {"endpoint": "GET /users", "block": np.arange(BLOCKS), "lost_base": False, "lost_head": False}
        | {"bytes_base": base, "bytes_head": head}
    )
    return judged(byte_series(pairs, range(BLOCKS)), "response_bytes")


def judged(series: Iterable[BlockSeries], metric: str) -> Comparison:
    told = compare(tuple(series), SequentialDesign(looks=(BLOCKS,)))
    return next(one for one in told if one.metric == metric)


@pytest.mark.parametrize(
    ("made", "base", "head", "ratio"),
    [
        (counted, 1.0, 11.0, 11.0),
        (counted, 4.0, 2.0, 0.5),
        (sized, 500.0, 2.0, 0.004),
        (sized, 500.0, 1000.0, 2.0),
    ],
)
def test_the_ratio_is_of_what_was_counted(
    made: Callable[[float, float], Comparison], base: float, head: float, ratio: float
) -> None:
    one = made(base, head)
    assert one.ratio == pytest.approx(ratio, rel=0.02)
    assert None not in (one.ratio, one.low, one.high)
    assert sorted((one.low or 0.0, one.ratio or 0.0, one.high or 0.0))[1] == one.ratio
    assert (one.status == "faster") == (made is counted and ratio < 1)


def test_of_what_was_none_the_difference_is_said() -> None:
    one = counted(0.0, 11.0)
    assert (one.ratio, one.status, one.unit) == (None, "slower", "statements")
    assert one.low == pytest.approx(11.0, rel=0.02)


def test_what_is_gone_is_none_of_it() -> None:
    one = sized(500.0, 0.0)
    assert (one.ratio, one.status) == (0.0, "slower")
