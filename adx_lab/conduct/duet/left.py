"""What one block leaves, and what a variant is while it is up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.capture.database.companions import (
    CompanionReading,
    WatchedVariant,
    read_companions,
    with_children,
)
from adx_lab.load.collecting.collect import Collected
from adx_lab.load.serial.order import SerialRecord
from adx_lab.services.starting.start import Running
from adx_lab.sql import Query, load_queries

SIDES = (BASE, HEAD)


@dataclass(frozen=True, slots=True)
class Started:
    """A variant that answers."""

    url: str
    watched: WatchedVariant
    core: Running | None = None
    database: str | None = None
    start_s: float | None = None
    """From the start of its process until it answered."""


@dataclass
class Block:
    """What one block left.

    Attributes
    ----------
    collected
        The generator's own account.
    companions
        By side.
    slots
        Which slot each side had.
    foreign_cpu_share
        The part of the machine that processes of somebody else took meanwhile.
    folder
        Where its tables lie.
    """

    number: int
    folder: Path
    collected: Collected
    slots: Mapping[str, str]
    companions: dict[str, dict[str, Any]]
    foreign_cpu_share: float
    steal_share: float
    busy_s: float
    took_s: float = 0.0
    serial: SerialRecord | None = None
    """Of the serial movement; None where nobody knows all ways to ask these variants."""

    burst: SerialRecord | None = None

    def audit(self) -> dict[str, Any]:
        """Return what the run's record keeps of it."""
        kept = {key: value for key, value in asdict(self.collected).items() if key not in {"caveats", "plan"}}
        return kept | {
            "block": self.number,
            "slots": dict(self.slots),
            "foreign_cpu_share": self.foreign_cpu_share,
            "steal_share": self.steal_share,
            "took_s": self.took_s,
            "serial_s": None if self.serial is None else self.serial.ended - self.serial.began,
        }


def pids_of(started: Mapping[str, Started]) -> dict[str, list[int]]:
    """Return the processes of each variant."""
    return {side: with_children(one.watched.pids) for side, one in started.items()}


async def read_both(started: Mapping[str, Started]) -> dict[str, CompanionReading]:
    """Return what each variant tells of itself just now."""
    return {side: await read_companions(one.watched) for side, one in started.items()}


def named_queries(folder: Path | None) -> Mapping[str, Query]:
    """Return the named queries of a source; none where it has no folder of them."""
    return load_queries(folder) if folder is not None else {}
