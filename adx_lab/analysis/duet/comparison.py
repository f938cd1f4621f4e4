"""Compare two variants that were measured side by side, block by block.

The unit of evidence is the block, with its fresh processes and its fresh database: requests of one block
share whatever befell it, and counting them as independent is how false alarms are made. So each block gives
one number for each endpoint and metric, the log of head's quantile over base's, and everything after rests on
these.

What is assumed: blocks are independent, and a block's log ratio is symmetric about its true value. What
machines do to both variants (drift, a noisy neighbour, a slow disk) cancels in the ratio. Slight dependence
between blocks would make the test too eager on its own; the demand that the estimate exceeds the smallest
effect that matters keeps false alarms rare then too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats

from adx_lab.analysis.stats.sign_flip import StepDown, bootstrap_t, step_down
from adx_lab.records.run import Caveat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from adx_lab.analysis.duet.block_ratios import BlockSeries
    from adx_lab.analysis.stats.sequential_design import Plan

__all__ = ["Comparison", "ComparisonStatus", "compare", "needs_more"]

ComparisonStatus = Literal["same", "slower", "faster", "undecided"]

BLOCKS_MIN = 5

FEW_BLOCKS = Caveat("few-blocks", "too few blocks to compare")
NOT_A_LOOK = Caveat("not-a-look", "judged between planned looks: nothing may be decided here")
RANDOM_FLIPS = Caveat("random-flips", "p from a random draw of sign flips, not from all of them")


@dataclass(frozen=True)
class Comparison:
    """What a duet says of one metric of one endpoint.

    Attributes
    ----------
    subject, metric : str
    ratio, low, high : float or None
        Head over base, and its interval; None when there are too few blocks.
    level : float
        Two-sided confidence of the interval at this look.
    p : float
        One-sided, in the direction in which the estimate points; adjusted over all comparisons of the duet.
    status : {"same", "slower", "faster", "undecided"}
        *Slower* (*faster*): p within what this look may spend, the interval beside 1, and the estimate beyond
        the smallest effect that matters. *Same*: the whole interval within the smallest effect. Otherwise
        undecided.
    smallest_effect : float
        The smallest effect that matters, a fraction.
    smallest_effect_seen : float or None
        The slowdown, a fraction, that this comparison would have found with the planned power. None: none.
    n_blocks : int
    gate, higher_is_better : bool
        See `BlockSeries`.
    caveats : tuple of Caveat
    """

    subject: str
    metric: str
    level: float
    smallest_effect: float
    n_blocks: int
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float = 1.0
    status: ComparisonStatus = "undecided"
    smallest_effect_seen: float | None = None
    gate: bool = True
    higher_is_better: bool = False
    caveats: tuple[Caveat, ...] = ()

    @property
    def open(self) -> bool:
        """Whether a slowdown that matters has been neither shown nor ruled out."""
        if self.status != "undecided":
            return False
        if self.low is None or self.high is None:
            return True
        return max(self._costs()) >= 1 + self.smallest_effect

    @property
    def suspect(self) -> bool:
        """Whether it looks slower, by more than matters, but the test has not been convinced yet."""
        if self.status != "undecided" or self.ratio is None:
            return False
        cost = 1 / self.ratio if self.higher_is_better else self.ratio
        return cost > 1 + self.smallest_effect and min(self._costs()) > 1

    def _costs(self) -> tuple[float, float]:
        """Return the interval's ends as factors of cost: above 1 is slower."""
        low, high = self.low or 0.0, self.high or math.inf
        return (1 / high, 1 / low) if self.higher_is_better else (low, high)


def compare(series: Sequence[BlockSeries], plan: Plan) -> tuple[Comparison, ...]:
    """Judge all comparisons of a duet at the present number of blocks.

    Parameters
    ----------
    series
        All of the duet at once: the p-values are adjusted over them.
    plan
        Fixed before the first look. Nothing is decided at a number of blocks that it does not name.

    Returns
    -------
    tuple of Comparison
        In the order of `series`.
    """
    if not series:
        return ()
    blocks = max(len(one.log_ratio) for one in series)
    costs = np.full((blocks, len(series)), np.nan)
    for column, one in enumerate(series):
        costs[: len(one.log_ratio), column] = (-1.0 if one.higher_is_better else 1.0) * np.array(
            one.log_ratio
        )
    test = step_down(costs, alpha=plan.alpha_at(blocks), seed=plan.seed)
    return tuple(_judge(one, costs[:, i], test, (i, blocks), plan) for i, one in enumerate(series))


def _judge(
    one: BlockSeries, costs: NDArray[np.float64], test: StepDown, place: tuple[int, int], plan: Plan
) -> Comparison:
    """Judge the comparison of one column; `place` is that column, and the number of blocks measured."""
    column, blocks = place
    values = costs[np.isfinite(costs)]
    tail = plan.beta_at(blocks) or plan.beta
    effect = plan.effect(one.metric)
    caveats: tuple[Caveat, ...] = () if test.exact else (RANDOM_FLIPS,)
    if blocks not in plan.looks:
        caveats += (NOT_A_LOOK,)
    if values.size < BLOCKS_MIN:
        return Comparison(
            subject=one.subject,
            metric=one.metric,
            level=1 - 2 * tail,
            smallest_effect=effect,
            n_blocks=int(values.size),
            gate=one.gate,
            higher_is_better=one.higher_is_better,
            caveats=(*caveats, FEW_BLOCKS),
        )
    mean = float(values.mean())
    low, high = bootstrap_t(values, tail=tail, seed=plan.seed, inflation=test.inflation)
    p = float((test.slower if mean >= 0 else test.faster)[column])
    decisive = p <= plan.alpha_at(blocks)
    ends = (-mean, -high, -low) if one.higher_is_better else (mean, low, high)
    return Comparison(
        subject=one.subject,
        metric=one.metric,
        ratio=math.exp(ends[0]),
        low=math.exp(ends[1]),
        high=math.exp(ends[2]),
        level=1 - 2 * tail,
        p=p,
        status=_status((low, mean, high), math.log1p(effect), decisive=decisive)
        if blocks in plan.looks
        else "undecided",
        smallest_effect=effect,
        smallest_effect_seen=_smallest_seen(values, test, math.log1p(effect), plan),
        n_blocks=int(values.size),
        gate=one.gate,
        higher_is_better=one.higher_is_better,
        caveats=caveats,
    )


def _status(cost: tuple[float, float, float], effect: float, *, decisive: bool) -> ComparisonStatus:
    """Answer from the cost in logs (low, mean, high): above zero is slower."""
    low, mean, high = cost
    if decisive and mean > effect and low > 0:
        return "slower"
    if decisive and mean < -effect and high < 0:
        return "faster"
    return "same" if -effect < low and high < effect else "undecided"


def _smallest_seen(values: NDArray[np.float64], test: StepDown, effect: float, plan: Plan) -> float | None:
    """Return the slowdown that would have been found with the planned power, from this duet's own noise.

    The estimate has to pass both the test and the smallest effect that matters; it falls short of the true
    value by chance, which Student's quantile for the power pays for.
    """
    if not math.isfinite(test.critical):
        return None
    error = test.inflation * float(values.std(ddof=1)) / math.sqrt(values.size)
    margin = float(stats.t.ppf(plan.power, values.size - 1)) * error
    return math.expm1(max(test.critical * error, effect) + margin)


def needs_more(comparisons: Sequence[Comparison], plan: Plan, *, blocks: int) -> int:
    """Return how many blocks to add before judging again; 0 when the answer stands or the cap is reached.

    A slowdown found ends the duet: nothing measured later could undo it without looking twice at the same
    alpha.

    Parameters
    ----------
    comparisons
        Of the look at `blocks`.
    plan
        The duet's plan.
    blocks
        How many blocks have been measured.
    """
    following = plan.next_look(blocks)
    if following is None:
        return 0
    if blocks not in plan.looks or not comparisons:
        return following - blocks
    if any(one.status == "slower" for one in comparisons):
        return 0
    waiting = any((one.gate and one.open) or one.suspect for one in comparisons)
    return following - blocks if waiting else 0
