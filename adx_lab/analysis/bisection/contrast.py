"""One figure a block from all endpoints that are slower: near 0 for a fast commit, near 1 for a slow one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adx_lab.analysis.bisection.search import middle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adx_lab.analysis.duet.block_ratios import BlockSeries
    from adx_lab.analysis.duet.comparison import Comparison

__all__ = ["Contrast", "Key", "contrast_of"]

Key = tuple[str, str]
"""A subject and its metric."""


@dataclass(frozen=True)
class Contrast:
    """How the log ratios of a block are weighed.

    Attributes
    ----------
    effects : mapping
        The slowdown of each subject and metric that is looked at, a log ratio.
    weights : mapping
        How much each counts: the square of its slowdown over its variance.
    """

    effects: Mapping[Key, float]
    weights: Mapping[Key, float]

    def __call__(self, row: Mapping[Key, float]) -> float:
        """Return a block's figure; NaN where it holds nothing of what is looked at."""
        known = [key for key in self.weights if math.isfinite(row.get(key, math.nan))]
        weight = sum(self.weights[key] for key in known)
        if weight <= 0:
            return math.nan
        return sum(self.weights[key] * row[key] / self.effects[key] for key in known) / weight


def contrast_of(series: Sequence[BlockSeries], comparisons: Sequence[Comparison]) -> Contrast | None:
    """Weigh what the duet of the good and the bad commit found slower; None where it found nothing.

    Parameters
    ----------
    series, comparisons
        Of that duet. Of each subject the metric counts that shows its slowdown best.
    """
    slower = {(one.subject, one.metric) for one in comparisons if one.status == "slower"}
    best: dict[str, tuple[float, Key, float]] = {}
    for one in series:
        key = (one.subject, one.metric)
        values = np.array(one.log_ratio)
        values = values[np.isfinite(values)]
        if key not in slower or one.higher_is_better or values.size < 3:
            continue
        effect = middle(values)
        weight = effect**2 / max(float(values.var(ddof=1)), 1e-8)
        if effect > 0 and weight > best.get(one.subject, (0.0, key, 0.0))[0]:
            best[one.subject] = (weight, key, effect)
    if not best:
        return None
    return Contrast(
        effects={key: effect for _, key, effect in best.values()},
        weights={key: weight for weight, key, _ in best.values()},
    )
