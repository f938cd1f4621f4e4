"""What a duet is asked to do, fixed before its first block."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from adx_lab.analysis.pairs import METRIC as PAIR
from adx_lab.analysis.sequential import SMALLEST_EFFECTS, Plan
from adx_lab.errors import UsageError

BLOCKS_MAX = 64
SECONDS, WARMUP_S = 5.0, 1.5
SMALLEST: Mapping[str, float] = {**SMALLEST_EFFECTS, PAIR: SMALLEST_EFFECTS["p50_ms"]}
DECISIVE_MIN = 7
"""Fewer blocks can't reach the level that a verdict needs, whatever they hold."""


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
        The cap; None is the plan's own. Below `DECISIVE_MIN` everything runs and nothing is decided.
    seconds, warmup_s
        Of load in each block.
    kind
        ``duet`` or ``calibrate``, as the run store files it.
    seed
        Of schedules, coins and resampling.
    night
        The loaded run of the night that it is played for.
    """

    base: str
    head: str
    scenario: str = "mixed"
    rate_per_s: float | None = None
    blocks: int | None = None
    seconds: float = SECONDS
    warmup_s: float = WARMUP_S
    kind: str = "duet"
    seed: int = 1
    night: str | None = None

    def __post_init__(self) -> None:
        """Refuse what can't be measured.

        Raises
        ------
        UsageError
            A number is out of its range.
        """
        if self.blocks is not None and not 1 <= self.blocks <= BLOCKS_MAX:
            raise UsageError(f"--blocks {self.blocks} is not between 1 and {BLOCKS_MAX}")
        if self.seconds <= 0 or self.warmup_s < 0:
            raise UsageError("a block needs some seconds of load", mend="give --seconds a number above 0")
        if self.rate_per_s is not None and self.rate_per_s <= 0:
            raise UsageError(f"--rate {self.rate_per_s:g} is not a positive number")

    @property
    def plan(self) -> Plan:
        """The looks and what each may spend."""
        if self.blocks is None or self.blocks < DECISIVE_MIN:
            return Plan(smallest=SMALLEST)
        first = math.ceil(0.75 * self.blocks)
        return Plan(looks=(first, self.blocks) if first >= 12 else (self.blocks,), smallest=SMALLEST)

    @property
    def cap(self) -> int:
        """How many blocks there can be."""
        return self.plan.cap if self.blocks is None else self.blocks
