"""What a serial movement is asked to do, and what it leaves, whoever plays it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from adx_lab.errors import MeasurementError
from adx_lab.load.order import Rival
from adx_lab.load.serial.movement import Measured

__all__ = ["RefusedError", "SerialOrder", "SerialRecord"]


class RefusedError(MeasurementError):
    """A variant lets nobody in: the other one may be in order."""

    def __init__(self, variant: str, text: str) -> None:
        super().__init__(text)
        self.variant = variant


@dataclass(frozen=True, slots=True)
class SerialOrder:
    """One block's serial movement.

    Attributes
    ----------
    rivals
        Who is asked, in the order in which a first pair would ask.
    seconds
        Of each way to ask.
    folder
        Each movement's tables are written into a folder of its name therein.
    endpoints
        Those that are asked; None is all.
    pairs_times
        How many times as often as usual is asked what can be asked only so often in a block.
    """

    rivals: Sequence[Rival]
    seconds: float
    block: int
    seed: int
    timeout_s: float
    folder: Path
    endpoints: Collection[str] | None = None
    pairs_times: int = 1


@dataclass(frozen=True, slots=True)
class SerialRecord:
    """What a serial movement left; ``began`` and ``ended`` are seconds since the epoch."""

    began: float
    ended: float
    movements: tuple[str, ...]
    measured: tuple[Measured, ...]
