"""What a rule is worth: figures of blocks in which it was kept, beside those in which it was broken.

A block has fresh processes and a fresh database for both, and gives one number for each side. What is judged
is their difference, or the log of their ratio, by the exact sign flips and the bootstrap-t interval of
`signflip`: the block is the unit of evidence here as in every duet. Each rule is a claim of its own, and its
error is not shared out among the others.

What is assumed: blocks are independent, and symmetric about the true value. A duet, which has to find 3%,
estimates the dependence of its blocks from a dozen of them and many endpoints; the single figure and the six
blocks of a rule can't tell it, and what they are to show is far larger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from adx_lab.analysis.run.budgets import Budget, BudgetStatus, judge
from adx_lab.analysis.stats.quantiles import Estimate
from adx_lab.analysis.stats.sign_flip import bootstrap_t, step_down
from adx_lab.records.run import Caveat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["BLOCKS_DECISIVE", "CostStatus", "Effect", "RuleBlock", "SwitchCost", "estimate", "keeps", "weigh"]

Effect = Literal["ratio", "difference"]
CostStatus = Literal["costs", "nothing", "saves", "undecided"]

LEVEL = 0.95
"""Nominal: simulated with six blocks of normal noise the intervals cover in 92%."""

BLOCKS_MIN = 3
BLOCKS_DECISIVE = 6
"""Five blocks can't reach p = 0.025, whatever they hold: 1 / 2^5 is 0.031."""

SMALLEST_RATIO = 0.03
_SEED = 20_251

FEW_BLOCKS = Caveat("few-blocks", f"too few blocks to tell: {BLOCKS_DECISIVE} is the least")


@dataclass(frozen=True)
class RuleBlock:
    """One block: what was seen of the service with the rule kept, and with it broken.

    Attributes
    ----------
    kept, broken : mapping of str to float
        By figure; the unit is in its name.
    log_ratio : mapping of str to float
        Broken over kept, where pairs of requests tell it better than the two figures would.
    """

    kept: Mapping[str, float]
    broken: Mapping[str, float]
    log_ratio: Mapping[str, float]


@dataclass(frozen=True)
class SwitchCost:
    """What breaking a rule costs.

    Attributes
    ----------
    kept, broken : float or None
        The median over blocks of the figure, either way.
    value, low, high : float or None
        Broken over kept, or broken less kept in the figure's unit, with its interval.
    level : float
        Two-sided confidence.
    p : float
        One-sided, in the direction in which the estimate points.
    status : {"costs", "nothing", "saves", "undecided"}
        *Costs* (*saves*): p within half of what the level leaves, and the interval on that side of no effect.
        *Nothing*: a ratio's whole interval within the smallest effect that matters (3%).
    n_blocks : int
    caveats : tuple of Caveat
    """

    kept: float | None
    broken: float | None
    value: float | None
    low: float | None
    high: float | None
    level: float
    p: float
    status: CostStatus
    n_blocks: int
    caveats: tuple[Caveat, ...] = ()


def weigh(blocks: Sequence[RuleBlock], figure: str, effect: Effect) -> SwitchCost:
    """Weigh what breaking a rule does to one figure, of which less is better.

    Parameters
    ----------
    blocks
        In the order in which they were measured.
    figure
        Blocks that lack it on either side do not count.
    effect
        Whether the answer is a ratio or a difference.
    """
    both = [block for block in blocks if figure in block.kept and figure in block.broken]
    kept = [block.kept[figure] for block in both]
    broken = [block.broken[figure] for block in both]
    changes = np.array([_change(block, figure, effect) for block in both], dtype=np.float64)
    changes = changes[np.isfinite(changes)]
    middle = (float(np.median(kept)), float(np.median(broken))) if both else (None, None)
    if changes.size < BLOCKS_MIN:
        few = int(changes.size)
        return SwitchCost(middle[0], middle[1], None, None, None, LEVEL, 1.0, "undecided", few, (FEW_BLOCKS,))
    tail = (1 - LEVEL) / 2
    test = step_down(changes[:, None], alpha=tail, seed=_SEED, inflation=1.0)
    mean = float(changes.mean())
    low, high = bootstrap_t(changes, tail=tail, seed=_SEED)
    p = float((test.slower if mean >= 0 else test.faster)[0])
    read = math.exp if effect == "ratio" else float
    return SwitchCost(
        kept=middle[0],
        broken=middle[1],
        value=_read(read, mean),
        low=_read(read, low),
        high=_read(read, high),
        level=LEVEL,
        p=p,
        status=_status((low, mean, high), effect, decisive=p <= tail),
        n_blocks=int(changes.size),
        caveats=() if changes.size >= BLOCKS_DECISIVE else (FEW_BLOCKS,),
    )


def estimate(values: Sequence[float]) -> Estimate:
    """Estimate a figure over blocks, with its interval; of figures that are all positive, on a log scale."""
    known = np.array([value for value in values if math.isfinite(value)], dtype=np.float64)
    if known.size == 0:
        return Estimate(None, None, None, 0, (FEW_BLOCKS,))
    logs = bool((known > 0).all())
    scaled: NDArray[np.float64] = np.log(known) if logs else known
    read = math.exp if logs else float
    value = _read(read, float(scaled.mean()))
    if known.size < BLOCKS_MIN:
        return Estimate(value, None, None, known.size, (FEW_BLOCKS,))
    low, high = bootstrap_t(scaled, tail=(1 - LEVEL) / 2, seed=_SEED)
    return Estimate(value, _read(read, low), _read(read, high), known.size)


def keeps(values: Sequence[float], limit: float) -> BudgetStatus:
    """Judge whether a figure keeps a limit, over blocks."""
    return judge([Budget("limit", "figure", limit)], {"figure": estimate(values)})[0].status


def _change(block: RuleBlock, figure: str, effect: Effect) -> float:
    kept, broken = block.kept[figure], block.broken[figure]
    if effect == "difference":
        return broken - kept
    if figure in block.log_ratio:
        return block.log_ratio[figure]
    return math.log(broken / kept) if kept > 0 and broken > 0 else math.nan


def _status(cost: tuple[float, float, float], effect: Effect, *, decisive: bool) -> CostStatus:
    low, mean, high = cost
    if decisive and mean > 0 and low > 0:
        return "costs"
    if decisive and mean < 0 and high < 0:
        return "saves"
    small = math.log1p(SMALLEST_RATIO) if effect == "ratio" else 0.0
    return "nothing" if -small <= low and high <= small else "undecided"


def _read(read: object, value: float) -> float:
    """Put a value back on its own scale; what overflows there is infinite."""
    assert callable(read)
    try:
        return float(read(value))
    except OverflowError:
        return math.inf
