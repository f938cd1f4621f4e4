"""Children that are logged, that say why they died, and that can't outlive the lab.

``python -m adx_lab.processes COMMAND…`` becomes a command that can't outlive whoever started it: for what
others start for us.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from adx_lab.deaths import Death, in_words, now
from adx_lab.errors import StackError
from adx_lab.files import make_private_folder
from adx_lab.secrecy import scrub_file

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_LOGS_KEPT = 5


_LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Child:
    """A started process, its role in the stack, and the file that holds all it prints."""

    role: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def require_alive(self) -> None:
        """Raise a `StackError` that quotes the last words of a child that died."""
        status = self.process.poll()
        if status is not None:
            raise StackError(f"{self.role} {in_words(status)}{_last_words(self.log)}", log=self.log)

    def death(self, *, again: bool = False) -> Death | None:
        """Return how it died; None while it lives."""
        status = self.process.poll()
        if status is None:
            return None
        # Where it is started again, its log is moved aside.
        log = f"{self.log}.1" if again else str(self.log)
        return Death(self.role, now(), in_words(status), self.pid, log, again)


def start_child(
    role: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    account: Mapping[str, Any] | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start a process in its own session, with everything it prints in ``log``.

    Its own session, so that Ctrl-C at the terminal reaches the lab alone, which then stops the children in
    order. ``account`` holds `subprocess`'s arguments for running as somebody else. The kernel sends it
    ``stop_signal`` when the lab dies of whatever cause (Linux).
    """
    make_private_folder(log.parent)
    _rotate(log)
    try:
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environ is None else dict(environ),
                cwd=cwd,
                start_new_session=True,
                pass_fds=tuple(pass_fds),
                umask=0o077,
                preexec_fn=_die_with_parent(stop_signal, os.getpid()),  # noqa: PLW1509  # one prctl, no Python locks
                **(account or {}),
            )
    except OSError as error:
        raise StackError(f"{role} could not be started: {error}", log=log) from error
    return Child(role, process, log, stop_signal)


async def wait_until_ready(child: Child, is_ready: Callable[[], bool], *, seconds: float) -> None:
    """Poll ``is_ready`` until it holds.

    Raises
    ------
    StackError
        The child died, or was not ready in time; the message quotes its log.
    """
    deadline = time.monotonic() + seconds
    while True:
        child.require_alive()
        if await asyncio.to_thread(is_ready):
            return
        if time.monotonic() > deadline:
            words = _last_words(child.log)
            raise StackError(f"{child.role} was not ready within {seconds:g} s{words}", log=child.log)
        await asyncio.sleep(_LOOK_EVERY_S)


async def stop_child(child: Child, *, grace_s: float = 10.0, family_grace_s: float = 0.0) -> None:
    """Ask a child to stop, wait, then kill it; its own children go with it.

    ``family_grace_s`` is how long those may take to end by themselves once the child has ended.
    """
    if child.alive:
        members = _family(child.pid)
        child.process.send_signal(child.stop_signal)
        if not await _until(lambda: not child.alive, grace_s):
            child.process.kill()
            await _until(lambda: not child.alive, grace_s)
        await _until(lambda: not psutil.wait_procs(members, timeout=0)[1], family_grace_s)
        for member in psutil.wait_procs(members, timeout=0)[1]:
            _kill(member)
    # A driver's error quotes the URL that it was given; the log is nobody else's, and outlives the error.
    with suppress(OSError):
        scrub_file(child.log)


async def _until(ended: Callable[[], bool], seconds: float) -> bool:
    """Look until something has ended, without a thread: at an interpreter's exit there are none to be had."""
    deadline = time.monotonic() + seconds
    while not ended():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(_LOOK_EVERY_S)
    return True


def send_signal_to_all(child: Child, number: int) -> None:
    """Send a signal to a child and to its own children."""
    for pid in (child.pid, *(member.pid for member in _family(child.pid))):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def terminate_pid(pid: int, stop_signal: signal.Signals, *, grace_s: float) -> None:
    """Stop a process that is not our child (one that a killed predecessor left), however long it resists."""
    try:
        process = psutil.Process(pid)
        process.send_signal(stop_signal)
        try:
            process.wait(grace_s)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(5)
    except psutil.NoSuchProcess:
        return


def count_open_files(pid: int) -> int:
    """Return how many files and connections a process has open.

    Raises
    ------
    psutil.AccessDenied, psutil.NoSuchProcess
        It is somebody else's, or none.
    """
    # Linux tells the count since 6.2. Before, each one has to be listed, and ten thousand of them take as
    # long as a request.
    try:
        told = os.stat(f"/proc/{pid}/fd").st_size  # noqa: PTH116  # a kernel's file, not a path of ours
    except OSError:
        told = 0
    return told or int(psutil.Process(pid).num_fds())


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _die_with_parent(stop_signal: signal.Signals, parent: int) -> Callable[[], None]:
    def arrange() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl: nobody would ever tell us
            os.kill(os.getpid(), signal.SIGKILL)

    return arrange


def _rotate(log: Path) -> None:
    for number in range(_LOGS_KEPT - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))


def _last_words(log: Path, *, lines: int = 3) -> str:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    words = " / ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())
    return f": {words[-400:]}" if words else ""


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, or at once where that has died already."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Become the command that the arguments name; the kernel kills it when its parent dies."""
    die_with(os.getppid())
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606  # no shell: that is the point


if __name__ == "__main__":
    main()
