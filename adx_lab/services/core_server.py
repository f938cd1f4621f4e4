"""ADX Core as processes of the lab's: started through its stable interface, from any source tree."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from adx_lab.errors import StackError, UsageError
from adx_lab.processes import Child, start_child, stop_child, wait_until_ready
from adx_lab.settings import CHECKOUT, CoreSettings

READY_PATH = "/api/v1/ready"


@dataclass(frozen=True, slots=True)
class CorePlan:
    """What a core is to be started with.

    ``source`` is the tree whose ``adx_lab.core`` runs: this checkout or another version's worktree.
    ``name`` tells variants apart in logs and in Valkey's keys. ``traced`` cores tell their cache look-ups in
    a file; older versions can't.
    """

    name: str
    database_url: str
    valkey_url: str
    stack_dir: Path
    settings: CoreSettings
    source: Path = CHECKOUT
    traced: bool = False

    def environ(self, role: str = "core") -> dict[str, str]:
        """Return the whole environment of the core's process, or of its worker's."""
        files = self.stack_dir / "files" / self.name
        own = {
            "ADX_CORE_DATABASE_URL": self.database_url,
            "ADX_CORE_VALKEY_URL": self.valkey_url,
            "ADX_CORE_KEY_PREFIX": f"{self.name}:",
            "ADX_CORE_HOST": self.settings.host,
            "ADX_CORE_PORT": str(self.settings.port),
            "ADX_CORE_WORKERS": str(self.settings.workers),
            "ADX_CORE_RULES_OFF": self.settings.rules_off,
            "ADX_CORE_FILES_URL": str(files),
            "ADX_CORE_ANNOUNCE": str(self.announce(role)),
            "ADX_CORE_SERVER_TIMING": "1",
            "ADX_CORE_DIE_WITH_PARENT": "1",
            **({"ADX_CORE_CACHE_TRACE": str(self.trace_file)} if self.traced and role == "core" else {}),
            **self.settings.env,
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ADX_")}
        # The source tree goes first on the path, before whatever is installed.
        return inherited | {"PYTHONPATH": str(self.source), "PYTHONUNBUFFERED": "1"} | own

    @property
    def trace_file(self) -> Path:
        """The file of the cache's look-ups."""
        return self.stack_dir / f"cache-trace-{self.name}.bin"

    def announce(self, role: str) -> Path:
        """Return the file in which a process of this core says that it is ready."""
        return self.stack_dir / f"{role}-{self.name}.json"


@dataclass(frozen=True, slots=True)
class Core:
    """A running core."""

    child: Child
    url: str
    pids: tuple[int, ...]
    plan: CorePlan

    async def stop(self) -> None:
        """Let it finish what it serves, then stop it."""
        await stop_child(self.child, grace_s=8)
        self.plan.announce("core").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Worker:
    """The core's running workflow worker."""

    child: Child
    plan: CorePlan

    async def stop(self) -> None:
        """Stop it; a workflow goes on with the step it was in when a worker starts again."""
        await stop_child(self.child, grace_s=8)
        self.plan.announce("worker").unlink(missing_ok=True)


async def start_core(plan: CorePlan, *, log: Path, seconds: float = 30.0) -> Core:
    """Start a core and wait until it says that it is ready.

    Raises
    ------
    UsageError
        The core refused its settings (a taken port, an unknown rule).
    StackError
        It died or did not get ready; the message quotes its log.
    """
    announce = plan.announce("core")
    announce.unlink(missing_ok=True)
    (plan.stack_dir / "files" / plan.name).mkdir(parents=True, exist_ok=True)
    child = start_child("core", _command("serve"), log=log, environ=plan.environ(), cwd=plan.source)
    try:
        await wait_until_ready(child, announce.exists, seconds=seconds)
        told = json.loads(announce.read_text(encoding="utf-8"))
        await wait_until_ready(child, lambda: is_ready(told["url"]), seconds=seconds)
    except StackError as error:
        refused = child.process.poll() == UsageError.exit_code
        await stop_child(child)
        if refused:
            raise _refused(log) from error
        raise
    except BaseException:
        await stop_child(child)
        raise
    return Core(child, told["url"], (told["pid"], *told["worker_pids"]), plan)


async def start_worker(plan: CorePlan, *, log: Path, seconds: float = 60.0) -> Worker:
    """Start a core's workflow worker and wait until it takes work.

    Raises
    ------
    StackError
        It died or did not get ready; the message quotes its log.
    """
    announce = plan.announce("worker")
    announce.unlink(missing_ok=True)
    child = start_child(
        "worker", _command("worker"), log=log, environ=plan.environ("worker"), cwd=plan.source
    )
    try:
        await wait_until_ready(child, announce.exists, seconds=seconds)
    except BaseException:
        await stop_child(child)
        raise
    return Worker(child, plan)


def is_ready(base_url: str) -> bool:
    """Tell whether a core at this URL says it is ready; degraded counts, since it serves."""
    try:
        with urllib.request.urlopen(base_url + READY_PATH, timeout=5) as answer:
            return bool(answer.status == 200)
    except (
        OSError,
        urllib.error.URLError,
    ):  # refused, reset or 503: not ready, and the caller has a deadline
        return False


async def run_core_command(
    plan: CorePlan, verb: str, *arguments: str, log: Path, seconds: float = 600.0
) -> None:
    """Run one of the core's other commands (``seed``, ``migrate``, ``sample``) to its end.

    Raises
    ------
    UsageError
        The core refused its settings or its arguments.
    StackError
        It failed; the message quotes its log.
    """
    child = start_child(
        f"core {verb}", _command(verb, *arguments), log=log, environ=plan.environ(), cwd=plan.source
    )
    try:
        await wait_until_ready(child, lambda: child.process.poll() == 0, seconds=seconds)
    except StackError as error:
        if child.process.poll() == UsageError.exit_code:
            raise _refused(log) from error
        if child.process.poll() != 0:
            raise
    finally:
        await stop_child(child)


def _command(*words: str) -> list[str | Path]:
    return [sys.executable, "-m", "adx_lab.core", *words]


def _refused(log: Path) -> UsageError:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return UsageError(f"the core refused: {lines[-1].strip() if lines else 'it said nothing'}", log=log)
