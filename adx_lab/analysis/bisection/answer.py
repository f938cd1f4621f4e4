"""What a bisection ends with: the guilty commit or those it could not tell apart, and every step to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from adx_lab.records.documents import to_plain

if TYPE_CHECKING:
    from adx_lab.analysis.bisection.blame import Likelihood
    from adx_lab.analysis.bisection.history import Commit
    from adx_lab.analysis.finding import Finding

__all__ = ["EXIT_CODES", "Culprit", "SearchStep"]

AnswerStatus = Literal["found", "narrowed", "same", "stopped"]

EXIT_CODES: dict[AnswerStatus, int] = {"found": 1, "narrowed": 3, "same": 0, "stopped": 3}


@dataclass(frozen=True)
class SearchStep:
    """One duet of the search.

    Attributes
    ----------
    sha, subject : str
        The commit that was compared with the good one.
    blocks : int
    effect, low, high : float or None
        How much slower it is, as a share of the whole slowdown, and its 95% interval.
    slow_probability : float or None
        That it holds the guilty commit, after this duet.
    suspects : int
        How many commits could be the guilty one then.
    note : str
        Why it could not be measured.
    """

    sha: str
    subject: str
    blocks: int = 0
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    slow_probability: float | None = None
    suspects: int = 0
    note: str = ""


@dataclass(frozen=True)
class Culprit:
    """The answer; `to_json` is the form that machines read.

    Attributes
    ----------
    status : {"found", "narrowed", "same", "stopped"}
        *Found*: one commit. *Narrowed*: several that no duet tells apart. *Same*: the bad commit is not shown
        to be slower. *Stopped*: the time was up.
    probability : float
        That the guilty commit is among `suspects`.
    slowdown : mapping
        What the bad commit costs: log ratios by subject and metric.
    suspects : tuple of Commit
        The likeliest first.
    diff : str
        What the guilty commit changed, the places that touch a finding first.
    """

    bisection_id: str
    status: AnswerStatus
    good: str
    bad: str
    commits: int
    candidates: int
    alpha: float
    probability: float = 0.0
    suspects: tuple[Commit, ...] = ()
    slowdown: tuple[tuple[str, str, float], ...] = ()
    steps: tuple[SearchStep, ...] = ()
    findings: tuple[Finding, ...] = ()
    likelihoods: tuple[Likelihood, ...] = ()
    diff: str = ""
    took_s: float = 0.0

    @property
    def exit_code(self) -> int:
        """What the verb ends with."""
        return EXIT_CODES[self.status]

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        searched = f"{self.commits} commits, of which {self.candidates} change the service"
        if self.status == "same":
            return f"{self.bad[:10]} is not shown to be slower than {self.good[:10]}: nothing to look for"
        if self.status == "found":
            one = self.suspects[0]
            return (
                f"{one.sha[:10]} made it {self._slowdown} slower: {one.subject} (probability "
                f"{self.probability:.1%}, {len(self.steps)} duets over {searched})"
            )
        named = ", ".join(one.sha[:10] for one in self.suspects[:8])
        why = "the time was up" if self.status == "stopped" else "no duet tells them apart"
        return f"one of {len(self.suspects)} commits made it {self._slowdown} slower, and {why}: {named}"

    @property
    def _slowdown(self) -> str:
        worst = max(self.slowdown, key=lambda one: one[2], default=None)
        return "–" if worst is None else f"{math.expm1(worst[2]):.1%} ({worst[0]}, {worst[1]})"

    def to_json(self) -> dict[str, Any]:
        """Return plain fields, and the sentence."""
        plain: dict[str, Any] = to_plain(self)
        return plain | {"exit_code": self.exit_code, "sentence": self.sentence}
