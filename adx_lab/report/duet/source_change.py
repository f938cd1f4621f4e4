"""What differs between the two variants of a duet: commits, lines, statements, switches and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.services.git import git

_LINES_MAX, _COMMITS_MAX = 400, 20


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


def source_change(
    variants: Mapping[str, Mapping[str, Any]], repository: Path, paths: Sequence[str] = ()
) -> SourceChange:
    """Return what differs between a duet's variants, from what was stored of them and from git.

    Parameters
    ----------
    repository
        The service's source.
    paths
        What of it decides how the service behaves; all of it where none are named.
    """
    base, head = variants[BASE], variants[HEAD]
    commits, lines = _between(base.get("commit"), head.get("commit"), repository, paths)
    known = [dict(side.get("resolved") or {}) for side in (base, head)]
    settings = tuple(
        (name, known[0].get(name, "–"), known[1].get(name, "–"))
        for name in sorted({*known[0]} | {*known[1]})
        if known[0].get(name) != known[1].get(name) and name != "rules_off"
    )
    patches = "".join(_patches(str(head["text"])))
    statements = str(head.get("statements") or "")
    return SourceChange(
        commits, lines + patches, "" if base.get("statements") == statements else statements, settings
    )


def _between(
    base: str | None, head: str | None, repository: Path, paths: Sequence[str]
) -> tuple[tuple[str, ...], str]:
    if not base or not head or base == head:
        return (), ""
    span = f"{base}..{head}"
    told = git(repository, "log", "--format=%h %s", f"--max-count={_COMMITS_MAX}", span, "--", ".") or ""
    lines = git(repository, "diff", "--relative", "--unified=2", "--no-color", span, "--", *paths) or ""
    return tuple(told.splitlines()), "\n".join(lines.splitlines()[:_LINES_MAX])


def _patches(text: str) -> list[str]:
    """Return a variant's patches, where they are still there; what stands before the first file is prose."""
    names = [option.partition("=")[2] for option in text.split("+") if option.startswith("patch=")]
    found = [Path(name) for name in names if Path(name).is_file()]
    return [path.read_text(encoding="utf-8", errors="replace").partition("\n\n")[2] for path in found]
