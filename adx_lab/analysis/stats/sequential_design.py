"""The design of a duet's looks: when to judge, and how much of the error each look may spend.

Sources
-------
K. K. G. Lan, D. L. DeMets: Discrete sequential boundaries for clinical trials. Biometrika 70 (1983).
K. Kim, D. L. DeMets: Design and analysis of group sequential tests based on the type I error spending rate
function. Biometrika 74 (1987).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SMALLEST_EFFECTS", "SequentialDesign", "spent"]

SMALLEST_EFFECTS: Mapping[str, float] = {
    "p50_ms": 0.05,
    "p95_ms": 0.05,
    "p99_ms": 0.10,
    "capacity_per_s": 0.05,
    "cpu_ms_per_request": 0.05,
}


def spent(alpha: float, information: float) -> float:
    """Return how much of `alpha` may be spent when a fraction of the blocks has been seen.

    As much as has been seen (Kim and DeMets' family with an exponent of one): ten blocks of signs have only a
    thousand outcomes, and a first look that may spend next to nothing could call none of them slower.
    """
    return alpha * min(information, 1.0)


@dataclass(frozen=True)
class SequentialDesign:
    """What is fixed before the first block is measured.

    Each look spends the increment of the spending function, as a plain sum: for any test, exact ones
    included, the errors of the looks add up to at most the total, whatever their dependence. (The usual
    boundaries from a multivariate normal would gain a little and lose the exactness.)

    Attributes
    ----------
    looks : tuple of int
        Numbers of blocks at which the duet is judged; the last is the cap.
    alpha : float
        The chance that anything is called slower although nothing is, over all comparisons and looks. The
        same again for faster.
    beta : float
        The chance, for each comparison, that it is called the same although it is slower by the smallest
        effect that matters: the two one-sided tests of equivalence (Schuirmann 1987) at this level.
    power : float
        With which `could_see` would have been found.
    smallest : mapping
        The smallest effect that matters, a fraction, by metric.
    other_smallest : float
        For metrics not named in `smallest`.
    seed : int
        Of the resampling.
    """

    looks: tuple[int, ...] = (12, 16)
    alpha: float = 0.01
    beta: float = 0.05
    power: float = 0.9
    smallest: Mapping[str, float] = field(default_factory=lambda: dict(SMALLEST_EFFECTS))
    other_smallest: float = 0.05
    seed: int = 20_251

    def __post_init__(self) -> None:
        """Refuse a design that could never find anything.

        Raises
        ------
        ValueError
            When looks do not rise, or the first has too few blocks for its share of alpha.
        """
        if not self.looks or list(self.looks) != sorted(set(self.looks)):
            raise ValueError(f"looks must rise: {self.looks}")
        first = self.looks[0]
        if 0.5**first > self.alpha_at(first):
            raise ValueError(
                f"{first} blocks can't reach p = {self.alpha_at(first):.2g}: look later, or plan fewer looks"
            )

    @property
    def cap(self) -> int:
        """The number of blocks at which the duet ends in any case."""
        return self.looks[-1]

    def effect(self, metric: str) -> float:
        """Return the smallest effect that matters, as a fraction."""
        return self.smallest.get(metric, self.other_smallest)

    def alpha_at(self, blocks: int) -> float:
        """Return what the test after so many blocks may spend: nothing between looks."""
        return self._increment(self.alpha, blocks)

    def beta_at(self, blocks: int) -> float:
        """Return what each side of the equivalence test may spend after so many blocks."""
        return self._increment(self.beta, blocks)

    def _increment(self, total: float, blocks: int) -> float:
        if blocks not in self.looks:
            return 0.0
        place = self.looks.index(blocks)
        before = spent(total, self.looks[place - 1] / self.cap) if place else 0.0
        return spent(total, blocks / self.cap) - before

    def next_look(self, blocks: int) -> int | None:
        """Return the number of blocks of the next look, or None after the last."""
        return next((look for look in self.looks if look > blocks), None)
