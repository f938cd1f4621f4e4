"""``adx-lab down``."""

from __future__ import annotations

import os
import signal
import time

from adx_lab.cli.console import print_json
from adx_lab.errors import StackError
from adx_lab.settings import Settings, read_settings

_STOP_S = 40


def run(*, purge: bool = False, json: bool = False) -> int:
    """Stop the stack.

    Parameters
    ----------
    purge
        Remove the embedded servers' data too. Stored runs stay.
    json
        Print what was done as one JSON document.
    """
    from adx_lab.services import running, stack_state
    from adx_lab.services.starting.leftovers import end_leftovers

    settings = read_settings()
    holder = stack_state.holder_pid(settings)
    if holder is not None:
        _stop(settings, holder)
    end_leftovers(settings.stack_dir)
    if purge:
        running.purge(settings)
    said = "stopped" if holder is not None else "was not up"
    if json:
        print_json({"status": "down", "was_up": holder is not None, "purged": purge})
    else:
        print(f"the stack {said}{' and its data is removed' if purge else ''}")
    return 0


def _stop(settings: Settings, holder: int) -> None:
    from adx_lab.services import stack_state

    if holder == 0:
        raise StackError(
            f"a process that can't be told holds {stack_state.lock_file(settings)}",
            mend=f"fuser {stack_state.lock_file(settings)} names it",
        )
    os.kill(holder, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_S
    while stack_state.holder_pid(settings) == holder:
        if time.monotonic() > deadline:
            raise StackError(
                f"process {holder} holds the stack and does not stop", mend=f"kill it: kill -9 {holder}"
            )
        time.sleep(0.05)
