"""What a service's killed keepers left running: found by its mark, and ended before anything starts again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

from adx_lab.services.starting.start import KEEPER, STACK_MARK

_KILLED_S = 5.0


def end_leftovers(stack_dir: Path) -> None:
    """Kill what was started for this stack and has no keeper any more; what is kept is left alone.

    By their environment, not by a recorded process group: they may have gone into sessions of their own, and
    a number on disk may be somebody else's by now.
    """
    # All are found before the first is killed: whether one is kept is read from its ancestors.
    left = [process for process in psutil.process_iter() if _is_left(process, str(stack_dir))]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=_KILLED_S)


def _is_left(process: psutil.Process, stack_dir: str) -> bool:
    try:
        if process.environ().get(STACK_MARK) != stack_dir:
            return False
        family = (process, *process.parents())
    except psutil.Error:  # ended meanwhile, or somebody else's
        return False
    return not any(str(KEEPER) in _words(one) for one in family)


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
