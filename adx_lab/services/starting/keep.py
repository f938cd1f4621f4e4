"""Keep a command and all it starts together: when this ends, or whoever started it, everything ends.

Run by its path, alone: it imports nothing of the lab, so that it starts at once and weighs little. A command
can be anything that runs in the foreground, and what it starts may be told nothing when it is stopped; so all
of it is one session, orphans come to this process (a subreaper), and a polite signal goes to each.
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

_SET_PDEATHSIG, _SET_SUBREAPER = 1, 36
_GRACE_S = 8.0


def main(command: str) -> int:
    """Run a shell's command until it ends or we are told to end; return its status."""
    parent = os.getppid()
    libc = ctypes.CDLL(None)
    libc.prctl(_SET_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        return 1
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _told)
    try:
        # ``exec`` where there is one command: the shell need not stay.
        status = subprocess.Popen(["/bin/sh", "-c", command]).wait()  # the project file's own words
    except _Told:
        status = 0
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        _end_all()
    return status if status >= 0 else 128 - status


class _Told(BaseException):
    """We were told to end."""


def _told(_number: int, _frame: FrameType | None) -> None:
    raise _Told


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
