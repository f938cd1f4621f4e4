"""Files of the lab's own: for this account only, and whole or not at all."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UMASK = 0o077
_LEFTOVER = re.compile(r"\..+\.(?P<pid>\d{1,10})\.(?:partial|deleted)")
_ABANDONED_S = 3600


def keep_private() -> None:
    """Let whatever this process and its children make be readable by this account only."""
    os.umask(_UMASK)


def make_private_folder(folder: Path) -> Path:
    """Make a folder, and those above it that are missing, for this account only."""
    missing = [folder, *folder.parents]
    for path in reversed([path for path in missing if not path.exists()]):
        path.mkdir(mode=0o700, exist_ok=True)
    return folder


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader, or the next start after a crash, finds it whole or as it was before."""
    make_private_folder(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(3)}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def seal(folder: Path) -> None:
    """Let everything in a folder be for this account only and on disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                path.chmod(0o600)
                sync(path)
        Path(place).chmod(0o700)
        sync(Path(place))


def sweep(folder: Path) -> None:
    """Remove the folders that killed processes left half made; a name says whose it is."""
    for leftover in folder.glob(".*"):
        named = _LEFTOVER.fullmatch(leftover.name)
        if named is not None and leftover.is_dir() and not _in_use(leftover, int(named["pid"])):
            shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def scratch(folder: Path, name: str) -> Iterator[Path]:
    """Give a folder for as long as the block runs, and remove those of its name that killed processes left.

    For whoever holds a lock: nobody else may be using one of that name.
    """
    for left in folder.glob(f".{name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as made:
        yield Path(made)


def _in_use(folder: Path, pid: int) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # removed meanwhile, or somebody else's
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Nobody holds it; but one that was made this moment is not held yet. A process id is used again.
        return _exists(pid) and time.time() - os.fstat(descriptor).st_mtime < _ABANDONED_S
    except OSError:
        return True
    finally:
        os.close(descriptor)


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
