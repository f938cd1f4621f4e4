"""What git knows of the commits between two: parents, messages, what they changed of the service."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adx_lab.analysis.bisection.blame import Likelihood, Patch, read_patch
from adx_lab.analysis.bisection.history import Commit, CommitHistory
from adx_lab.errors import UsageError

CORE = ("adx_lab/core", "requirements.lock")
"""Where the reference service lies in its repository."""

_HEADINGS = """\
*.py diff=python
*.sql diff=named
*.go diff=golang
*.rs diff=rust
*.java diff=java
*.kt diff=kotlin
*.rb diff=ruby
*.php diff=php
*.cs diff=csharp
*.ex diff=elixir
*.c diff=cpp
*.cc diff=cpp
*.cpp diff=cpp
"""
"""Git knows what a function is in these languages; a repository need not have told it so."""

_NAMED_QUERY = r"^-- name: .*$"
_CLOSE = 7.0
"""By how much a commit is likelier that touches what a finding is about than one that does not."""


@dataclass(frozen=True)
class Range:
    """The commits between a good and a bad one, oldest first.

    Attributes
    ----------
    good, bad : str
        Their commits in full.
    commits : tuple of Commit
        Of weight 0 where the service is the same as before.
    patches : tuple of Patch
        What each changed of the service.
    """

    good: str
    bad: str
    commits: tuple[Commit, ...]
    patches: tuple[Patch, ...]

    def history(self, likelihoods: Sequence[Likelihood] = ()) -> CommitHistory:
        """Return what is searched; commits that touch what the findings are about count more."""
        shares = {one.sha: one.share for one in likelihoods}
        top = max(shares.values(), default=0.0) or 1.0
        weighed = (
            Commit(
                one.sha,
                one.parents,
                one.subject,
                one.weight * (1 + _CLOSE * shares.get(one.sha, 0.0) / top),
            )
            for one in self.commits
        )
        return CommitHistory(tuple(weighed))

    def commit(self, sha: str) -> Commit:
        """Return one of the commits."""
        return next(one for one in self.commits if one.sha == sha)


def read_range(checkout: Path, good: str, bad: str, *, paths: Sequence[str] = CORE) -> Range:
    """Read the commits between two.

    Parameters
    ----------
    checkout
        The service's repository.
    good, bad
        Any git refs; the good one must be an ancestor of the bad one.
    paths
        Where the service lies in it: commits that change nothing there can't have made it slower.

    Raises
    ------
    UsageError
        A ref names no commit, or the good one is no ancestor of the bad one.
    """
    first, last = (_commit(checkout, ref) for ref in (good, bad))
    if first == last:
        raise UsageError(f"{good} and {bad} are the same commit", mend="name two different ones")
    if _git(checkout, "merge-base", "--is-ancestor", first, last, fails=True) is None:
        raise UsageError(
            f"{good} is no ancestor of {bad}: there are no commits in between",
            mend=f"git merge-base {good} {bad} names one that is",
        )
    told = _ask(
        checkout, "log", "--topo-order", "--reverse", "--format=%H%x00%P%x00%s", f"{first}..{last}", "--"
    )
    rows = [line.split("\0") for line in told.splitlines()]
    sources = _sources(checkout, [first, *{sha for row in rows for sha in (row[0], *row[1].split())}], paths)
    commits = tuple(
        Commit(sha, tuple(parents.split()), subject, weight=_weight(sha, parents.split(), sources))
        for sha, parents, subject in rows
    )
    return Range(first, last, commits, _patches(checkout, first, last, paths, commits))


def _weight(sha: str, parents: Sequence[str], sources: dict[str, tuple[str, ...]]) -> float:
    return 0.0 if any(sources[sha] == sources.get(parent) for parent in parents) else 1.0


def _sources(checkout: Path, shas: Sequence[str], paths: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return what git calls the service's source in each commit: equal names are equal bytes."""
    # Seen from the service's own folder, which need not be its repository's root.
    asked = "".join(f"{sha}:./{'' if path == '.' else path}\n" for sha in shas for path in paths)
    told = _ask(checkout, "cat-file", "--batch-check=%(objectname)", stdin=asked).splitlines()
    size = len(paths)
    found = (tuple(_object(line) for line in told[i * size : (i + 1) * size]) for i in range(len(shas)))
    return dict(zip(shas, found, strict=True))


def _object(line: str) -> str:
    # What is missing is told back by its name, in which the commit stands: missing is missing.
    return "missing" if line.endswith(" missing") else line


def _patches(
    checkout: Path, first: str, last: str, paths: Sequence[str], commits: Sequence[Commit]
) -> tuple[Patch, ...]:
    """Return what each commit changed of the service; of a merge, only what it resolved by itself."""
    with tempfile.NamedTemporaryFile("w", suffix=".attributes", encoding="utf-8") as attributes:
        attributes.write(_HEADINGS)
        attributes.flush()
        told = _ask(
            checkout,
            *("-c", f"core.attributesFile={attributes.name}", "-c", f"diff.named.xfuncname={_NAMED_QUERY}"),
            *("-c", "core.quotePath=false", "log", "--topo-order", "--cc", "--unified=0", "--no-color"),
            *("--no-ext-diff", "--format=%x00%H", f"{first}..{last}", "--", *paths),
        )
    texts = dict(part.partition("\n")[::2] for part in told.split("\0")[1:])
    return tuple(read_patch(one.sha, texts.get(one.sha, "")) for one in commits)


def _commit(checkout: Path, ref: str) -> str:
    found = _git(
        checkout, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", fails=True
    )
    if found is None:
        raise UsageError(f"{ref} names no commit of {checkout}", mend="name a git ref")
    return found.strip()


def _ask(checkout: Path, *words: str, stdin: str | None = None) -> str:
    told = _git(checkout, *words, stdin=stdin)
    assert told is not None
    return told


def _git(checkout: Path, *words: str, stdin: str | None = None, fails: bool = False) -> str | None:
    """Ask git; None where it says no and that is an answer.

    Raises
    ------
    UsageError
        There is no git, or it refuses.
    """
    command = ["git", *words]
    try:
        done = subprocess.run(
            command, cwd=checkout, input=stdin, check=False, capture_output=True, encoding="utf-8",
            errors="replace",
        )  # fmt: skip
    except FileNotFoundError as error:
        raise UsageError("there is no git on this machine", mend="install it") from error
    if done.returncode == 0:
        return done.stdout
    if fails:
        return None
    said = done.stderr.strip().splitlines()
    raise UsageError(f"git refuses: {said[-1] if said else words[0]}", mend=f"look at {checkout}")
