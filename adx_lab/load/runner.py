"""Start Locust as a subprocess, follow it, and hand back what it recorded.

A subprocess always: gevent patches the event loop, and a notebook's kernel that imports it hangs.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adx_lab.errors import MeasurementError, UsageError
from adx_lab.load.collect import Collected, collect
from adx_lab.load.spec import VARIABLE, LoadSpec, write_spec
from adx_lab.processes import Child, start_child, stop_child
from adx_lab.progress import Progress

PLUGIN = Path(__file__).with_name("locust_plugin.py")
_SETUP_S = 60.0
_DRAIN_S = 45.0


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """What is to be run: a locustfile against a URL."""

    spec: LoadSpec
    locustfile: Path
    base_url: str
    log: Path

    def command(self) -> list[str]:
        """Return Locust's command line."""
        return [
            *(sys.executable, "-m", "locust", "--headless", "--only-summary"),
            *("-f", f"{PLUGIN},{self.locustfile}"),
            *("--host", self.base_url),
            *("--users", str(self.spec.users), "--spawn-rate", str(self.spec.users)),
            *("--run-time", f"{int(self.spec.warmup_s + self.spec.duration_s + _DRAIN_S)}s"),
            *("--exit-code-on-error", "0", "--stop-timeout", "5", "--loglevel", "WARNING"),
        ]


async def run_locust(
    order: LoadOrder, run_dir: Path, progress: Progress, *, on_start: Callable[[int], None]
) -> Collected:
    """Run a load to its end and write its tables into ``run_dir``.

    Parameters
    ----------
    order
        What to run.
    run_dir
        The run's folder.
    progress
        Told how far the load is.
    on_start
        Called with Locust's process id, so that its CPU and memory are sampled too.

    Raises
    ------
    UsageError
        The locustfile can't be imported or holds no user.
    MeasurementError
        Locust died or did not end.
    """
    raw_dir = Path(order.spec.raw_dir)
    spec_file = raw_dir / "spec.json"
    write_spec(order.spec, spec_file)
    environ = os.environ | {VARIABLE: str(spec_file), "PYTHONUNBUFFERED": "1"}
    child = start_child("locust", order.command(), log=order.log, environ=environ)
    on_start(child.pid)
    try:
        await _follow(child, order.spec, raw_dir, progress)
    finally:
        await stop_child(child, grace_s=5)
    if child.process.returncode != 0:
        raise _failure(child, order)
    return await asyncio.to_thread(collect, raw_dir, run_dir)


async def _follow(child: Child, spec: LoadSpec, raw_dir: Path, progress: Progress) -> None:
    limit_s = _SETUP_S + spec.warmup_s + spec.duration_s + _DRAIN_S
    started = time.monotonic()
    while child.alive:
        if time.monotonic() - started > limit_s:
            raise MeasurementError(f"locust did not end within {limit_s:g} s", log=child.log)
        began = _began(raw_dir)
        if began is not None and (done := time.time() - began) > 0:
            progress.advance("load", min(done, spec.duration_s), spec.duration_s, "s")
        await asyncio.sleep(0.25)


def _began(raw_dir: Path) -> float | None:
    told = [
        float(json.loads(line)["began"])
        for file in raw_dir.glob("worker-*.jsonl")
        for line in file.read_text(encoding="utf-8").splitlines()
        if '"began"' in line and line.endswith("}")
    ]
    return max(told, default=None)


def _failure(child: Child, order: LoadOrder) -> UsageError | MeasurementError:
    words = order.log.read_text(encoding="utf-8", errors="replace")
    for mark in ("No User class found", "SyntaxError", "ModuleNotFoundError", "ImportError", "UsageError"):
        lines = [line.strip() for line in words.splitlines() if mark in line]
        if lines:
            return UsageError(f"the locustfile {order.locustfile} can't be run: {lines[-1]}", log=order.log)
    return MeasurementError(f"locust exited with status {child.process.returncode}", log=order.log)
