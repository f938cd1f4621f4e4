"""How often a duet's verdict is right, by simulation with the functions that judge real ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adx_lab.analysis.duet.block_ratios import ALL, BlockSeries
from adx_lab.analysis.duet.comparison import compare
from adx_lab.analysis.stats.sequential_design import SequentialDesign

__all__ = ["World", "operate"]

_METRIC = "serial_ms"
_SHARED = 0.3
"""Of the variance between blocks, common to all endpoints of a block."""


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
    stalled
        The share of an endpoint's blocks that stall, to either side, by ten deviations.
    """

    deviation: float
    effect: float = 0.0
    endpoint_ms: float = 1.0
    endpoints: int = 41
    blocks: int = 10
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
    design = SequentialDesign(looks=(world.blocks,), smallest={_METRIC: 0.03})
    ms = np.append(world.endpoint_ms, np.geomspace(0.15, 10.0, world.endpoints - 1))
    passed = found = alarmed = 0
    for _ in range(tries):
        compared = compare(_series(world, rng, ms, np.maximum(matters, matters_ms / ms)), design)
        slower = {one.subject for one in compared if one.status == "slower"}
        found += "0" in slower
        alarmed += bool(slower - {"0", ALL}) or (ALL in slower and not world.effect)
        passed += not slower and not any(one.open for one in compared)
    return Operated(passed / tries, found / tries, alarmed / tries)


def _series(world: World, rng: np.random.Generator, ms: np.ndarray, matters: np.ndarray) -> list[BlockSeries]:
    shape = (world.blocks, world.endpoints)
    common = rng.normal(size=(world.blocks, 1))
    noise = np.sqrt(_SHARED) * common + np.sqrt(1 - _SHARED) * rng.normal(size=shape)
    stalls = (rng.random(shape) < world.stalled) * 10.0 * rng.choice([-1.0, 1.0], shape)
    table = world.deviation * (noise + stalls)
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
    return [BlockSeries(ALL, _METRIC, tuple(table.mean(axis=1).tolist())), *series]
