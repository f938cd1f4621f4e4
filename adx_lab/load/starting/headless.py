"""Start Locust as a subprocess, follow it, and hand back what it recorded.

A subprocess always: gevent patches the event loop, and a notebook's kernel that imports it hangs.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from adx_lab.deaths import in_words
from adx_lab.errors import AdxLabError, MeasurementError, StackError, UsageError
from adx_lab.load.collecting.collect import Collected, collect, with_exit_code
from adx_lab.load.order import VARIABLE, LoadOrder, write_order
from adx_lab.load.recording.rows import all_facts
from adx_lab.load.recording.server_timing import ServerSplit
from adx_lab.load.secret import SECRET_VARIABLE
from adx_lab.load.starting.defaults import source_of
from adx_lab.load.starting.following import SETUP_S, Overdue, follow, refuse_told
from adx_lab.load.starting.joining import require_admission
from adx_lab.load.starting.last_words import crash, last_words, reason
from adx_lab.load.starting.machines import JOIN_S, Machines
from adx_lab.load.starting.reachable import answers
from adx_lab.ports import require_free
from adx_lab.processes import Child, start_child, stop_child, wait_until_ready
from adx_lab.progress import Progress
from adx_lab.records.run import Caveat

PLUGIN = Path(__file__).parents[1] / "given" / "locustfile.py"
_HOST = "LOCUST_HOST"
"""Locust's own; in the environment, since everybody can read a command line and a URL may hold a password."""

_STORE_S = 75.0
"""A page's companion may store the run of a test that was still going."""


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
    environ = with_trust(os.environ, command.trust) | told | {"PYTHONUNBUFFERED": "1"}
    child = start_child("locust", command.words(), log=command.log, environ=environ)
    on_start(child.pid)
    try:
        overdue = await follow(
            child,
            command.order,
            progress,
            more_setup_s=JOIN_S if command.machines.expect else 0.0,
            alone=command.machines.alone,
        )
    finally:
        await stop_child(child, grace_s=5)
    if overdue is not None and not overdue.began:
        refuse_told(raw_dir)
        why = reason(command.log)
        raise MeasurementError(f"locust {overdue.words}{f' ({why})' if why else ''}", log=command.log)
    _refuse_failures(child, command, raw_dir)
    duet = command.order.rivals_file is not None
    collected = await asyncio.to_thread(lambda: collect(raw_dir, run_dir, traces(), joined=duet))
    return _as_it_ended(collected, child, overdue)


def _as_it_ended(collected: Collected, child: Child, overdue: Overdue | None) -> Collected:
    """Return what was recorded with how Locust itself ended."""
    death, code = child.death(), child.process.returncode
    if overdue is not None and not collected.deaths:
        caveat = Caveat("overdue", f"Locust {overdue.words}, and was stopped; its record is whole")
        return replace(collected, caveats=(*collected.caveats, caveat))
    if death is None or (code == 0 and overdue is None):
        return collected
    if overdue is not None:
        death = replace(death, how=f"{overdue.words}, and was killed")
    elif code > 0 and not collected.deaths:  # the record is whole: what ended badly came after it
        return with_exit_code(collected, code, crash(child.log) if code == 1 else None)
    return replace(collected, deaths=(asdict(death),))


def one_user_words(plugin: Path, locustfile: Path, more: tuple[str, ...]) -> list[str]:
    """Return the command line of a Locust whose one user asks one request at a time, until it is stopped.

    Parameters
    ----------
    plugin
        What it is given beside somebody's locustfile, and goes by.
    more
        Options of the file's own, and tags.
    """
    return [
        *(sys.executable, "-m", "locust", "--headless", "--only-summary", "-f", f"{plugin},{locustfile}"),
        *("--users", "1", "--spawn-rate", "1", "--run-time", "1h"),  # whatever a locust.conf says
        *("--loglevel", "WARNING", "--exit-code-on-error", "0", "--stop-timeout", "1", *more),
    ]


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
        await wait_until_ready(child, lambda: answers(page), seconds=SETUP_S)
        progress.step(f"the page is at {page}; Ctrl-C ends it")
        await asyncio.to_thread(child.process.wait)
    except StackError as error:
        why = None if child.alive else reason(log)
        raise _unfit(locustfile, why, log, options) if why else error from error
    finally:
        await stop_child(child, grace_s=_STORE_S)


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
        why = reason(log)
        raise MeasurementError(f"the worker of {master} ended badly{f': {why}' if why else ''}", log=log)


def _refuse_failures(child: Child, command: LocustCommand, raw_dir: Path) -> None:
    """Raise what Locust failed with, where it did."""
    refuse_told(raw_dir)
    if any("began" in fact or "ended" in fact for fact in all_facts(raw_dir)):
        return  # even a killed one: what it recorded is whole but for its last second, and says so
    raise _no_load(child, command)


def _no_load(child: Child, command: LocustCommand) -> AdxLabError:
    """Return why there was no load, in Locust's own words."""
    status, log = child.process.returncode, command.log
    why, said = reason(log), last_words(log)
    how = f"locust {in_words(status)} before there was a load"
    if status > 0 and why:
        return _unfit(command.locustfile, why, log, command.more)
    if status < 0 or not said:
        return MeasurementError(how, log=log)
    return UsageError(f"{how}: {why or said}", log=log)


def _unfit(locustfile: Path, words: str, log: Path, more: Sequence[str] = ()) -> UsageError:
    source = source_of(words, more, os.environ, Path.cwd())
    mend = f"it stands in {source}" if source else None
    if "arguments are required" in words:
        mend = "give them behind --, or as load.arguments of adx-lab.toml"
    return UsageError(f"the locustfile {locustfile} can't be run: {words}", mend=mend, log=log)
