"""What differs between the two variants of a duet: commits, lines, statements, switches and settings."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adx_lab.analysis.duet.block_ratios import BASE, HEAD

_LINES_MAX, _COMMITS_MAX = 400, 20
_GIT_S = 20
_CORE = "adx_lab/core"
"""The source of the reference service, which runs of before this was stored are of."""


@dataclass(frozen=True, slots=True)
class SourceChange:
    """What differs.

    Attributes
    ----------
    commits
        One line each, the latest first.
    lines
        The difference as git and patch write it, of the service's source.
    statements
        SQL that was executed in head's database only.
    settings
        Name, base's value, head's value.
    """

    commits: tuple[str, ...] = ()
    lines: str = ""
    statements: str = ""
    settings: tuple[tuple[str, str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.commits or self.lines or self.statements or self.settings)

    def shown(self) -> str:
        """Return the lines that were added or removed, with the file that they stand in."""
        kept = [line for line in self.lines.splitlines() if line.startswith(("+", "-"))]
        return "\n".join(line for line in kept if not line.startswith("---"))


def source_change(variants: Mapping[str, Mapping[str, Any]], source: Path) -> SourceChange:
    """Return what differs between a duet's variants, from what was stored of them and from git.

    Parameters
    ----------
    variants
        What the run's record keeps of each.
    source
        The service's repository.
    """
    base, head = variants[BASE], variants[HEAD]
    paths = head.get("paths", [_CORE])  # none named: all of it
    commits, lines = _between(source, base.get("commit"), head.get("commit"), paths)
    known = [dict(side.get("resolved") or {}) for side in (base, head)]
    settings = tuple(
        (name, known[0].get(name, "–"), known[1].get(name, "–"))
        for name in sorted({*known[0]} | {*known[1]})
        if known[0].get(name) != known[1].get(name) and name != "rules_off"
    )
    own, before = head.get("lines"), str(base.get("lines") or "")
    # What was changed of both is no difference between them.
    more = "".join(_patches(str(head["text"]))) if own is None else str(own).removeprefix(before)
    statements = str(head.get("statements") or "")
    return SourceChange(
        commits, lines + more, "" if base.get("statements") == statements else statements, settings
    )


def _between(
    source: Path, base: str | None, head: str | None, paths: Sequence[str]
) -> tuple[tuple[str, ...], str]:
    if not base or not head or base == head:
        return (), ""
    span = f"{base}..{head}"
    told = _git(source, "log", "--format=%h %s", f"--max-count={_COMMITS_MAX}", span)
    lines = _git(source, "diff", "--unified=2", "--no-color", "--no-ext-diff", span, "--", *paths)
    return tuple(told.splitlines()), "".join(f"{line}\n" for line in lines.splitlines()[:_LINES_MAX])


def _patches(text: str) -> list[str]:
    """Return a variant's patches, where they are still there; what stands before the first file is prose."""
    names = [option.partition("=")[2] for option in text.split("+") if option.startswith("patch=")]
    found = [Path(name) for name in names if Path(name).is_file()]
    return [path.read_text(encoding="utf-8", errors="replace").partition("\n\n")[2] for path in found]


def _git(source: Path, *words: str) -> str:
    """Return what git says; nothing where there is no git, no repository or no such commit any more."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=source, capture_output=True, text=True, check=False, timeout=_GIT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
