from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import Any

import psutil

from adx_lab.capture.resources import read_machine_clock, sample_processes, used_seconds
from adx_lab.capture.sampler import sampling

BURN = "import time; end = time.monotonic() + 3\nwhile time.monotonic() < end: pass"


def row(t_s: float, pid: int, cpu_s: float) -> dict[str, Any]:
    return {"t_s": t_s, "pid": pid, "cpu_s": cpu_s}


def test_a_process_that_came_later_counts_from_its_beginning() -> None:
    rows = [row(0, 1, 10.0), row(1, 1, 10.5), row(1, 2, 3.0), row(2, 1, 11.0), row(2, 2, 4.0)]
    assert used_seconds(rows) == 5.0
    assert used_seconds([]) == 0.0


def test_the_machines_clock_only_goes_forward() -> None:
    before = read_machine_clock()
    after = read_machine_clock()
    assert after.busy_s >= before.busy_s >= 0
    assert after.steal_s >= before.steal_s >= 0


def test_descendants_count_to_their_role() -> None:
    with subprocess.Popen(["sleep", "30"]) as child:
        found = {sample["pid"] for sample in sample_processes({"lab": [os.getpid()]}, 0.0)}
        child.kill()
    assert {os.getpid(), child.pid} <= found


async def test_somebody_elses_work_is_told() -> None:
    with subprocess.Popen([sys.executable, "-c", BURN]) as burner:  # noqa: ASYNC220  # returns at once
        burned = psutil.Process(burner.pid)
        async with sampling(lambda: {"stack": []}, None, None) as seen:
            before_s = burned.cpu_times().user
            began = time.monotonic()
            await asyncio.sleep(2)
            share = (burned.cpu_times().user - before_s) / (time.monotonic() - began) / (os.cpu_count() or 1)
        burner.kill()
    # At least the burner; whatever else runs on this machine comes on top.
    assert seen.foreign_share > 0.8 * share > 0
