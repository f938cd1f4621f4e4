"""``adx-lab up``."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from adx_lab.cli.console import ConsoleProgress, print_json, print_pairs
from adx_lab.errors import StackError, UsageError
from adx_lab.files import make_private_folder
from adx_lab.settings import Settings, read_settings

if TYPE_CHECKING:
    from adx_lab.services.stack_state import StackState


_DETACHED_START_S = 900


def run(
    *,
    detach: bool = False,
    fresh: bool = False,
    port: int | None = None,
    workers: int | None = None,
    scale: str | None = None,
    rules_off: str | None = None,
    json: bool = False,
) -> int:
    """Start the stack: PostgreSQL, Valkey, the core.

    Parameters
    ----------
    detach
        Return when it is ready and leave it running; otherwise it runs until Ctrl-C.
    fresh
        Begin with a fresh clone of the data set.
    port
        The core's port on this machine; 0 takes a free one.
    workers
        Processes of the core.
    scale
        The data set's scale: small, standard or large.
    rules_off
        Performance rules to switch off, separated by commas.
    json
        Print the state as one JSON document.
    """
    from adx_lab.services import stack_state

    flags = {
        "service.start.port": port,
        "service.start.workers": workers,
        "dataset.scale": scale,
        "service.start.switches_off": rules_off,
    }
    if rules_off is not None and not rules_off.strip(" ,"):
        raise UsageError("--rules-off names no rule", mend="adx-lab rules --list tells them, or leave it out")
    settings = read_settings(flags=flags)
    state = stack_state.read_state(settings)
    if state is not None:
        if any(value is not None for value in flags.values()) or fresh:
            raise UsageError("the stack is up already, with other settings", mend="run adx-lab down first")
        _show(state, json=json)
        return 0
    if detach:
        _show(_start_detached(settings, fresh=fresh, flags=flags), json=json)
        return 0
    asyncio.run(_hold(settings, fresh=fresh, json=json))
    return 0


async def _hold(settings: Settings, *, fresh: bool, json: bool) -> None:
    from adx_lab.services import running

    progress = ConsoleProgress()
    async with running.running_stack(settings, progress, fresh=fresh) as stack:
        _show(stack.state(), json=json)
        progress.step("the stack is up; Ctrl-C stops it")
        await running.watch(stack)


def _start_detached(settings: Settings, *, fresh: bool, flags: dict[str, Any]) -> StackState:
    from adx_lab.services import stack_state

    log = stack_state.logs_dir(settings) / "up.log"
    try:
        make_private_folder(log.parent)
        output = log.open("wb")
    except OSError as error:
        raise StackError(f"{log} can't be written: {error.strerror}") from error
    options = dict(zip(flags, ("--port", "--workers", "--scale", "--rules-off"), strict=True))
    command = [sys.executable, "-m", "adx_lab.cli", "up", *(["--fresh"] if fresh else [])]
    for name, value in flags.items():
        if value is not None:
            command += [options[name], str(value)]
    environ = os.environ | {"ADX_LAB_HOME": str(settings.home_dir)}
    with output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environ,
            start_new_session=True,
        )
    return _await_detached(settings, process, log.read_text)


def _await_detached(settings: Settings, process: subprocess.Popen[bytes], read_log: Any) -> StackState:
    from adx_lab.services import stack_state

    told = 0
    deadline = time.monotonic() + _DETACHED_START_S
    while time.monotonic() < deadline:
        lines = read_log(encoding="utf-8", errors="replace").splitlines()
        for line in lines[told:]:
            if line.startswith("["):
                print(line, file=sys.stderr, flush=True)
        told = len(lines)
        state = stack_state.read_state(settings)
        if state is not None and state.holder_pid == process.pid:
            return state
        if process.poll() is not None:
            reason = next(
                (line for line in reversed(lines) if line.startswith("adx-lab: ")), "it said nothing"
            )
            kind = UsageError if process.returncode == UsageError.exit_code else StackError
            raise kind(reason.removeprefix("adx-lab: "))
        time.sleep(0.05)
    process.terminate()
    raise StackError(f"the stack was not ready within {_DETACHED_START_S} s")


def _show(state: StackState, *, json: bool) -> None:
    from adx_lab.services import stack_state

    health = stack_state.health(state)
    if json:
        print_json(health)
    else:
        print_pairs(
            {name: health[name] for name in ("status", "base_url", "docs_url", "database_url", "logs")}
        )
