"""What a duet is asked to do, fixed before its first block."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from adx_lab.analysis.duet.pair_ratios import METRIC as PAIR
from adx_lab.analysis.stats.sequential_design import SMALLEST_EFFECTS, SequentialDesign
from adx_lab.errors import UsageError
from adx_lab.records.run import Purpose

BLOCKS_MAX = 64
SMALLEST: Mapping[str, float] = {**SMALLEST_EFFECTS, PAIR: 0.03, "serial_ms": 0.03, "cold_ms": 0.25}
DECISIVE_MIN = 7
"""Fewer blocks can't reach the level that a verdict needs, whatever they hold."""


@dataclass(frozen=True, slots=True)
class DuetProfile:
    """How much time a duet may take.

    Attributes
    ----------
    looks
        Numbers of blocks at which it is judged.
    seconds, warmup_s
        Of the open loop in each block.
    serial_s
        Of each way to ask, in each block's serial movement.
    tasks_s
        Of all tasks of a plain locustfile together, where these are the ways to ask.
    burst_s
        Of each variant, in each block's burst.
    """

    looks: tuple[int, ...]
    seconds: float
    warmup_s: float
    serial_s: float
    tasks_s: float
    burst_s: float


PROFILES: Mapping[str, DuetProfile] = {
    "quick": DuetProfile((10, 18), seconds=1.0, warmup_s=0.4, serial_s=0.04, tasks_s=3.0, burst_s=0.3),
    "nightly": DuetProfile((12, 16), seconds=5.0, warmup_s=1.5, serial_s=0.12, tasks_s=6.0, burst_s=1.0),
}
"""Blocks differ from one another by more than the seconds within a block do: ten of them in any haste, since
fewer can't reach the level that a verdict needs. What is left of a block's time goes to the serial movement,
where nothing queues and a second tells most; of the open loop *quick* sees queueing and gross faults only.
"""


@dataclass(frozen=True, slots=True)
class DuetOrder:
    """One duet.

    Attributes
    ----------
    base, head
        The variants, as a person writes them.
    scenario
        An open-loop locustfile.
    rate_per_s
        Pairs a second; None finds one by a short probe.
    blocks
        The cap; None is the profile's own. Below `DECISIVE_MIN` everything runs and nothing is decided.
    seconds, warmup_s
        Of load in each block; None is the profile's own.
    profile
        One of `PROFILES`.
    kind
        ``duet`` or ``calibrate``, as the run store files it.
    seed
        Of schedules, coins and resampling.
    night
        The loaded run of the night that it is played for.
    functions
        Whether to sample what functions cost, after all that is timed; None where something became slower.
    """

    base: str
    head: str
    scenario: str = "mixed"
    rate_per_s: float | None = None
    blocks: int | None = None
    seconds: float | None = None
    warmup_s: float | None = None
    profile: str = "nightly"
    purpose: Purpose = "duet"
    seed: int = 1
    night: str | None = None
    functions: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what can't be measured.

        Raises
        ------
        UsageError
            A number is out of its range, or there is no such profile.
        """
        if self.profile not in PROFILES:
            raise UsageError(f"no profile is called {self.profile}", mend=f"there are {', '.join(PROFILES)}")
        if self.blocks is not None and not 1 <= self.blocks <= BLOCKS_MAX:
            raise UsageError(f"--blocks {self.blocks} is not between 1 and {BLOCKS_MAX}")
        if self.load_s <= 0 or self.warming_s < 0:
            raise UsageError("a block needs some seconds of load", mend="give --seconds a number above 0")
        if self.rate_per_s is not None and self.rate_per_s <= 0:
            raise UsageError(f"--rate {self.rate_per_s:g} is not a positive number")

    @property
    def load_s(self) -> float:
        """Measured seconds of a block."""
        return PROFILES[self.profile].seconds if self.seconds is None else self.seconds

    @property
    def warming_s(self) -> float:
        """Seconds of a block's load that are thrown away."""
        return PROFILES[self.profile].warmup_s if self.warmup_s is None else self.warmup_s

    @property
    def serial_s(self) -> float:
        """Seconds of each way to ask."""
        return PROFILES[self.profile].serial_s

    @property
    def tasks_s(self) -> float:
        """Seconds of all tasks of a plain locustfile together."""
        return PROFILES[self.profile].tasks_s

    @property
    def burst_s(self) -> float:
        """Seconds of each variant's burst."""
        return PROFILES[self.profile].burst_s

    @property
    def design(self) -> SequentialDesign:
        """The looks and what each may spend."""
        if self.blocks is None or self.blocks < DECISIVE_MIN:
            return SequentialDesign(looks=PROFILES[self.profile].looks, smallest=SMALLEST)
        first = math.ceil(0.75 * self.blocks)
        return SequentialDesign(
            looks=(first, self.blocks) if first >= 10 else (self.blocks,), smallest=SMALLEST
        )

    @property
    def cap(self) -> int:
        """How many blocks there can be."""
        return self.design.cap if self.blocks is None else self.blocks
