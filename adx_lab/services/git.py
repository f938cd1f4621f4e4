"""What git says of a folder: of the repository that holds its files, and of no other."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git(folder: Path, *words: str) -> str | None:
    """Return what git answers, or None: no git, no repository, or one that only lies around the folder."""
    return _ask(folder, *words).out if refused(folder) is None else None


def refused(folder: Path) -> str | None:
    """Return why git says nothing of a folder, in one line; None where it does."""
    try:
        done = _ask(folder, "ls-files", "--", ".")
    except FileNotFoundError:
        return "git is not installed"
    except NotADirectoryError:
        return f"{folder} is no folder"
    if done.out is None:
        return done.err.splitlines()[0] if done.err else "git refuses"
    # A tarball that was unpacked inside somebody's repository has none of its files there.
    return None if done.out else f"{folder} lies in a repository that holds none of its files"


class _Answer:
    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.out = done.stdout.strip() if done.returncode == 0 else None
        self.err = done.stderr.strip()


def _ask(folder: Path, *words: str) -> _Answer:
    # A hook has GIT_DIR set, which would name its own repository whatever the folder.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", *words]
    done = subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, errors="replace", env=environ
    )
    return _Answer(done)
