"""A real process tells where its memory is, its forked children too, and others of its kind are let in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from adx_lab.analysis.functions.growth import grown, growth_by_function, growth_findings
from adx_lab.capture.allocations.places import Allocations, counted
from adx_lab.errors import MeasurementError
from adx_lab.settings import ServiceSettings, StartSettings

LEAK = """\
import os, sys, time
KEPT = []


def keep():
    KEPT.append(bytes(1_000))


if os.fork() == 0:
    while True:
        if os.path.exists(sys.argv[1]):
            for _ in range(200):
                keep()
            os.unlink(sys.argv[1])
        time.sleep(0.01)
os.wait()
"""


def test_what_a_forked_worker_keeps_is_told_by_line(tmp_path: Path) -> None:
    source, folder, go = tmp_path / "source", tmp_path / "asked", tmp_path / "go"
    source.mkdir()
    folder.mkdir()
    (source / "leak.py").write_text(LEAK)
    (source / "sitecustomize.py").write_text(
        "import os\nos.environ['OURS_CAME_TOO'] = '1'\nprint('came', flush=True)\n"
    )
    start = counted(ServiceSettings(start=StartSettings(command="x")), folder).start
    env = {name: value.replace("{source}", str(source)) for name, value in start.env.items()}
    command = [sys.executable, str(source / "leak.py"), str(go)]
    with subprocess.Popen(
        command, env=os.environ | env, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"came\n"
            wait_until(lambda: len(list(folder.glob("*.here"))) == 2)
            allocations = Allocations(folder)
            # One that answers late must not make the other answer twice.
            late = [int(one.stem) for one in folder.glob("*.here")][-1]
            os.kill(late, signal.SIGSTOP)
            threading.Timer(0.5, os.kill, (late, signal.SIGCONT)).start()
            before = allocations.read()
            go.touch()
            wait_until(lambda: not go.exists())
            after = allocations.read()
        finally:
            os.killpg(process.pid, 9)
    text = (source / "leak.py").read_text()
    kept = growth_by_function(before, after, root=str(source), text=lambda _: text, requests=200)
    (finding,) = growth_findings(list(grown("GET /", {}, kept)))
    assert finding.subject == "keep"
    assert finding.evidence["line"] == 6
    assert 1_000 <= float(str(finding.evidence["head_bytes_per_request"])) < 1_300
    assert not list(folder.glob("*.json"))


def test_a_service_that_is_no_python_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="none of the service's processes is one of Python"):
        Allocations(tmp_path).read()


def wait_until(holds: object) -> None:
    assert callable(holds)
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
