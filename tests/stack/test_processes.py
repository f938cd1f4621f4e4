from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from adx_lab.errors import StackError
from adx_lab.processes import start_child, stop_child, wait_until_ready

PARENT = """
import sys, time
from pathlib import Path
from adx_lab.processes import start_child
child = start_child("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], log=Path(sys.argv[1]))
print(child.pid, flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(pid: int, *, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_a_child_cannot_outlive_a_killed_lab(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    assert gone(pid)


async def test_a_child_that_dies_is_quoted(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    child = start_child("clerk", [sys.executable, "-c", "import sys; sys.exit('no ink left')"], log=log)
    with pytest.raises(StackError, match=r"clerk exited with status 1: no ink left; see .*child\.log"):
        await wait_until_ready(child, lambda: False, seconds=30)


async def test_a_child_that_never_gets_ready_is_said_so(tmp_path: Path) -> None:
    child = start_child("sleeper", ["sleep", "60"], log=tmp_path / "log")
    try:
        with pytest.raises(StackError, match=r"was not ready within 0\.1 s"):
            await wait_until_ready(child, lambda: False, seconds=0.1)
    finally:
        await stop_child(child)
    assert gone(child.pid)


async def test_a_stubborn_child_and_its_children_are_killed(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    child = start_child("mule", [sys.executable, "-u", "-c", code], log=log)
    await wait_until_ready(child, lambda: bool(log.read_text().strip()), seconds=30)
    await stop_child(child, grace_s=0.2)
    assert gone(child.pid)
    assert gone(int(log.read_text()))


async def test_a_command_that_does_not_exist_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="ghost could not be started"):
        start_child("ghost", [tmp_path / "nothing"], log=tmp_path / "log")


async def test_earlier_logs_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    for word in ("one", "two", "three"):
        child = start_child("speaker", ["echo", word], log=log)
        child.process.wait()
    assert [
        log.read_text(),
        (tmp_path / "child.log.1").read_text(),
        (tmp_path / "child.log.2").read_text(),
    ] == [
        "three\n",
        "two\n",
        "one\n",
    ]
