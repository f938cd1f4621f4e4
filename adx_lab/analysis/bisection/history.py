"""The commits between a good one and a bad one, with their parents: merges are no special case."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Commit", "CommitHistory"]


@dataclass(frozen=True)
class Commit:
    """One commit between the good and the bad one.

    Attributes
    ----------
    sha : str
    parents : tuple of str
        All of them; those that the good commit holds already are not in the history.
    subject : str
        The first line of its message.
    weight : float
        How much more likely than another commit it is to be the guilty one, from what it touched; 0 for a
        commit that leaves the service as it was.
    """

    sha: str
    parents: tuple[str, ...] = ()
    subject: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class CommitHistory:
    """Commits, parents before their children; the last is the bad one."""

    commits: tuple[Commit, ...]

    def __post_init__(self) -> None:
        """Refuse an order that can't be.

        Raises
        ------
        ValueError
            There are no commits, or a child stands before its parent.
        """
        if not self.commits:
            raise ValueError("a history needs at least one commit")
        place = {commit.sha: i for i, commit in enumerate(self.commits)}
        if any(place.get(parent, -1) >= i for i, one in enumerate(self.commits) for parent in one.parents):
            raise ValueError("parents must stand before their children")

    @property
    def bad(self) -> str:
        """The commit that is known to be slow."""
        return self.commits[-1].sha

    @cached_property
    def place(self) -> dict[str, int]:
        """Each commit's place."""
        return {commit.sha: i for i, commit in enumerate(self.commits)}

    @cached_property
    def holds(self) -> NDArray[np.bool_]:
        """Which commits each one holds: itself and its ancestors, a row a commit."""
        size = len(self.commits)
        held = np.zeros((size, size), dtype=np.bool_)
        for i, commit in enumerate(self.commits):
            held[i, i] = True
            for parent in commit.parents:
                if parent in self.place:
                    held[i] |= held[self.place[parent]]
        return held

    def prior(self) -> NDArray[np.float64]:
        """Return how likely each commit is before anything is measured."""
        weights = np.array([commit.weight for commit in self.commits], dtype=np.float64)
        # Of commits that the bad one does not hold none can have made it slow.
        weights = weights * self.holds[-1]
        if weights.sum() <= 0:
            weights = self.holds[-1].astype(np.float64)
        prior: NDArray[np.float64] = weights / weights.sum()
        return prior

    def subset(self, chosen: Sequence[bool]) -> tuple[Commit, ...]:
        """Return the commits that are marked."""
        return tuple(commit for commit, kept in zip(self.commits, chosen, strict=True) if kept)
