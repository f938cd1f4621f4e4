"""Where in somebody's own files something stands: no library's, and none of the lab's."""

from __future__ import annotations

import signal
import site
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType

_LIBRARIES = (
    *(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    *site.getsitepackages(),
    site.getusersitepackages(),
    str(Path(__file__).parents[1]),
    # What is compiled shows by the names of its sources, what is frozen in brackets.
    *("<", "src/gevent"),
)

LEFT = "adx-lab: left: "
"""Before the words of a file that ended Locust while it started, in its log."""

STAND_SIGNAL = signal.SIGRTMAX - 1
"""Has a Locust process write down where it stands, whatever it does; nobody else uses that one."""


def is_theirs(file: str) -> bool:
    """Tell whether a file of Python is somebody's own."""
    return not file.startswith(_LIBRARIES)


def place(file: str, line: int | str) -> str:
    """Return a line of a file in words."""
    return f"{Path(file).name}, line {line}"


def standing(frame: FrameType | None) -> str | None:
    """Return where in somebody's own files a stack of calls stands; None where it is in none."""
    return next((place(code, line) for code, line in _outwards(frame) if is_theirs(code)), None)


def raised_at(traceback: TracebackType | None) -> str | None:
    """Return where in somebody's own files something was raised; None where it was in none."""
    found = None
    while traceback is not None:
        code = traceback.tb_frame.f_code.co_filename
        if is_theirs(code):
            found = place(code, traceback.tb_lineno)
        traceback = traceback.tb_next
    return found


def _outwards(frame: FrameType | None) -> Iterator[tuple[str, int]]:
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
