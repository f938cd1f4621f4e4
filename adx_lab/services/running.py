"""The whole stack: started in order, stopped in reverse, its state told to other processes of the lab.

One process holds the stack and its lock: ``adx-lab up``, or any verb that needs a stack and finds none. The
kernel lets go of the lock when the holder dies, however it dies, so a state file without a held lock is a
dead predecessor's and counts for nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from adx_lab.errors import StackError
from adx_lab.processes import Child
from adx_lab.progress import Progress
from adx_lab.records.documents import to_json
from adx_lab.records.run import Target
from adx_lab.secrecy import shown_url
from adx_lab.services.core_server import (
    Core,
    CorePlan,
    Worker,
    is_ready,
    run_core_command,
    start_core,
    start_worker,
)
from adx_lab.services.templates import ensure_data_set, seed
from adx_lab.settings import CHECKOUT, CoreSettings, Settings
from adx_lab.stack import accounts, databases
from adx_lab.stack.locks import hold, holder
from adx_lab.stack.postgres import Postgres, start_postgres
from adx_lab.stack.valkey import Valkey, start_valkey

SERVICE = "adx_core"


class StackState(msgspec.Struct, frozen=True, kw_only=True):
    """What one process of the lab tells the others about the stack it holds."""

    holder_pid: int
    started_at: str
    base_url: str
    database_url: str
    valkey_url: str
    template: str | None
    sample_file: str
    processes: dict[str, list[int]]
    logs: str
    cache_trace: str | None = None

    def target(self) -> Target:
        """Return what a load is sent to."""
        return Target(self.base_url, self.database_url, self.valkey_url, f"{self.base_url}/metrics")


@dataclass
class Stack:
    """A running stack that this process holds."""

    settings: Settings
    progress: Progress
    postgres: Postgres | None = None
    valkey: Valkey | None = None
    core: Core | None = None
    worker: Worker | None = None
    template: str | None = None
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def database_url(self) -> str:
        """The service's database."""
        if self.postgres is None:
            assert self.settings.database.url is not None
            return self.settings.database.url
        return self.postgres.url(SERVICE)

    @property
    def valkey_url(self) -> str:
        """The service's Valkey."""
        if self.valkey is None:
            assert self.settings.valkey.url is not None
            return self.settings.valkey.url
        return self.valkey.url

    @property
    def children(self) -> tuple[Child, ...]:
        """Every process that the stack started."""
        servers = (self.postgres, self.valkey, self.core, self.worker)
        return tuple(server.child for server in servers if server is not None)

    def plan(
        self, name: str = SERVICE, database_url: str | None = None, *, core: CoreSettings | None = None
    ) -> CorePlan:
        """Return how a core of this stack is started."""
        return CorePlan(
            name=name,
            database_url=database_url or self.database_url,
            valkey_url=self.valkey_url,
            stack_dir=self.settings.stack_dir,
            settings=core or self.settings.core,
            source=CHECKOUT,
            traced=True,
        )

    def state(self) -> StackState:
        """Return what other processes may know."""
        assert self.core is not None
        pids = {child.role: [child.pid] for child in self.children}
        return StackState(
            holder_pid=os.getpid(),
            started_at=self.started_at,
            base_url=self.core.url,
            database_url=self.database_url,
            valkey_url=self.valkey_url,
            template=self.template,
            sample_file=str(sample_file(self.settings)),
            processes=pids | {"core": list(self.core.pids)},
            logs=str(logs_dir(self.settings)),
            cache_trace=str(self.core.plan.trace_file),
        )


def logs_dir(settings: Settings) -> Path:
    """Return the folder with what every child printed."""
    return settings.stack_dir / "logs"


def sample_file(settings: Settings) -> Path:
    """Return the file that tells the load whom to log in as and what to ask for."""
    return settings.stack_dir / "sample.json"


def _lock_file(settings: Settings) -> Path:
    return settings.stack_dir / "stack.lock"


def _state_file(settings: Settings) -> Path:
    return settings.stack_dir / "state.json"


def holder_pid(settings: Settings) -> int | None:
    """Return the process that holds this checkout's stack, or None."""
    return holder(_lock_file(settings))


def read_state(settings: Settings) -> StackState | None:
    """Return the state of the stack that some process holds just now, or None."""
    if holder_pid(settings) is None:
        return None
    try:
        return msgspec.json.decode(_state_file(settings).read_bytes(), type=StackState)
    except FileNotFoundError:
        return None  # held, but still starting or already stopping
    except msgspec.MsgspecError as error:
        raise StackError(f"{_state_file(settings)} is damaged: {error}", mend="run adx-lab down") from error


@asynccontextmanager
async def running_stack(
    settings: Settings, progress: Progress, *, fresh: bool = False
) -> AsyncIterator[Stack]:
    """Hold a stack for as long as the block runs.

    Parameters
    ----------
    settings
        Where it lies and what of it is external.
    progress
        Told each step.
    fresh
        Give the service a fresh clone of the data set instead of the one it used before.

    Raises
    ------
    BusyError
        Another process holds this checkout's stack.
    StackError, UsageError
        A part did not start, or an external one can't be used.
    """
    async with AsyncExitStack() as cleanup:
        _make_folder(settings)
        cleanup.enter_context(hold(_lock_file(settings), what="a stack of this checkout"))
        _state_file(settings).unlink(missing_ok=True)
        stack = Stack(settings, progress)
        await _start_servers(stack, cleanup)
        await _prepare_database(stack, fresh=fresh)
        progress.step("starting the core")
        stack.core = await start_core(stack.plan(), log=logs_dir(settings) / "core.log")
        cleanup.push_async_callback(stack.core.stop)
        progress.step("starting the workflow worker")
        stack.worker = await start_worker(stack.plan(), log=logs_dir(settings) / "worker.log")
        cleanup.push_async_callback(stack.worker.stop)
        await _write_sample(stack)
        _write_state(stack)
        cleanup.callback(lambda: _state_file(settings).unlink(missing_ok=True))
        yield stack


@asynccontextmanager
async def running_servers(settings: Settings, progress: Progress) -> AsyncIterator[Stack]:
    """Hold PostgreSQL and Valkey alone for as long as the block runs: who uses them brings cores of its own.

    Raises
    ------
    BusyError
        Another process holds this checkout's stack.
    StackError
        A server did not start.
    """
    async with AsyncExitStack() as cleanup:
        _make_folder(settings)
        cleanup.enter_context(hold(_lock_file(settings), what="a stack of this checkout"))
        _state_file(settings).unlink(missing_ok=True)
        stack = Stack(settings, progress)
        await _start_servers(stack, cleanup)
        yield stack


async def watch(stack: Stack) -> None:
    """Return never while all is well; raise what a dying child said."""
    while True:
        for child in stack.children:
            child.require_alive()
        await asyncio.sleep(0.2)


def health(state: StackState) -> dict[str, object]:
    """Return the stack's URLs, processes and whether the core is ready, as ``status`` prints it."""
    return {
        "status": "up" if is_ready(state.base_url) else "unready",
        **msgspec.to_builtins(state),
        "database_url": shown_url(state.database_url),
        "valkey_url": shown_url(state.valkey_url),
        "docs_url": f"{state.base_url}/docs",
    }


def purge(settings: Settings) -> None:
    """Remove everything that the embedded servers ever wrote; stored runs stay."""
    with hold(_lock_file(settings), what="a stack of this checkout"):
        accounts.purge(accounts.choose_places(settings.stack_dir, accounts.server_account()))


def _make_folder(settings: Settings) -> None:
    try:
        logs_dir(settings).mkdir(parents=True, exist_ok=True)
        _lock_file(settings).touch()
    except OSError as error:
        raise StackError(
            f"{settings.stack_dir} can't be written: {error.strerror}",
            mend="free some space, or give the folder to the account that runs the lab",
        ) from error


async def _start_servers(stack: Stack, cleanup: AsyncExitStack) -> None:
    settings = stack.settings
    accounts.remove_orphans()
    account = accounts.server_account()
    places = accounts.choose_places(settings.stack_dir, account)
    cleanup.callback(accounts.give_back, places)
    if settings.database.url is None:
        stack.progress.step("starting PostgreSQL")
        log = logs_dir(settings) / "postgres.log"
        stack.postgres = await start_postgres(places, account, settings.database, log=log)
        cleanup.push_async_callback(stack.postgres.stop)
    if settings.valkey.url is None:
        stack.progress.step("starting Valkey")
        stack.valkey = await start_valkey(places, settings.valkey, log=logs_dir(settings) / "valkey.log")
        cleanup.push_async_callback(stack.valkey.stop)


async def _prepare_database(stack: Stack, *, fresh: bool) -> None:
    settings, log = stack.settings, logs_dir(stack.settings) / "seed.log"
    if stack.postgres is None:
        if not await databases.check_external(stack.database_url):
            stack.progress.step(f"making the {settings.dataset.scale} data set in the external database")
            await seed(stack.plan(), settings.dataset, log=log)
        return
    stack.template = await ensure_data_set(
        stack.postgres, stack.plan(), settings.dataset, stack.progress, log=log
    )
    await databases.clone(stack.postgres, stack.template, SERVICE, fresh=fresh)
    if settings.core.rules_off:
        # A rule can be a part of the schema (an index): the clone must agree with the switches.
        await run_core_command(stack.plan(), "migrate", log=logs_dir(settings) / "migrate.log")


async def _write_sample(stack: Stack) -> None:
    target = sample_file(stack.settings)
    log = logs_dir(stack.settings) / "sample.log"
    await run_core_command(stack.plan(), "sample", "--out", str(target), log=log, seconds=120)


def _write_state(stack: Stack) -> None:
    file = _state_file(stack.settings)
    partial = file.with_suffix(".partial")
    partial.write_text(to_json(stack.state(), indent=2) + "\n", encoding="utf-8")
    partial.replace(file)
