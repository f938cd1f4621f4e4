"""Which commits touch what a finding is about: a likelihood, no proof.

A commit that changes lines of the function or the query that became slower is far likelier to be the guilty
one than one that changes another part of the same file, and that one likelier than one elsewhere. Functions
and queries are told from the headings that git puts over each hunk, which it knows for most languages, and
from the changed lines themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from adx_lab.analysis.finding import Finding

__all__ = ["Hunk", "Likelihood", "Patch", "Suspect", "blame", "read_patch", "targets_of", "touch"]

TargetKind = Literal["function", "query", "setting"]

_HUNK = re.compile(r"^@@+ [^@]* @@+ ?(.*)$")
_FILE = re.compile(r"^(?:\+\+\+|---) (?:[ab]/)?(.+?)\t?$", re.MULTILINE)
_QUERY_NAME = re.compile(r"\b[a-z_]\w*(?:\.[a-z_]\w*)+\b")

WITHIN, MENTIONED, SAME_FILE, SOMEWHERE = 1.0, 0.5, 0.15, 0.02


@dataclass(frozen=True)
class Hunk:
    """One changed place.

    Attributes
    ----------
    file : str
        Within the repository.
    heading : str
        The function or the query that git found it in.
    lines : tuple of str
        What was removed and added, with their signs.
    """

    file: str
    heading: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The hunk as a person reads it."""
        return "\n".join((f"{self.file}  {self.heading}".rstrip(), *self.lines))


@dataclass(frozen=True)
class Patch:
    """What one commit changed of the service."""

    sha: str
    hunks: tuple[Hunk, ...] = ()


@dataclass(frozen=True)
class Suspect:
    """What is looked for: a function, a query or a setting by its name; a function's file, where known."""

    kind: TargetKind
    name: str
    file: str | None = None


@dataclass(frozen=True)
class Likelihood:
    """How likely one commit is the guilty one, from what it touches.

    Attributes
    ----------
    sha : str
    share : float
        Over all commits these add up to 1.
    touches : str
        What it touches of the finding, in words.
    hunks : tuple of Hunk
        The places, the closest first.
    """

    sha: str
    share: float
    touches: str
    hunks: tuple[Hunk, ...] = ()


def read_patch(sha: str, text: str) -> Patch:
    """Take the patch of one commit apart; of a merge, what it changed itself."""
    hunks: list[Hunk] = []
    for of_file in re.split(r"^diff --.*$", text, flags=re.MULTILINE)[1:]:
        head, *rest = re.split(r"^(?=@@)", of_file, flags=re.MULTILINE)
        # A file that is gone has its name before, any other one after.
        names = [found[1] for found in _FILE.finditer(head) if found[1] != "/dev/null"]
        for part in rest:
            first, *lines = part.splitlines()
            heading = found[1] if (found := _HUNK.match(first)) else ""
            changed = tuple(line for line in lines if line[:1] in {"+", "-"})
            hunks.append(Hunk(names[-1] if names else "", heading, changed))
    return Patch(sha, tuple(hunks))


def targets_of(findings: Iterable[Finding]) -> tuple[Suspect, ...]:
    """Return what findings are about, as far as it can be found in a source."""
    targets: list[Suspect] = []
    for finding in findings:
        evidence = finding.evidence
        if isinstance(function := evidence.get("function"), str):
            file = evidence.get("file")
            targets.append(Suspect("function", function, file if isinstance(file, str) else None))
        names = [finding.subject, *_texts(evidence.get("queries")), *_texts(evidence.get("query"))]
        targets += [Suspect("query", name) for text in names for name in _QUERY_NAME.findall(text)]
        settings = evidence.get("settings")
        targets += [Suspect("setting", name) for name in (settings if isinstance(settings, dict) else ())]
    return tuple(dict.fromkeys(targets))


def touch(hunk: Hunk, target: Suspect) -> float:
    """Return how closely a hunk touches a target: 1 within it, 0 elsewhere."""
    word = re.compile(rf"(?<![\w.]){re.escape(_short(target))}(?![\w.])")
    same_file = target.file is None or hunk.file.endswith(target.file)
    changed = any(word.search(line) for line in hunk.lines)
    if target.kind == "setting":
        return WITHIN if changed else 0.0
    located = target.kind == "function" and target.file is not None
    if same_file and (word.search(hunk.heading) or (changed and located)):
        return WITHIN
    if changed:
        return MENTIONED
    return SAME_FILE if target.file is not None and same_file else 0.0


def blame(patches: Sequence[Patch], targets: Sequence[Suspect]) -> tuple[Likelihood, ...]:
    """Rank commits by whether they touch what the findings are about.

    Parameters
    ----------
    patches
        Of the commits, oldest first; one without hunks leaves the service as it was.
    targets
        What the findings are about; the first counts most.

    Returns
    -------
    tuple of Likelihood
        The likeliest first; of two alike the later one.
    """
    scored = [(*_closest(patch, targets), patch) for patch in reversed(patches)]
    total = sum(score for score, _, _, _ in scored)
    told = [
        Likelihood(patch.sha, score / total if total else 0.0, words, hunks)
        for score, words, hunks, patch in scored
    ]
    return tuple(sorted(told, key=lambda one: -one.share))


def _closest(patch: Patch, targets: Sequence[Suspect]) -> tuple[float, str, tuple[Hunk, ...]]:
    """Return a commit's score, what it touches in words, and its places, the closest first."""
    if not patch.hunks:
        return 0.0, "nothing of the service", ()
    best, words = SOMEWHERE, "other parts of the service"
    closeness: dict[int, float] = {}
    for rank, target in enumerate(targets):
        for i, hunk in enumerate(patch.hunks):
            score = touch(hunk, target) / (1 + rank / 2)
            closeness[i] = max(score, closeness.get(i, 0.0))
            if score > best:
                best, words = score, f"{target.kind} {target.name}"
    order = sorted(range(len(patch.hunks)), key=lambda i: -closeness.get(i, 0.0))
    return best, words, tuple(patch.hunks[i] for i in order)


def _short(target: Suspect) -> str:
    # A method is called `Class.method` by a profile, and `def method` by its source.
    return target.name.rpartition(".")[2] if target.kind in {"function", "setting"} else target.name


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []
