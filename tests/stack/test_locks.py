from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from adx_lab.errors import BusyError
from adx_lab.stack.locks import hold, holder


def test_one_holder_at_a_time_and_it_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "folder" / "lock"
    assert holder(lock) is None
    with hold(lock, what="the kettle"):
        assert holder(lock) == os.getpid()
        with (
            pytest.raises(BusyError, match=f"the kettle is running already .process {os.getpid()}"),
            hold(lock, what="the kettle"),
        ):
            pass
    assert holder(lock) is None


@pytest.mark.parametrize("words", ["", "0", "1", "-1", "somebody", "{self}"])
def test_a_holder_that_does_not_name_itself_is_not_guessed(tmp_path: Path, words: str) -> None:
    """`down` signals whoever this names: it must be nobody but who has the lock."""
    lock = tmp_path / "lock"
    lock.write_text(words.format(self=os.getpid()))
    with subprocess.Popen(
        ["flock", lock, "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE, start_new_session=True
    ) as stranger:
        assert stranger.stdout is not None
        stranger.stdout.readline()
        assert holder(lock) == 0
        os.killpg(stranger.pid, signal.SIGKILL)
    while holder(lock) is not None:  # its child may die a moment later
        time.sleep(0.01)
