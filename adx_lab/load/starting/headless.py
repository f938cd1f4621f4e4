"""Start Locust as a subprocess, follow it, and hand back what it recorded.

A subprocess always: gevent patches the event loop, and a notebook's kernel that imports it hangs.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import msgspec

from adx_lab import clock
from adx_lab.errors import MeasurementError, StackError, UsageError
from adx_lab.load.collecting.collect import Collected, collect, with_exit_code
from adx_lab.load.order import VARIABLE, LoadOrder, write_order
from adx_lab.load.recording.rows import all_facts
from adx_lab.load.recording.server_timing import ServerSplit
from adx_lab.load.schedules.schedule import Schedule
from adx_lab.load.secret import SECRET_VARIABLE
from adx_lab.load.starting.joining import require_admission
from adx_lab.load.starting.machines import JOIN_S, Machines
from adx_lab.load.starting.reachable import answers
from adx_lab.ports import require_free
from adx_lab.processes import Child, start_child, stop_child, wait_until_ready
from adx_lab.progress import Progress

PLUGIN = Path(__file__).with_name("locustfile.py")
_HOST = "LOCUST_HOST"
"""Locust's own; in the environment, since everybody can read a command line and a URL may hold a password."""

_UNHEEDED = (
    *("LOCUST_MODE_", "LOCUST_MASTER_", "LOCUST_PROCESSES", "LOCUST_EXPECT_WORKERS"),
    *("LOCUST_HEADFUL", "LOCUST_AUTOSTART", "LOCUST_AUTOQUIT", "LOCUST_LOGFILE", "LOCUST_SKIP_LOG_SETUP"),
)
"""How Locust is spread, where it listens, whether it has a page and where it logs is the lab's to say."""

_SETUP_S = 90.0
_DRAIN_S = 75.0
_LOOK_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class LocustCommand:
    """What is to be run: a locustfile against a URL."""

    order: LoadOrder
    locustfile: Path
    base_url: str
    log: Path
    machines: Machines = Machines()  # noqa: RUF009  # frozen
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
    secret = os.environ.get(SECRET_VARIABLE) or secrets.token_urlsafe(32)
    command = replace(command, machines=command.machines.settled())
    if command.machines.expect:
        progress.step(
            f"workers join with {SECRET_VARIABLE}={secret} adx-lab load … --master {command.machines.bind}"
        )
    told = {VARIABLE: str(order_file), SECRET_VARIABLE: secret, _HOST: command.base_url}
    environ = _heeded(with_trust(os.environ, command.trust), progress) | told | {"PYTHONUNBUFFERED": "1"}
    child = start_child("locust", command.words(), log=command.log, environ=environ)
    on_start(child.pid)
    try:
        await _follow(child, command, raw_dir, progress)
    finally:
        await stop_child(child, grace_s=5)
    _refuse_failures(child, command, raw_dir)
    duet = command.order.rivals_file is not None
    collected = await asyncio.to_thread(lambda: collect(raw_dir, run_dir, traces(), joined=duet))
    death, code = child.death(), child.process.returncode
    if death is None or code == 0:
        return collected
    if code > 0 and not collected.deaths:  # the record is whole: what ended badly came after it
        return with_exit_code(collected, code, _crash(command.log) if code == 1 else None)
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
    told = {SECRET_VARIABLE: os.environ.get(SECRET_VARIABLE) or secrets.token_urlsafe(32), _HOST: base_url}
    child = start_child("locust", command, log=log, environ=os.environ | environ | told)
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
    host, _, port = master.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"--master {master} is not HOST:PORT", mend="give what the master printed")
    await asyncio.to_thread(require_admission, host, int(port))
    command = [
        *(sys.executable, "-m", "locust", "--worker", "-f", f"{PLUGIN},{locustfile}"),
        *("--master-host", host, "--master-port", port, "--loglevel", "WARNING"),
    ]
    child = start_child("locust", command, log=log)
    try:
        await asyncio.to_thread(child.process.wait)
    finally:
        await stop_child(child, grace_s=5)
    if child.process.returncode != 0:
        raise MeasurementError(f"the worker of {master} ended badly", log=log)


async def _follow(child: Child, command: LocustCommand, raw_dir: Path, progress: Progress) -> None:
    order, started = command.order, time.monotonic()
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
        if schedule is None:
            limit_s += (order.users or 0) / 100 + (JOIN_S if command.machines.expect else 0)
        if time.monotonic() - started > limit_s:
            raise MeasurementError(f"locust did not end within {limit_s:g} s", log=child.log)
        if schedule is not None and began is not None and (done := clock.now() - began) > 0:
            progress.advance("load", min(done, schedule.duration_s), schedule.duration_s, "s")
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(child.process.wait, _LOOK_EVERY_S)


def _heeded(environ: Mapping[str, str], progress: Progress) -> dict[str, str]:
    """Return the environment without what would take Locust out of the lab's hands; say what that is."""
    unheeded = sorted(name for name in environ if name.startswith(_UNHEEDED))
    if unheeded:
        progress.step(f"{', '.join(unheeded)} of the environment: not heeded, the lab decides on that")
    return {name: value for name, value in environ.items() if name not in unheeded}


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


def _crash(log: Path) -> str | None:
    """Return what Python's last words are, where Locust ended with an exception that nobody caught."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line]
    began = max((place for place, line in enumerate(lines) if line.startswith("Traceback ")), default=None)
    told = [] if began is None else [line for line in lines[began + 1 :] if not line.startswith(" ")]
    return told[0] if told == lines[-1:] and told else None


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
