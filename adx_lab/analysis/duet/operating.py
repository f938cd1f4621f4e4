"""How often a duet's verdict is right, by simulation with the functions that judge real ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adx_lab.analysis.duet.block_ratios import ALL, BlockSeries
from adx_lab.analysis.duet.comparison import Comparison, compare, still_open
from adx_lab.analysis.stats.sequential_design import SequentialDesign

__all__ = ["World", "operate"]

_METRIC = "serial_ms"
_SHARED = 0.3
"""Of the variance between blocks, common to all endpoints of a block."""

_LONGER = 0.7
"""The deviation of a block that asks for a few endpoints, of a whole one's: it asks three times as often, and
most of the deviation was seen to lie within the blocks."""


@dataclass(frozen=True)
class World:
    """What is simulated: endpoints from 0.15 to 10 ms, of which one may be slower.

    Attributes
    ----------
    deviation
        Between blocks, of an endpoint's log ratio.
    effect
        By how much the slower one is, a fraction.
    endpoint_ms
        How long that one takes.
    endpoints, blocks
        How many.
    more
        Blocks after these, which ask for what is still open.
    stalled
        The share of an endpoint's blocks that stall, to either side, by ten deviations.
    """

    deviation: float
    effect: float = 0.0
    endpoint_ms: float = 1.0
    endpoints: int = 41
    blocks: int = 10
    more: int = 8
    stalled: float = 0.0


@dataclass(frozen=True)
class Operated:
    """Shares of the simulated duets."""

    passed: float
    found: float
    alarmed: float
    """In which anything but the slower endpoint was called slower."""


def operate(
    world: World, *, tries: int, seed: int, matters: float = 0.05, matters_ms: float = 0.05
) -> Operated:
    """Judge so many duets of a world.

    Parameters
    ----------
    world
        What is simulated.
    tries
        How many duets.
    seed
        Of the simulation.
    matters, matters_ms
        The smallest effect that matters, as in a duet's serial movement.
    """
    rng = np.random.default_rng(seed)
    ms = np.append(world.endpoint_ms, np.geomspace(0.15, 10.0, world.endpoints - 1))
    passed = found = alarmed = 0
    for _ in range(tries):
        compared = _judged(world, rng, ms, np.maximum(matters, matters_ms / ms))
        slower = {one.subject for one in compared if one.status == "slower"}
        found += "0" in slower
        alarmed += bool(slower - {"0", ALL}) or (ALL in slower and not world.effect)
        passed += not slower and not any(one.open for one in compared)
    return Operated(passed / tries, found / tries, alarmed / tries)


def _judged(
    world: World, rng: np.random.Generator, ms: np.ndarray, matters: np.ndarray
) -> tuple[Comparison, ...]:
    """Play a duet as a real one is: what is open after the first look is asked again."""
    looks = (world.blocks, world.blocks + world.more) if world.more else (world.blocks,)
    design = SequentialDesign(looks=looks, smallest={_METRIC: 0.03})
    table = _table(world, rng, world.blocks)
    compared = compare(_series(world, rng, table, ms, matters), design)
    left = still_open(compared)
    if not world.more or left is None or any(one.status == "slower" for one in compared):
        return compared
    again = _LONGER * _table(world, rng, world.more)
    again[:, [str(e) not in left for e in range(world.endpoints)]] = np.nan
    return compare(_series(world, rng, np.vstack([table, again]), ms, matters), design)


def _table(world: World, rng: np.random.Generator, blocks: int) -> np.ndarray:
    """Return a block a row, an endpoint a column."""
    shape = (blocks, world.endpoints)
    common = rng.normal(size=(blocks, 1))
    noise = np.sqrt(_SHARED) * common + np.sqrt(1 - _SHARED) * rng.normal(size=shape)
    stalls = (rng.random(shape) < world.stalled) * 10.0 * rng.choice([-1.0, 1.0], shape)
    table: np.ndarray = world.deviation * (noise + stalls)
    return table


def _series(
    world: World,
    rng: np.random.Generator,
    table: np.ndarray,
    ms: np.ndarray,
    matters: np.ndarray,
) -> list[BlockSeries]:
    table = table.copy()
    table[:, 0] += np.log1p(world.effect)
    series = [
        BlockSeries(
            str(e),
            _METRIC,
            tuple(table[:, e].tolist()),
            matters=float(matters[e]),
            # Within the blocks there is as much noise as between them, give or take.
            noise=float(world.deviation * np.exp(0.2 * rng.normal())),
            base=float(ms[e]),
        )
        for e in range(world.endpoints)
    ]
    # A block that asks for a few endpoints says nothing of all.
    return [BlockSeries(ALL, _METRIC, tuple(table.mean(axis=1).tolist())), *series]
