"""What fails, or answers something else, under one variant and not under the other: an exact count of pairs.

Of the pairs of which one half failed, as many should be head's as base's where both fail alike (Q. McNemar:
Note on the sampling error of the difference between correlated proportions. Psychometrika 12, 1947).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom

from adx_lab.analysis.duet.block_ratios import ALL
from adx_lab.analysis.duet.comparison import Comparison, ComparisonStatus
from adx_lab.analysis.duet.pair_ratios import share_that_matters, whole_pairs
from adx_lab.analysis.stats.two_groups import ruled_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

__all__ = [
    "ANSWERS",
    "FAILURES",
    "compare_answers",
    "compare_failures",
    "does_not_start",
    "fails_plainly",
    "holm",
]

FAILURES, ANSWERS = "failures", "other_answers"
SHARE_MATTERS = 0.005
"""Of an endpoint's requests: a smaller excess of failures is left to chance."""

OTHERS_MIN, OTHERS_SHARE = 3, 0.01
_PLAIN = 1e-6


def compare_failures(pairs: pd.DataFrame, *, alpha: float) -> tuple[Comparison, ...]:
    """Compare how often each endpoint fails.

    Parameters
    ----------
    pairs
        From `whole_pairs`, of all movements.
    alpha
        The chance that any endpoint is said to fail more often although none does.
    """
    head_only = (pairs["lost_head"] & ~pairs["lost_base"]).to_numpy()
    base_only = (pairs["lost_base"] & ~pairs["lost_head"]).to_numpy()
    counted = pairs.assign(head_only=head_only, base_only=base_only).groupby("endpoint", sort=True)
    rows = counted[["head_only", "base_only", "lost_base", "lost_head"]].sum()
    sizes = counted.size().to_numpy(dtype=np.float64)
    blocks = pairs[head_only].groupby("endpoint")["block"].nunique()
    more, fewer = rows["head_only"].to_numpy(dtype=np.int64), rows["base_only"].to_numpy(dtype=np.int64)
    p = np.asarray(binom.sf(more - 1, more + fewer, 0.5))
    p[more == 0] = 1.0
    adjusted = holm(p.tolist())
    excess, errors = (more - fewer) / sizes, np.sqrt(more + fewer + 1) / sizes
    limits = np.array([share_that_matters(error) for error in errors.tolist()])
    shut = ruled_out(excess, errors, limits)
    half = 1.645 * errors
    found = []
    for i, endpoint in enumerate(rows.index):
        apart = blocks.get(endpoint, 0) >= min(2, pairs["block"].nunique())
        slower = adjusted[i] <= alpha and excess[i] > SHARE_MATTERS and apart
        status: ComparisonStatus = "slower" if slower else "same" if shut[i] else "undecided"
        found.append(
            Comparison(
                subject=str(endpoint),
                metric=FAILURES,
                level=0.9,
                smallest_effect=float(limits[i]),
                n_blocks=int(pairs["block"].nunique()),
                base=float(rows["lost_base"].iloc[i] / sizes[i]),
                head=float(rows["lost_head"].iloc[i] / sizes[i]),
                unit="share",
                low=float(excess[i] - half[i]),
                high=float(excess[i] + half[i]),
                p=float(adjusted[i]),
                could_see=float(max(SHARE_MATTERS, math.log(alpha / len(rows)) / math.log(0.5) / sizes[i])),
                status=status,
            )
        )
    return tuple(found)


def compare_answers(pairs: pd.DataFrame) -> tuple[Comparison, ...]:
    """Compare the statuses of the pairs of which both halves were answered well: they must be the same."""
    whole = pairs[~(pairs["lost_base"] | pairs["lost_head"]).to_numpy()]
    other = (whole["status_base"] != whole["status_head"]).to_numpy()
    counted = whole.assign(other=other).groupby("endpoint", sort=True)["other"].agg(["sum", "size"])
    found = []
    for endpoint, count, size in zip(counted.index, counted["sum"], counted["size"], strict=True):
        share = count / size
        slower = count >= OTHERS_MIN and share >= OTHERS_SHARE
        status: ComparisonStatus = "slower" if slower else "undecided" if count else "same"
        found.append(
            Comparison(
                subject=str(endpoint),
                metric=ANSWERS,
                level=0.9,
                smallest_effect=OTHERS_SHARE,
                n_blocks=int(pairs["block"].nunique()),
                base=0.0,
                head=float(share),
                unit="share",
                p=0.0 if slower else 1.0,
                status=status,
            )
        )
    return tuple(found)


def does_not_start() -> Comparison:
    """Return the comparison of a base that started with a head that did not, or let nobody in."""
    return Comparison(
        subject=ALL,
        metric="starts",
        level=0.9,
        smallest_effect=1.0,
        n_blocks=0,
        base=1.0,
        head=0.0,
        unit="",
        p=0.0,
        status="slower",
    )


def fails_plainly(samples: pd.DataFrame) -> bool:
    """Tell whether head fails so much more than base that another block could not change it."""
    return any(one.status == "slower" for one in compare_failures(whole_pairs(samples), alpha=_PLAIN))


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that any of them may be the one that is looked at (S. Holm, 1979)."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, worst = [1.0] * len(p), 0.0
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = worst
    return adjusted
