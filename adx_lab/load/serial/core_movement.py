"""Play a serial movement over ADX Core, and write its requests down as every load's are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adx_lab import clock
from adx_lab.load.collecting.tables import Tables
from adx_lab.load.recording.fitting import Misfits
from adx_lab.load.recording.rows import Row, batch_of
from adx_lab.load.serial.burst import Burst
from adx_lab.load.serial.core_ways import CoreCrowd, CoreSide, core_ways
from adx_lab.load.serial.movement import Movement
from adx_lab.load.serial.order import SerialOrder, SerialRecord

__all__ = ["play_burst", "play_core"]


@dataclass
class _Rows:
    """The requests of each movement, as they were answered."""

    by_movement: dict[str, list[Row]] = field(default_factory=dict)

    def keep(self, movement: str, row: Row) -> None:
        self.by_movement.setdefault(movement, []).append(row)

    def write(self, folder: Path, began: float) -> tuple[str, ...]:
        for movement, rows in self.by_movement.items():
            place = folder / movement
            place.mkdir(parents=True)
            tables = Tables(place, began)
            tables.append(
                batch_of([value for row in rows for value in row], Misfits()), worker=0, offset_s=0.0
            )
            tables.close()
        return tuple(self.by_movement)


def play_burst(order: SerialOrder, connections: int) -> SerialRecord:
    """Let a crowd ask the core of each variant in turn; ``seconds`` are each variant's.

    Raises
    ------
    RefusedError
        One of them lets nobody in.
    """
    rows = _Rows()
    sides = _sides(order, rows)
    crowd = CoreCrowd(sides)
    try:
        for side in sides.values():
            side.log_in()
        began = clock.now()
        Burst(tuple(sides), connections, order.seconds, order.block, order.seed).play(crowd)
        ended = clock.now()
    finally:
        crowd.close()
        for side in sides.values():
            side.close()
    return SerialRecord(began, ended, rows.write(order.folder, began), ())


def _sides(order: SerialOrder, rows: _Rows) -> dict[str, CoreSide]:
    return {
        one.variant: CoreSide(one.variant, one.url, str(one.sample_file), rows.keep, order.timeout_s)
        for one in order.rivals
    }


def play_core(order: SerialOrder, read: Callable[[], Any], quiet: Callable[[], None]) -> SerialRecord:
    """Ask the core of each variant in every way; blocks for as long as it takes.

    Raises
    ------
    RefusedError
        One of them lets nobody in.
    """
    rows = _Rows()
    sides = _sides(order, rows)
    try:
        for side in sides.values():
            side.log_in()
        began = clock.now()
        movement = Movement(
            tuple(sides),
            order.seconds,
            order.block,
            order.seed,
            read,
            quiet=quiet,
            pairs_times=order.pairs_times,
        )
        wanted = order.endpoints
        measured = movement.play(
            [way for way in core_ways(sides) if wanted is None or way.endpoint in wanted]
        )
        ended = clock.now()
    finally:
        for side in sides.values():
            side.close()
    return SerialRecord(began, ended, rows.write(order.folder, began), tuple(measured))
