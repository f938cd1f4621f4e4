"""Keep a command and all it starts together: when this ends, or whoever started it, everything ends.

Run by its path, alone: it imports nothing of the lab, so that it starts at once and weighs little. A command
can be anything that runs in the foreground, and what it starts may be told nothing when it is stopped; so all
of it is one session, orphans come to this process (a subreaper), and a polite signal goes to each.

We are two, a guard and its child, the keeper, because either may be killed: when the keeper is, what it kept
comes to the guard, which ends it; when the guard is, the kernel tells the keeper.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

_LIBC = ctypes.CDLL(None)
_SET_PDEATHSIG, _SET_SUBREAPER = 1, 36
_GRACE_S, _KEEPER_GRACE_S = 8.0, 10.0
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(command: str) -> int:
    """Run a shell's command until it ends or we are told to end; return its status."""
    _end_with(os.getppid())
    guard = os.getpid()
    try:
        keeper = os.fork()
        if keeper:
            return _guard(keeper)
        _end_with(guard)
        # ``exec`` where there is one command: the shell need not stay.
        status = subprocess.Popen(["/bin/sh", "-c", command]).wait()  # the project file's own words
    except _Told:
        status = 0
    finally:
        _hear_nothing()
        _end_all()
    return status if status >= 0 else 128 - status


def _guard(keeper: int) -> int:
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1])
    except _Told:
        _hear_nothing()
        os.kill(keeper, signal.SIGTERM)  # it alone: what it keeps is to be told once
        deadline = time.monotonic() + _KEEPER_GRACE_S
        while not os.waitpid(keeper, os.WNOHANG)[0] and time.monotonic() < deadline:
            time.sleep(0.01)
        return 0
    return status if status >= 0 else 128 - status


def _end_with(parent: int) -> None:
    _LIBC.prctl(_SET_SUBREAPER, 1, 0, 0, 0)
    for number in _ENDING:
        signal.signal(number, _told)
    _LIBC.prctl(_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


class _Told(BaseException):
    """We were told to end."""


def _told(_number: int, _frame: FrameType | None) -> None:
    raise _Told


def _hear_nothing() -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


def _end_all() -> None:
    deadline = time.monotonic() + _GRACE_S
    _signal_all(signal.SIGTERM)
    while _descendants():
        if time.monotonic() > deadline:
            _signal_all(signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def _signal_all(number: signal.Signals) -> None:
    for pid in _descendants():
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _descendants() -> list[int]:
    found, waiting = [], [os.getpid()]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            with suppress(OSError):
                children = [int(word) for word in task.read_text(encoding="ascii").split()]
                waiting += children
                found += children
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
