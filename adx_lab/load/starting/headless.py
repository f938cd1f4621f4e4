"""Start Locust as a subprocess, follow it, and hand back what it recorded.

A subprocess always: gevent patches the event loop, and a notebook's kernel that imports it hangs.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import msgspec

from adx_lab.errors import MeasurementError, StackError, UsageError
from adx_lab.load.collecting.collect import Collected, collect, with_exit_code
from adx_lab.load.order import VARIABLE, LoadOrder, write_order
from adx_lab.load.recording.rows import all_facts
from adx_lab.load.recording.server_timing import ServerSplit
from adx_lab.load.schedules.schedule import Schedule
from adx_lab.load.starting.reachable import answers
from adx_lab.ports import require_free
from adx_lab.processes import Child, start_child, stop_child, wait_until_ready
from adx_lab.progress import Progress

PLUGIN = Path(__file__).with_name("locustfile.py")
_HOST = "LOCUST_HOST"
"""Locust's own; in the environment, since everybody can read a command line and a URL may hold a password."""

_SETUP_S = 90.0
_DRAIN_S = 75.0
_LOOK_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Machines:
    """How the load is spread.

    Attributes
    ----------
    processes
        Locust processes on this machine, besides the master that more than one need.
    expect
        Workers that come from other machines; then this process is their master.
    bind
        Address and port at which the master listens for them.
    """

    processes: int = 1
    expect: int = 0
    bind: str = "127.0.0.1:5557"

    def words(self) -> Iterator[str]:
        """Yield Locust's options for it."""
        if self.expect:
            host, _, port = self.bind.rpartition(":")
            yield from ("--master", "--expect-workers", str(self.expect), "--expect-workers-max-wait", "60")
            yield from ("--master-bind-host", host, "--master-bind-port", port)
        elif self.processes > 1:
            yield from ("--processes", str(self.processes))


@dataclass(frozen=True, slots=True)
class LocustCommand:
    """What is to be run: a locustfile against a URL."""

    order: LoadOrder
    locustfile: Path
    base_url: str
    log: Path
    machines: Machines = Machines()
    more: tuple[str, ...] = ()
    """Options for Locust besides: tags, and those of the file's own."""

    trust: Mapping[str, str | None] = field(default_factory=dict)
    """Variables that tell whose certificate is trusted; None unsets one."""

    def words(self) -> list[str]:
        """Return Locust's command line."""
        return [
            *(sys.executable, "-m", "locust", "--headless", "--only-summary"),
            *("-f", f"{PLUGIN},{self.locustfile}"),
            *self._users(),
            *self.machines.words(),
            *self.more,
            *("--exit-code-on-error", "0", "--stop-timeout", "5", "--loglevel", "WARNING"),
        ]

    def _users(self) -> Iterator[str]:
        # A scenario of the lab says itself what it needs; these reach somebody else's.
        if self.order.users is not None:
            yield from ("--users", str(self.order.users))
        if self.order.spawn_per_s is not None:
            yield from ("--spawn-rate", str(self.order.spawn_per_s))


async def run_locust(
    command: LocustCommand,
    run_dir: Path,
    progress: Progress,
    *,
    on_start: Callable[[int], None],
    traces: Callable[[], Mapping[str, ServerSplit]] = dict,
) -> Collected:
    """Run a load to its end and write its tables into ``run_dir``.

    Parameters
    ----------
    command
        What to run.
    run_dir
        The run's folder.
    progress
        Told how far the load is.
    on_start
        Called with Locust's process id, so that its CPU and memory are sampled too.
    traces
        Asked when the load is over: where the time of traced requests went.

    Raises
    ------
    UsageError
        The locustfile can't be imported or holds no user.
    MeasurementError
        Locust died or did not end.
    """
    raw_dir = Path(command.order.raw_dir)
    order_file = raw_dir / "order.json"
    write_order(command.order, order_file)
    environ = with_trust(os.environ, command.trust) | {
        VARIABLE: str(order_file),
        "PYTHONUNBUFFERED": "1",
        _HOST: command.base_url,
    }
    child = start_child("locust", command.words(), log=command.log, environ=environ)
    on_start(child.pid)
    try:
        await _follow(child, command.order, raw_dir, progress)
    finally:
        await stop_child(child, grace_s=5)
    _refuse_failures(child, command, raw_dir)
    collected = await asyncio.to_thread(lambda: collect(raw_dir, run_dir, traces()))
    death, code = child.death(), child.process.returncode
    if death is None or code == 0:
        return collected
    if code > 0 and not collected.deaths:  # a code of the locustfile's own, at a whole end
        return with_exit_code(collected, code)
    return replace(collected, deaths=(asdict(death),))


def with_trust(environ: Mapping[str, str], trust: Mapping[str, str | None]) -> dict[str, str]:
    """Return an environment with variables set, and without those that are to be unset."""
    changed = {**environ, **trust}
    return {name: value for name, value in changed.items() if value is not None}


async def serve_page(
    locustfile: Path,
    base_url: str,
    port: int,
    options: Sequence[str],
    *,
    log: Path,
    environ: Mapping[str, str],
    progress: Progress,
) -> None:
    """Serve Locust's web page on this machine until cancelled; each test's companion stores its run.

    Raises
    ------
    UsageError
        The port is taken, or the locustfile can't be run.
    """
    command = [
        *(sys.executable, "-m", "locust", "-f", f"{PLUGIN},{locustfile}"),
        *("--web-host", "127.0.0.1", "--web-port", str(port), "--stop-timeout", "5", "--loglevel", "WARNING"),
        *options,
    ]
    page = f"http://127.0.0.1:{port}"
    require_free(port)
    child = start_child("locust", command, log=log, environ=os.environ | environ | {_HOST: base_url})
    try:
        await wait_until_ready(child, lambda: answers(page), seconds=_SETUP_S)
        progress.step(f"the page is at {page}; Ctrl-C ends it")
        await asyncio.to_thread(child.process.wait)
    except StackError as error:
        raise _bad_locustfile(locustfile, log) or error from error
    finally:
        # Long enough for a companion to store the run of a test that was still going.
        await stop_child(child, grace_s=_DRAIN_S)


async def join_master(locustfile: Path, master: str, *, log: Path) -> None:
    """Be one more worker of a master on another machine, until it says that the load is over.

    Raises
    ------
    MeasurementError
        Locust died.
    """
    host, _, port = master.partition(":")
    command = [
        *(sys.executable, "-m", "locust", "--worker", "-f", f"{PLUGIN},{locustfile}"),
        *("--master-host", host, "--master-port", port or "5557", "--loglevel", "WARNING"),
    ]
    child = start_child("locust", command, log=log)
    try:
        await asyncio.to_thread(child.process.wait)
    finally:
        await stop_child(child, grace_s=5)
    if child.process.returncode != 0:
        raise MeasurementError(f"the worker of {master} ended badly", log=log)


async def _follow(child: Child, order: LoadOrder, raw_dir: Path, progress: Progress) -> None:
    started = time.monotonic()
    began: float | None = None
    schedule: Schedule | None = None
    while child.alive:
        if schedule is None:
            _refuse_told(raw_dir)  # a Locust that is told to quit while it starts may not hear of it
            found = _begin(raw_dir)
            if found is not None:
                began, schedule = found
                progress.step(f"load {order.scenario}: {schedule.describe()}")
        limit_s = (
            _SETUP_S if schedule is None else _SETUP_S + schedule.warmup_s + schedule.duration_s + _DRAIN_S
        )
        if schedule is None and order.users:
            limit_s += order.users / 100
        if time.monotonic() - started > limit_s:
            raise MeasurementError(f"locust did not end within {limit_s:g} s", log=child.log)
        if schedule is not None and began is not None and (done := time.time() - began) > 0:
            progress.advance("load", min(done, schedule.duration_s), schedule.duration_s, "s")
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(child.process.wait, _LOOK_EVERY_S)


def _begin(raw_dir: Path) -> tuple[float, Schedule] | None:
    found: tuple[float, Schedule] | None = None
    for fact in all_facts(raw_dir):
        if "began" in fact:
            found = float(fact["began"]), msgspec.convert(fact["schedule"], Schedule)
    return found


def _refuse_told(raw_dir: Path) -> None:
    failed = next((fact for fact in all_facts(raw_dir) if "failed" in fact), None)
    if failed is not None:
        kind = UsageError if failed["exit_code"] == UsageError.exit_code else MeasurementError
        raise kind(failed["failed"])


def _refuse_failures(child: Child, command: LocustCommand, raw_dir: Path) -> None:
    """Raise what Locust failed with, where it did."""
    _refuse_told(raw_dir)
    if child.process.returncode == 0 or any(
        "began" in fact or "ended" in fact for fact in all_facts(raw_dir)
    ):
        return  # even a killed one: what it recorded is whole but for its last second, and says so
    raise _bad_locustfile(command.locustfile, command.log) or MeasurementError(
        f"locust exited with status {child.process.returncode}", log=command.log
    )


def _bad_locustfile(locustfile: Path, log: Path) -> UsageError | None:
    """Return what is wrong with a locustfile, where Locust's log says that something is."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    if any("load_locustfile_pytest" in line for line in lines):  # what Locust tries when it finds no user
        return UsageError(f"the locustfile {locustfile} can't be run: it has no User class", log=log)
    for mark in ("No User class found", "Error: ", "Could not find", "ImportError", "Error"):
        found = [line for line in lines if mark in line]
        if found:
            return UsageError(f"the locustfile {locustfile} can't be run: {found[-1]}", log=log)
    return None
