"""Strays counted pair by pair: what a few of an endpoint's requests suffer, and most do not.

The values of whole blocks say little of what befalls a twentieth of the requests: of sixty pairs three. All
of a duet together are many, and where both variants are the same each is as likely head's as base's. What the
pairs of one block have in common (a checkpoint, a collection) could make many of one: so it must be seen in
most of the blocks that show any, and beyond what matters.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from adx_lab.analysis.duet.failures import holm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adx_lab.analysis.duet.block_ratios import BlockSeries
    from adx_lab.analysis.duet.comparison import Comparison

__all__ = ["count_strays"]

BLOCKS_MIN = 4
BLOCKS_SHARE = 0.7


def count_strays(
    comparisons: Sequence[Comparison], series: Sequence[BlockSeries], *, alpha: float
) -> tuple[Comparison, ...]:
    """Call slower what the count of strays leaves no doubt of, besides what the blocks' values say.

    Parameters
    ----------
    comparisons
        Of `series`, in its order.
    series
        With the strays of each block.
    alpha
        The chance that anything is called slower although nothing is.
    """
    places = [i for i, one in enumerate(series) if one.counts is not None and one.gate]
    chances = holm([_chance(series[i]) for i in places])
    told = list(comparisons)
    for i, p in zip(places, chances, strict=True):
        one = comparisons[i]
        if one.status not in {"slower", "faster"} and p <= alpha and _plain(series[i]):
            told[i] = replace(one, status="slower", p=p, closed=False)
    return tuple(told)


def _chance(one: BlockSeries) -> float:
    base, head = np.array(one.counts).sum(axis=0)
    return float(binom.sf(head - 1, base + head, 0.5)) if head else 1.0


def _plain(one: BlockSeries) -> bool:
    """Tell whether most blocks that have any strays have more of head's, and it is a share that matters."""
    counts = np.array(one.counts)
    more, fewer = int((counts[:, 1] > counts[:, 0]).sum()), int((counts[:, 1] < counts[:, 0]).sum())
    seen = more >= BLOCKS_MIN and more >= BLOCKS_SHARE * (more + fewer)
    return seen and (one.head or 0.0) - (one.base or 0.0) > (one.matters or 0.0)
