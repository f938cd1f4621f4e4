"""How often the history alarms, and how soon: simulated with the functions that judge real nights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adx_lab.analysis.nights.change_points import Night, change_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HistoryOperated", "HistoryWorld", "simulate"]

_COMMON = 0.3
"""Of a night's variance, common to all endpoints: what the machine did that night."""


@dataclass(frozen=True)
class HistoryWorld:
    """Nights of which the truth is known.

    Attributes
    ----------
    deviation
        Of a night's ratio, relative.
    correlation
        Of neighbouring nights.
    series, nights
        How many are watched together, and for how long.
    effect, creep
        By how much the first series becomes slower at once, and more with each night.
    since
        After how many nights.
    level
        The ratio from which all series start.
    """

    deviation: float = 0.01
    correlation: float = 0.0
    series: int = 42
    nights: int = 60
    effect: float = 0.0
    creep: float = 0.0
    since: int = 40
    level: float = 1.0


@dataclass(frozen=True)
class HistoryOperated:
    """What became of some stores.

    Attributes
    ----------
    nights, false : int
        How many nights there were without a change, and how many alarms in them.
    delays : tuple of int or None
        Of each store, after how many nights its slowdown was found.
    """

    nights: int
    false: int
    delays: tuple[int | None, ...]

    def found_within(self, nights: int) -> float:
        """Return the share of slowdowns that were found within so many nights."""
        return float(np.mean([delay is not None and delay <= nights for delay in self.delays]))


def simulate(world: HistoryWorld, *, stores: int, seed: int) -> HistoryOperated:
    """Watch some stores.

    Parameters
    ----------
    world
        What is true of them.
    stores
        How many.
    seed
        Of their noise.
    """
    rng = np.random.default_rng(seed)
    slower = world.effect > 0 or world.creep > 0
    false, delays = 0, list[int | None]()
    for _ in range(stores):
        logs = _logs(world, rng)
        changes = change_points([_nights(row) for row in logs])
        alarms = [
            (i, int(change.found.run_id) + 1 - world.since)
            for i, own in enumerate(changes)
            for change in own
            if change.alarm
        ]
        false += sum(not slower or i > 0 or late <= 0 for i, late in alarms)
        if slower:
            delays.append(min((late for i, late in alarms if i == 0 and late > 0), default=None))
    return HistoryOperated(stores * world.nights, false, tuple(delays))


def _logs(world: HistoryWorld, rng: np.random.Generator) -> NDArray[np.float64]:
    shape = (world.series + 1, world.nights)
    noise = rng.normal(size=shape)
    for night in range(1, world.nights):
        fresh = np.sqrt(1 - world.correlation**2) * noise[:, night]
        noise[:, night] = world.correlation * noise[:, night - 1] + fresh
    logs = np.log(world.level) + world.deviation * (
        np.sqrt(_COMMON) * noise[0] + np.sqrt(1 - _COMMON) * noise[1:]
    )
    later = np.arange(world.nights) - world.since
    logs[0] += np.where(later >= 0, np.log1p(world.effect), 0.0)
    logs[0] += np.log1p(world.creep) * np.maximum(0, later + 1)
    return np.asarray(logs)


def _nights(row: NDArray[np.float64]) -> list[Night]:
    return [Night(f"{i:04}", f"{i:04}", f"{i:04}", float(ratio)) for i, ratio in enumerate(np.exp(row))]
