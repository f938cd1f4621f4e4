"""The sequential search for the first slow commit, its error bounded over the whole search.

Halving a history by yes and no breaks at the first wrong answer, and duets do give wrong answers. So no
answer is taken for certain: every block moves the probability that each commit is the guilty one (Bayes'
rule), the next commit is the one whose answer would tell most, and the search ends when one commit holds all
but `alpha` of the probability. A duet ends as soon as what it adds can be borne over all steps. Where the
evidence stays thin the same commit is asked again, since nothing else would tell more: that needs no rule of
its own.

A commit is *slow* when it holds the guilty one among its ancestors or is it. Its blocks' log ratios against
GOOD then lie around what BAD's do, and otherwise around zero; a commit that came by half of the slowdown is
decided either way. A commit's own small effect is an error that more blocks do not mend, and bounds what a
single duet can say.

Sources
-------
M. Horstein: Sequential transmission using noiseless feedback. IEEE Trans. Inf. Theory 9 (1963): probabilistic
bisection.
R. Waeber, P. I. Frazier, S. G. Henderson: Bisection search with noisy responses. SIAM J. Control Optim. 51
(2013).
A. Wald: Sequential Analysis (1947): a likelihood ratio may be looked at after every block.
J. L. Hodges, E. L. Lehmann: Estimates of location based on rank tests. Ann. Math. Stat. 34 (1963).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from adx_lab.analysis.bisection.history import Commit, CommitHistory

__all__ = ["Design", "Search", "middle"]

_SPREAD_OF_MAD = 1.4826


@dataclass(frozen=True)
class Design:
    """What is fixed before the first block.

    Attributes
    ----------
    alpha : float
        The probability of naming a wrong commit, over the whole search.
    blocks_min, blocks_max : int
        Of one commit's duet: fewer would rest on the spread of others alone; more would better be spent
        elsewhere first.
    repeats_max : int
        How often one commit may be asked.
    duets_max : int
        Of the whole search, the one of the bad commit included.
    own_effect : float
        The standard deviation of what a commit that is not looked for does by itself, as a share of the
        slowdown.
    """

    alpha: float = 0.02
    blocks_min: int = 4
    blocks_max: int = 24
    repeats_max: int = 3
    duets_max: int = 24
    own_effect: float = 0.15


@dataclass
class Search:
    """A search under way.

    Parameters
    ----------
    history
        What is searched.
    slowdown : array
        The bad commit's log ratios against GOOD, one a block.
    design
        Fixed before the first block.
    """

    history: CommitHistory
    slowdown: NDArray[np.float64]
    design: Design = field(default_factory=Design)
    blocks: dict[str, list[float]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Take the slowdown from the blocks of the bad commit.

        Raises
        ------
        ValueError
            There is none to look for.
        """
        self.effect = middle(self.slowdown)
        if self.effect <= 0:
            raise ValueError("the bad commit is not slower than the good one")

    @property
    def duets(self) -> int:
        """How many duets have been played, the one of the bad commit included."""
        return 1 + sum(self.asked.values())

    def add(self, sha: str, values: Sequence[float]) -> None:
        """Add blocks of a commit against GOOD, as logs of ratios."""
        self.blocks.setdefault(sha, []).extend(values)

    def begin(self, sha: str) -> None:
        """Count a duet of a commit."""
        self.asked[sha] = self.asked.get(sha, 0) + 1

    def skip(self, sha: str) -> None:
        """Note that a commit can't be measured: it does not start, or does not answer."""
        self.broken.add(sha)

    @property
    def spread(self) -> tuple[float, int]:
        """The standard deviation between blocks, pooled over all duets, and its degrees of freedom."""
        groups = [self.slowdown, *(np.array(own) for own in self.blocks.values() if len(own) > 1)]
        deviations = np.concatenate([own - np.median(own) for own in groups])
        freedom = int(sum(own.size - 1 for own in groups))
        shrunk = math.sqrt(deviations.size / freedom)
        # Stalls have no bound: the median deviation bears them, and the mean estimate does too.
        robust = _SPREAD_OF_MAD * float(np.median(np.abs(deviations))) * shrunk
        floor = 0.3 * float(deviations.std()) * shrunk
        return max(robust, floor, 1e-6), freedom

    def log_likelihood_ratio(self, sha: str) -> float:
        """Return what a commit's blocks say for its being slow: above 0 they do, below 0 it is not."""
        values = np.array(self.blocks.get(sha, ()), dtype=np.float64)
        if values.size == 0:
            return 0.0
        spread, freedom = self.spread
        own = (self.design.own_effect * self.effect) ** 2
        noise = spread**2 / values.size
        found = middle(values)
        fast = _log_density(found, math.sqrt(noise + own), freedom)
        # What the slowdown is, is known from as many blocks as the bad commit had.
        unsure = math.sqrt(noise + own + spread**2 / self.slowdown.size)
        return _log_density(found - self.effect, unsure, freedom) - fast

    def posterior(self) -> NDArray[np.float64]:
        """Return the probability that each commit is the guilty one."""
        with np.errstate(divide="ignore"):
            logs = np.log(self.history.prior())
        for sha in self.blocks:
            # A commit is slow if it holds the guilty one.
            logs += self.history.holds[self.history.place[sha]] * self.log_likelihood_ratio(sha)
        shares = np.exp(logs - logs.max())
        posterior: NDArray[np.float64] = shares / shares.sum()
        return posterior

    def slow_probability(self, sha: str) -> float:
        """Return the probability that a commit is slow."""
        return float(self.posterior()[self.history.holds[self.history.place[sha]]].sum())

    def settled(self, sha: str) -> bool:
        """Tell whether a commit's duet may end: its answer can be borne, or it has had its blocks."""
        count = len(self.blocks.get(sha, ()))
        if count < self.design.blocks_min:
            return False
        if count >= self.design.blocks_max * self.asked.get(sha, 1):
            return True
        chance = self.slow_probability(sha)
        return min(chance, 1 - chance) <= self.step_alpha

    @property
    def step_alpha(self) -> float:
        """What one step may err, so that all of them err by less than `alpha` in sum."""
        suspects = int((self.history.prior() > 0).sum())
        return self.design.alpha / (1 + math.ceil(math.log2(max(2, suspects))))

    @property
    def guilty(self) -> Commit | None:
        """The commit that is named; None as long as that could be wrong too often."""
        posterior = self.posterior()
        best = int(posterior.argmax())
        return self.history.commits[best] if posterior[best] >= 1 - self.design.alpha else None

    def suspects(self) -> tuple[Commit, ...]:
        """Return the fewest commits that hold all but `alpha` of the probability, the likeliest first."""
        posterior = self.posterior()
        order = np.argsort(-posterior, kind="stable")
        count = int(np.searchsorted(np.cumsum(posterior[order]), 1 - self.design.alpha)) + 1
        return tuple(self.history.commits[i] for i in order[:count])

    def next_commit(self) -> str | None:
        """Return the commit whose duet would tell most, or None when the search is over."""
        if self.guilty is not None or self.duets >= self.design.duets_max:
            return None
        posterior = self.posterior()
        chances = self.history.holds.astype(np.float64) @ posterior
        worth = np.minimum(chances, 1 - chances)
        for i, commit in enumerate(self.history.commits):
            worn = self.asked.get(commit.sha, 0) >= self.design.repeats_max
            if commit.sha in self.broken or commit.sha == self.history.bad or worn:
                worth[i] = 0.0
        best = int(worth.argmax())
        # What could not change the answer is not worth a duet: the rest can't be told apart.
        return self.history.commits[best].sha if worth[best] > self.step_alpha / 2 else None


def middle(values: NDArray[np.float64]) -> float:
    """Return the middle of the pairwise means (Hodges and Lehmann): a stalled block hardly moves it."""
    first, second = np.triu_indices(values.size)
    return float(np.median((values[first] + values[second]) / 2))


def _log_density(distance: float, scale: float, freedom: int) -> float:
    """Return the logarithm of Student's density, up to what both hypotheses have in common."""
    return -math.log(scale) - (freedom + 1) / 2 * math.log1p((distance / scale) ** 2 / freedom)
