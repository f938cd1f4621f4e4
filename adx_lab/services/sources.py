"""Source trees of the core: this checkout, any git ref, and copies of either with a patch applied.

A ref is exported (``git archive``), not checked out: a copy that git knows nothing of can't disturb whoever
works in the checkout, needs no lock of its repository, and is the same bytes each time.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from adx_lab.errors import UsageError

_KEPT = 8
_COPIED = ("adx_lab", "requirements.lock")


@dataclass(frozen=True, slots=True)
class Tree:
    """A source tree whose core can be started.

    Attributes
    ----------
    path
        The folder that holds ``adx_lab/core``.
    commit
        What git calls it; None outside a repository.
    changed
        Whether it differs from that commit.
    """

    path: Path
    commit: str | None
    changed: bool = False

    @property
    def fingerprint(self) -> str:
        """A digest of the core's source: equal for trees that behave alike."""
        whole = hashlib.sha256()
        folder = self.path / "adx_lab" / "core"
        for file in sorted(folder.rglob("*")):
            if file.suffix in {".py", ".sql", ".html", ".css", ".js"}:
                whole.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
        return whole.hexdigest()[:12]


def working_tree(checkout: Path) -> Tree:
    """Return the checkout as it is."""
    commit = _git(checkout, "rev-parse", "HEAD")
    changed = _git(checkout, "status", "--porcelain", "--", "adx_lab", "requirements.lock")
    return Tree(checkout, commit, changed=bool(changed))


def commit_of(checkout: Path, ref: str) -> str | None:
    """Return the commit that a ref names, or None."""
    return _git(checkout, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")


def export_ref(checkout: Path, ref: str, folder: Path) -> Tree:
    """Return the tree of a git ref, exported once and kept.

    Raises
    ------
    UsageError
        There is no repository, no such ref, or no core in it.
    """
    commit = commit_of(checkout, ref)
    if commit is None:
        raise UsageError(
            f"{ref} names no commit of {checkout}",
            mend="name a git ref, `.` for the working tree, or a URL",
        )
    target = folder / commit[:16]
    if not (target / ".complete").exists():
        paths = [path for path in _COPIED if _git(checkout, "cat-file", "-t", f"{commit}:{path}") is not None]
        if _git(checkout, "cat-file", "-t", f"{commit}:adx_lab/core/__main__.py") is None:
            raise UsageError(f"{ref} holds no core that can be started", mend="name a later commit")
        done = subprocess.run(
            ["git", "archive", "--format=tar", commit, *paths], cwd=checkout, check=True, capture_output=True
        )
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            # The first releases of Python 3.11 know no filter; it is git's own archive of this checkout.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(target)  # noqa: S202
        (target / ".complete").touch()
    _used(target)
    return Tree(target, commit)


def patched(tree: Tree, patch: Path, folder: Path) -> Tree:
    """Return a copy of a tree with a patch applied.

    Raises
    ------
    UsageError
        The patch is missing, or does not fit the tree.
    """
    try:
        text = patch.read_bytes()
    except OSError as error:
        raise UsageError(f"the patch {patch} can't be read: {error.strerror}") from error
    name = hashlib.sha256(f"{tree.fingerprint} ".encode() + text).hexdigest()[:16]
    target = folder / f"patched-{name}"
    if not (target / ".complete").exists():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(tree.path / "adx_lab", target / "adx_lab", ignore=ignored)
        if (tree.path / "requirements.lock").exists():
            shutil.copy(tree.path / "requirements.lock", target)
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
            shutil.rmtree(target, ignore_errors=True)
            reason = said[-1] if said else "git says nothing"
            raise UsageError(f"{patch.name} does not fit: {reason}", mend="bring the patch up to date")
        (target / ".complete").touch()
    _used(target)
    return Tree(target, tree.commit, changed=True)


def same_lock(one: Tree, other: Tree) -> bool:
    """Return whether two trees ask for the same libraries; both run with those that are installed."""
    locks = [tree.path / "requirements.lock" for tree in (one, other)]
    texts = [lock.read_bytes() if lock.exists() else b"" for lock in locks]
    return texts[0] == texts[1]


def _used(target: Path) -> None:
    """Mark a tree as just used, and remove those that nobody has used for the longest time."""
    os.utime(target)
    trees = sorted(target.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in trees[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=folder, check=False, capture_output=True, text=True)
    except FileNotFoundError:  # no git on this machine
        return None
    return done.stdout.strip() if done.returncode == 0 else None
