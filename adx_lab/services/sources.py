"""Source trees of a service: its working tree, any git ref, and copies of either with a patch applied.

A ref is exported (``git archive``), not checked out: a copy that git knows nothing of can't disturb whoever
works in the checkout, needs no lock of its repository, and is the same bytes each time. A working tree that
must be built is copied for the same reason.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from adx_lab.errors import UsageError
from adx_lab.services.git import git
from adx_lab.settings import FILE, Settings, StartSettings

_KEPT = 8
_LINES_MAX = 400
LINES = ("diff", "--unified=2", "--no-color", "--no-ext-diff")
"""How git is asked for a difference."""

_COMPLETE = ".complete"
LOCKS = (
    "requirements.lock", "requirements.txt", "uv.lock", "poetry.lock", "Pipfile.lock", "package-lock.json",
    "yarn.lock", "pnpm-lock.yaml", "Gemfile.lock", "Cargo.lock", "go.sum", "composer.lock", "mix.lock",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SourceTree:
    """A source tree whose service can be started.

    Attributes
    ----------
    path
        The folder.
    commit
        What git calls it; None outside a repository.
    changed
        Whether it differs from that commit.
    identity
        What of it decides how it behaves; all of it where nothing is named.
    lines
        How it differs from that commit, as git and patch write it.
    """

    path: Path
    commit: str | None
    changed: bool = False
    identity: tuple[str, ...] = ()
    lines: str = field(default="", compare=False)

    @property
    def fingerprint(self) -> str:
        """A digest of what decides how the service behaves: equal for trees that behave alike."""
        return digest_of(self.path, self.identity)


def digest_of(folder: Path, places: tuple[str, ...] = (), patterns: tuple[str, ...] = ()) -> str:
    """Return a digest of a tree's files: below some places of it, or of those that match patterns."""
    whole = hashlib.sha256()
    if patterns:
        files = sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()})
    else:
        # The project file is the lab's: what it says that matters is a part of the variant by itself.
        files = sorted(file for file in _files(folder, places) if file != folder / FILE)
    for file in files:
        whole.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return whole.hexdigest()[:12]


def working_tree(source: Path, start: StartSettings | None = None) -> SourceTree:
    """Return the working tree as it is."""
    start = start or StartSettings()
    if not source.is_dir():
        raise UsageError(f"the service's source {source} is no folder", mend="correct service.start.source")
    commit = git(source, "rev-parse", "HEAD")
    changed = git(source, "status", "--porcelain", "--", *(_existing(source, start.paths) or ["."]))
    identity = start.identity or start.paths
    lines = changed and git(source, *LINES, "HEAD", "--", *(_existing(source, identity) or ["."]))
    return SourceTree(source, commit, bool(changed), identity, _first(lines or ""))


def commit_of(source: Path, ref: str) -> str | None:
    """Return the commit that a ref names, or None."""
    return git(source, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")


def export_ref(source: Path, ref: str, folder: Path, start: StartSettings | None = None) -> SourceTree:
    """Return the tree of a git ref, exported once and kept.

    Raises
    ------
    UsageError
        There is no repository, no such ref, or nothing of the service in it.
    """
    start = start or StartSettings()
    commit = commit_of(source, ref)
    if commit is None:
        raise UsageError(
            f"{ref} names no commit of {source}", mend="name a git ref, `.` for the working tree, or a URL"
        )
    below = git(source, "rev-parse", "--show-prefix") or ""
    name = hashlib.sha256(f"{commit} {below} {start.paths}".encode()).hexdigest()[:4]
    target = folder / f"{commit[:16]}-{name}"
    if not (target / _COMPLETE).exists():
        paths = [path for path in start.paths if _holds(source, commit, below + path)]
        if start.paths and not any(_holds(source, commit, below + path) for path in start.identity or paths):
            raise UsageError(f"{ref} holds no service that can be started", mend="name a later commit")
        done = subprocess.run(
            ["git", "archive", "--format=tar", commit, *paths], cwd=source, check=False, capture_output=True
        )
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise UsageError(f"{ref} can't be exported: {said}", mend="name a later commit")
        with _made_whole(target), tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            # The first releases of Python 3.11 know no filter; it is git's own archive of this repository.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(target)  # noqa: S202
    _used(target)
    return SourceTree(target, commit, identity=start.identity or start.paths)


def copied(tree: SourceTree, folder: Path, start: StartSettings) -> SourceTree:
    """Return a copy of a working tree as it is now: what is built in it is nobody's but ours."""
    target = folder / f"copy-{digest_of(tree.path, start.paths)}"
    if not (target / _COMPLETE).exists():
        with _made_whole(target):
            _copy(tree.path, target, start.paths)
    _used(target)
    return replace(tree, path=target)


def patched(tree: SourceTree, patch: Path, folder: Path, start: StartSettings | None = None) -> SourceTree:
    """Return a copy of a tree with a patch applied.

    Raises
    ------
    UsageError
        The patch is missing, or does not fit the tree.
    """
    start = start or StartSettings()
    try:
        text = patch.read_bytes()
    except OSError as error:
        raise UsageError(f"the patch {patch} can't be read: {error.strerror}") from error
    name = hashlib.sha256(f"{tree.fingerprint} {start.paths} ".encode() + text).hexdigest()[:16]
    target = folder / f"patched-{name}"
    if not (target / _COMPLETE).exists():
        with _made_whole(target):
            _copy(tree.path, target, start.paths)
            _apply(target, patch.name, text)
    _used(target)
    lines = text.decode(errors="replace")
    # What stands before the first file is prose.
    return replace(
        tree, path=target, changed=True, lines=tree.lines + _first(lines[max(0, lines.find("--- ")) :])
    )


def locked(tree: SourceTree) -> str:
    """Return a digest of a tree's lock files; empty where it has none."""
    found = [tree.path / name for name in LOCKS if (tree.path / name).is_file()]
    return digest_of(tree.path, patterns=tuple(file.name for file in found)) if found else ""


def same_lock(one: SourceTree, other: SourceTree) -> bool:
    """Return whether two trees ask for the same libraries."""
    return locked(one) == locked(other)


def trees_folder(settings: Settings) -> Path:
    """Return where exported and copied trees are kept."""
    return settings.stack_dir / "worktrees"


class _made_whole:  # noqa: N801  # a context manager in lower case, as those of contextlib
    """Make a folder whose marker says that it is whole; half of one is removed."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __enter__(self) -> None:
        shutil.rmtree(self._target, ignore_errors=True)
        self._target.mkdir(parents=True)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            (self._target / _COMPLETE).touch()
        else:
            shutil.rmtree(self._target, ignore_errors=True)


def _apply(target: Path, name: str, text: bytes) -> None:
    # Out of any repository, or git would look for the patch's paths from that one's root.
    environ = os.environ | {"GIT_CEILING_DIRECTORIES": str(target.parent)}
    done = subprocess.run(
        ["git", "apply", "--recount", "-"],
        cwd=target,
        input=text,
        env=environ,
        check=False,
        capture_output=True,
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else "git says nothing"
        raise UsageError(f"{name} does not fit: {reason}", mend="bring the patch up to date")


def _copy(source: Path, target: Path, places: tuple[str, ...]) -> None:
    for file in _files(source, places):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy, follow_symlinks=False)


def _files(folder: Path, places: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files of a tree below some places: those that git knows or would, where it knows any."""
    listed = None
    if not (folder / _COMPLETE).exists():  # an export lies in whatever repository holds the lab's own folder
        paths = _existing(folder, places) or ["."]
        words = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths)
        listed = git(folder, *words)
    if listed:
        names = [name for name in listed.split("\0") if name]
        yield from (folder / name for name in names if (folder / name).is_file())
        return
    for place in [folder / name for name in places] or [folder]:
        below = [place] if place.is_file() else sorted(place.rglob("*"))
        for file in below:
            if file.is_file() and not _made(file.relative_to(folder)):
                yield file


def _made(path: Path) -> bool:
    """Tell whether a file is made from others, and so no source."""
    made = {"__pycache__", ".git", ".venv", "node_modules", ".adx-lab", _COMPLETE}
    return bool(made.intersection(path.parts)) or path.suffix == ".pyc"


def _first(lines: str) -> str:
    return "".join(f"{line}\n" for line in lines.splitlines()[:_LINES_MAX])


def _existing(folder: Path, places: tuple[str, ...]) -> list[str]:
    return [place for place in places if (folder / place).exists()]


def _holds(source: Path, commit: str, path: str) -> bool:
    return git(source, "cat-file", "-t", f"{commit}:{path}") is not None


def _used(target: Path) -> None:
    """Mark a tree as just used, and remove those that nobody has used for the longest time."""
    os.utime(target)
    trees = sorted(target.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in trees[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
