"""Compare two variants that were measured side by side, block by block.

The unit of evidence is the block, with its fresh processes and its fresh database: requests of one block
share whatever befell it, and counting them as independent is how false alarms are made. So each block gives
one number for each endpoint and metric, and everything after rests on these.

Three answers rest on three tools. *Slower* is an exact test by sign flips, adjusted over all comparisons, and
an estimate beyond what matters. The estimate and its interval are Hodges and Lehmann's. That a slowdown is
ruled out is judged of all endpoints as one population, since of fifty each by itself could hardly all be.

What is assumed: blocks are independent, and a block's value is symmetric about the true one. What machines do
to both variants (drift, a noisy neighbour, a slow disk) cancels. Slight dependence between blocks would make
the test too eager on its own; its errors are widened by what is seen of it, and the demand that the estimate
exceeds the smallest effect that matters keeps false alarms rare then too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats

from adx_lab.analysis.duet.block_ratios import ALL
from adx_lab.analysis.stats.sign_flip import StepDown, step_down
from adx_lab.analysis.stats.signed_ranks import centre
from adx_lab.analysis.stats.two_groups import ruled_out
from adx_lab.records.run import Caveat

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from adx_lab.analysis.duet.block_ratios import BlockSeries
    from adx_lab.analysis.stats.sequential_design import SequentialDesign

__all__ = ["Comparison", "ComparisonStatus", "compare", "needs_more", "still_open"]

ComparisonStatus = Literal["same", "slower", "faster", "undecided"]

BLOCKS_MIN = 5
FIRST = ("serial_ms", "pair_ms")
"""What the code costs has half of the error to spend for itself, whatever else is compared beside it, and
what is counted pair by pair a quarter."""

FEW_BLOCKS = Caveat("few-blocks", "too few blocks to compare")
NOT_A_LOOK = Caveat("not-a-look", "judged between planned looks: nothing may be decided here")
RANDOM_FLIPS = Caveat("random-flips", "p from a random draw of sign flips, not from all of them")


@dataclass(frozen=True)
class Comparison:
    """What a duet says of one metric of one endpoint.

    Attributes
    ----------
    subject, metric : str
    base, head : float or None
        What both variants show, in `unit`.
    ratio : float or None
        Head over base; None where differences are compared, or where there are too few blocks.
    low, high : float or None
        The interval of the ratio; of the difference, in `unit`, where there is no ratio.
    level : float
        Two-sided confidence of the interval at this look.
    p : float
        One-sided, in the direction in which the estimate points; adjusted over all comparisons of the duet.
    status : {"same", "slower", "faster", "undecided"}
        *Slower* (*faster*): p within what this look may spend, the interval beside no change, and the
        estimate beyond the smallest effect that matters; of counts, more. *Same*: a slowdown that matters is
        ruled out, and so is a gain. Otherwise undecided.
    smallest_effect : float
        The smallest effect that matters: a fraction, or in `unit`.
    could_see : float or None
        The effect that the test would have found with the planned power, whether or not it matters. None:
        none.
    n_blocks : int
    gate, higher_is_better : bool
        See `BlockSeries`.
    closed : bool
        Whether a slowdown that matters is ruled out.
    caveats : tuple of Caveat
    """

    subject: str
    metric: str
    level: float
    smallest_effect: float
    n_blocks: int
    base: float | None = None
    head: float | None = None
    unit: str = "ms"
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float = 1.0
    could_see: float | None = None
    gate: bool = True
    status: ComparisonStatus = "undecided"
    higher_is_better: bool = False
    closed: bool = False
    caveats: tuple[Caveat, ...] = ()

    @property
    def open(self) -> bool:
        """Whether a slowdown that matters has been neither shown nor ruled out."""
        return self.status == "undecided" and not self.closed


@dataclass(frozen=True)
class _Column:
    """One series with its place among those that are tested together."""

    series: BlockSeries
    values: NDArray[np.float64]
    """What head costs more, in logs or in units; finite ones only."""

    effect: float
    """The smallest that matters, on the same scale."""

    test: StepDown
    place: int


def compare(series: Sequence[BlockSeries], design: SequentialDesign) -> tuple[Comparison, ...]:
    """Judge all comparisons of a duet at the present number of blocks.

    Parameters
    ----------
    series
        All of the duet at once: the p-values are adjusted over them.
    design
        Fixed before the first look. Nothing is decided at a number of blocks that it does not name, unless it
        is beyond its last.

    Returns
    -------
    tuple of Comparison
        In the order of `series`.
    """
    if not series:
        return ()
    blocks = max(len(one.log_ratio) for one in series)
    own = [one for one in series if one.metric in FIRST]
    others = [one for one in series if one.metric not in FIRST]
    both = bool(own and others)
    # More blocks than were planned are the last look: all of the error is spent there, and nothing after it.
    look = min(blocks, design.cap)
    spend = design.alpha_at(look)
    # A quarter is left to what is counted pair by pair.
    alphas = {True: spend / 2 if both else spend, False: spend / 4 if both else spend}
    columns = [
        column
        for group, first in ((own, True), (others, False))
        for column in _columns(group, design, blocks, alpha=alphas[first])
    ]
    closed = _closed(columns)
    judged = {
        id(column.series): _judge(
            column, design, look, closed=shut, alpha=alphas[column.series.metric in FIRST]
        )
        for column, shut in zip(columns, closed, strict=True)
    }
    return tuple(judged[id(one)] for one in series)


def _columns(
    series: Sequence[BlockSeries], design: SequentialDesign, blocks: int, *, alpha: float
) -> Iterable[_Column]:
    if not series:
        return []
    table = np.full((blocks, len(series)), np.nan)
    for column, one in enumerate(series):
        values = np.array(one.log_ratio, dtype=np.float64)
        worse = -1.0 if one.higher_is_better or (one.either and np.nansum(values) < 0) else 1.0
        table[: values.size, column] = worse * values
    effects = [_effect(one, design) for one in series]
    noise = np.array([one.noise for one in series])
    test = step_down(table, alpha=alpha, seed=design.seed, noise=noise)
    return [
        _Column(one, table[np.isfinite(table[:, i]), i], effects[i], test, i) for i, one in enumerate(series)
    ]


def _effect(one: BlockSeries, design: SequentialDesign) -> float:
    effect = design.effect(one.metric) if one.matters is None else one.matters
    return effect if one.difference else math.log1p(effect)


def _closed(columns: Sequence[_Column]) -> list[bool]:
    """Tell of which columns a change that matters is ruled out: each metric is one population."""
    closed = [False] * len(columns)
    for metric in dict.fromkeys(column.series.metric for column in columns):
        places = [
            i
            for i, column in enumerate(columns)
            if column.series.metric == metric and column.values.size >= BLOCKS_MIN
        ]
        if not places:
            continue
        some = [columns[i] for i in places]
        middles = np.array([_middle(one) for one in some])
        # A share of which nothing was seen in any block has an error all the same: what could be seen.
        errors = np.array(
            [
                max(
                    float(one.test.errors[one.place]),
                    one.series.noise / math.sqrt(one.values.size) if one.series.difference else 0.0,
                )
                for one in some
            ]
        )
        shut = ruled_out(middles, np.nan_to_num(errors, nan=0.0), np.array([one.effect for one in some]))
        for i, ruled in zip(places, shut.tolist(), strict=True):
            closed[i] = ruled
    return closed


def _middle(column: _Column) -> float:
    """Return what head costs more: of strays, what all blocks together say, since most have none at all."""
    one = column.series
    if one.counts is not None and one.base is not None and one.head is not None:
        return one.head - one.base
    return centre(column.values, tail=0.25)[1]


def _judge(column: _Column, design: SequentialDesign, look: int, *, closed: bool, alpha: float) -> Comparison:
    one, values, test = column.series, column.values, column.test
    tail = design.beta_at(look) or design.beta
    caveats: tuple[Caveat, ...] = () if test.exact else (RANDOM_FLIPS,)
    if look not in design.looks:
        caveats += (NOT_A_LOOK,)
    told = Comparison(
        subject=one.subject,
        metric=one.metric,
        base=one.base,
        head=one.head,
        unit=one.unit,
        level=1 - 2 * tail,
        smallest_effect=design.effect(one.metric) if one.matters is None else one.matters,
        n_blocks=int(values.size),
        gate=one.gate,
        higher_is_better=one.higher_is_better,
        caveats=caveats,
    )
    if values.size < BLOCKS_MIN:
        return replace(told, caveats=(*caveats, FEW_BLOCKS))
    low, middle, high = centre(values, tail=tail, inflation=test.inflation)
    p = float((test.slower if middle >= 0 else test.faster)[column.place])
    status: ComparisonStatus = "undecided"
    if look in design.looks:
        status = _status((low, middle, high), column.effect, decisive=p <= alpha, closed=closed)
    worse = -1.0 if one.higher_is_better or (one.either and _turned(one)) else 1.0
    ends = (middle, low, high) if worse > 0 else (-middle, -high, -low)
    is_ratio, shown = (False, ends) if one.difference else _unshifted(one, ends)
    return replace(
        told,
        ratio=shown[0] if is_ratio else None,
        low=shown[1],
        high=shown[2],
        p=p,
        status=status,
        could_see=_could_see(column, design),
        closed=closed and look in design.looks,
    )


def _turned(one: BlockSeries) -> bool:
    return float(np.nansum(np.array(one.log_ratio))) < 0


def _unshifted(one: BlockSeries, ends: Sequence[float]) -> tuple[bool, tuple[float, ...]]:
    """Return whether there is a ratio of what was counted itself, and the ratios, or else the differences."""
    if not one.shift or one.base is None:
        return True, tuple(_exp(end) for end in ends)
    heads = [max(_exp(end) * (one.base + one.shift) - one.shift, 0.0) for end in ends]
    if one.base < one.shift * (one.matters or 0.0):  # as good as none: so many times nothing says nothing
        return False, tuple(head - one.base for head in heads)
    return True, tuple(head / one.base for head in heads)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))


def _status(
    cost: tuple[float, float, float], effect: float, *, decisive: bool, closed: bool
) -> ComparisonStatus:
    """Answer from the cost (low, middle, high): above zero is slower."""
    low, middle, high = cost
    if decisive and middle > effect and low > 0:
        return "slower"
    if decisive and middle < -effect and high < 0:
        return "faster"
    return "same" if closed and middle > -effect else "undecided"


def _could_see(column: _Column, design: SequentialDesign) -> float | None:
    """Return the effect that would have been found with the planned power, from this duet's own noise.

    Another duet's estimate falls short of the true value by chance, and its noise is known no better than
    this one's: the margin pays for all three.
    """
    test = column.test
    if not math.isfinite(test.critical):
        return None
    needed = test.critical
    doubt = (needed**2 + (needed + 2) ** 2) / (2 * float(test.degrees[column.place]))
    margin = float(stats.norm.ppf(design.power)) * math.sqrt(1 + doubt)
    seen = (needed + margin) * float(test.errors[column.place])
    return seen if column.series.difference else math.expm1(min(seen, 700.0))


def still_open(comparisons: Sequence[Comparison]) -> frozenset[str] | None:
    """Return the endpoints that a verdict waits for; None where it waits for more than single ones.

    What all of them show together only a whole block tells.
    """
    waiting = frozenset(one.subject for one in comparisons if one.gate and one.open)
    return None if ALL in waiting else waiting or None


def needs_more(comparisons: Sequence[Comparison], design: SequentialDesign, *, blocks: int) -> int:
    """Return how many blocks to add before judging again; 0 when the answer stands or the cap is reached.

    A slowdown found ends the duet: nothing measured later could undo it without looking twice at the same
    alpha.

    Parameters
    ----------
    comparisons
        Of the look at `blocks`.
    design
        The duet's design.
    blocks
        How many blocks have been measured.
    """
    following = design.next_look(blocks)
    if following is None:
        return 0
    if blocks not in design.looks or not comparisons:
        return following - blocks
    if any(one.status == "slower" for one in comparisons):
        return 0
    waiting = any(one.gate and one.open for one in comparisons)
    return following - blocks if waiting else 0
