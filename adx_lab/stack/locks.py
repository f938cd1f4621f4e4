"""One holder at a time, and a name for the one who holds it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adx_lab.errors import BusyError
from adx_lab.files import make_private_folder


@contextmanager
def hold(path: Path, *, what: str) -> Iterator[None]:
    """Hold a lock file for as long as the block runs; the kernel lets go of it when the holder dies.

    Raises
    ------
    BusyError
        Somebody else holds it; the message names their process.
    """
    make_private_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise BusyError(
                f"{what} is running already (process {holder}, lock {path})", mend="wait for it or stop it"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> int | None:
    """Return the process that holds the lock just now: 0 where it can't be told, None where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        words = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        # Whatever stands in the file: only a process that has it open can be its holder.
        return int(words) if words.isdecimal() and _has_open(int(words), path, but=descriptor) else 0
    finally:
        os.close(descriptor)
    return None


def _has_open(pid: int, path: Path, *, but: int) -> bool:
    own = path.stat()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            if pid == os.getpid() and descriptor.name == str(but):
                continue  # the one that we look with
            with suppress(OSError):  # closed meanwhile
                facts = descriptor.stat()
                if (facts.st_dev, facts.st_ino) == (own.st_dev, own.st_ino):
                    return True
    except OSError:  # gone, or somebody else's
        return False
    return False
