"""The whole stack: started in order, stopped in reverse, its state told to other processes of the lab.

One process holds the stack and its lock: ``adx-lab up``, or any verb that needs a stack and finds none. The
kernel lets go of the lock when the holder dies, however it dies, so a state file without a held lock is a
dead predecessor's and counts for nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from adx_lab.deaths import note_death
from adx_lab.errors import StackError, UsageError
from adx_lab.files import make_private_folder, write_whole
from adx_lab.processes import Child
from adx_lab.progress import Progress
from adx_lab.records.documents import to_json
from adx_lab.secrecy import shown_url
from adx_lab.services.sources import SourceTree, working_tree
from adx_lab.services.stack_state import StackState, lock_file, logs_dir, sample_file, state_file
from adx_lab.services.starting.building import built
from adx_lab.services.starting.leftovers import end_leftovers
from adx_lab.services.starting.readiness import answers_ready
from adx_lab.services.starting.start import (
    Beside,
    Running,
    StartOrder,
    run_to_end,
    start_beside,
    start_service,
    wanted,
)
from adx_lab.services.starting.templates import adapt, ensure_data_set, prepare
from adx_lab.settings import Settings
from adx_lab.stack import accounts, databases
from adx_lab.stack.locks import hold
from adx_lab.stack.postgres import Postgres, start_postgres
from adx_lab.stack.valkey import Valkey, start_valkey

DATABASE = "adx_core"
"""The database of the service that is up."""


_RESTARTS = 3
"""Of one part, before the stack is given up."""

_LOOK_EVERY_S = 0.1
_TRIES, _BETWEEN_TRIES_S = 4, 0.5


@dataclass
class Stack:
    """A running stack that this process holds."""

    settings: Settings
    progress: Progress
    places: accounts.Places | None = None
    postgres: Postgres | None = None
    valkey: Valkey | None = None
    service: Running | None = None
    beside: dict[str, Beside] = field(default_factory=dict)
    keeper: asyncio.Task[None] | None = None
    source: Path | None = None
    template: str | None = None
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def database_url(self) -> str:
        """The service's database; empty where it has none."""
        if self.postgres is not None:
            return self.postgres.url(DATABASE)
        return self.settings.service.database.url or self.settings.database.url or ""

    @property
    def valkey_url(self) -> str:
        """The service's Valkey; empty where it has none."""
        return self.valkey.url if self.valkey is not None else self.settings.valkey.url or ""

    @property
    def children(self) -> tuple[Child, ...]:
        """Every process that the stack started."""
        return tuple(part.child for part in self.parts.values())

    @property
    def parts(self) -> dict[str, Postgres | Valkey | Running | Beside]:
        """What runs, by name, in the order in which it was started."""
        named = {"postgres": self.postgres, "valkey": self.valkey, "service": self.service, **self.beside}
        return {name: part for name, part in named.items() if part is not None}

    async def start(self, name: str) -> None:
        """Start a part, for the first time or again."""
        settings, log = self.settings, logs_dir(self.settings) / f"{name}.log"
        if name == "postgres":
            assert self.places is not None
            account = accounts.server_account()
            self.postgres = await start_postgres(self.places, account, settings.database, log=log)
        elif name == "valkey":
            assert self.places is not None
            self.valkey = await start_valkey(self.places, settings.valkey, log=log)
        elif name == "service":
            port = (urlsplit(self.service.url).port or 0) if self.service else 0
            self.service = await start_service(self.order(), log=log, former_port=port)
        else:
            self.beside[name] = await start_beside(self.order(), name, log=log)

    async def stop(self, name: str) -> None:
        """Stop a part, where it was started."""
        part = self.parts.get(name)
        if part is not None:
            await part.stop()

    def order(self, name: str = DATABASE, database_url: str | None = None) -> StartOrder:
        """Return how a service of this stack is started."""
        settings = self.settings
        return StartOrder(
            name,
            settings.service,
            self.source or settings.source_dir,
            settings.stack_dir,
            self.database_url if database_url is None else database_url,
            self.valkey_url,
            settings.dataset,
            traced=True,
        )

    def state(self) -> StackState:
        """Return what other processes may know."""
        assert self.service is not None
        pids = {child.role: [child.pid] for child in self.children}
        start = self.settings.service.start
        metrics_url = f"{self.service.url}{self.settings.service.metrics}"
        return StackState(
            holder_pid=os.getpid(),
            started_at=self.started_at,
            base_url=self.service.url,
            database_url=self.database_url,
            valkey_url=self.valkey_url,
            template=self.template,
            sample_file=str(sample_file(self.settings)) if start.people else "",
            processes=pids,
            logs=str(logs_dir(self.settings)),
            cache_trace=str(self.service.order.trace_file) if start.trace_env else None,
            service=self.settings.service.name,
            ready=start.ready,
            # A service without such a page has none, and no gaps in it.
            metrics_url=metrics_url if answers_ready(metrics_url) else None,
        )


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
        cleanup.enter_context(hold(lock_file(settings), what="a stack of this checkout"))
        state_file(settings).unlink(missing_ok=True)
        stack = Stack(settings, progress)
        stack.source = (await built(_working_tree(settings), settings, progress)).path
        await _start_servers(stack, cleanup)
        await _prepare_database(stack, fresh=fresh)
        progress.step(f"starting {settings.service.name}")
        cleanup.push_async_callback(stack.stop, "service")
        await stack.start("service")
        for name in settings.service.start.beside:
            progress.step(f"starting its {name}")
            cleanup.push_async_callback(stack.stop, name)
            await stack.start(name)
        await _write_sample(stack)
        _write_state(stack)
        cleanup.callback(lambda: state_file(settings).unlink(missing_ok=True))
        await cleanup.enter_async_context(_kept_up(stack))
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
        cleanup.enter_context(hold(lock_file(settings), what="a stack of this checkout"))
        state_file(settings).unlink(missing_ok=True)
        stack = Stack(settings, progress)
        await _start_servers(stack, cleanup)
        await cleanup.enter_async_context(_kept_up(stack))
        yield stack


def deaths_file(settings: Settings) -> Path:
    """Return the file that lists what died of the stack, and when."""
    return settings.stack_dir / "deaths.jsonl"


async def watch(stack: Stack) -> None:
    """Return never while the stack can be kept up; raise what a part that dies again and again said."""
    assert stack.keeper is not None
    await asyncio.shield(stack.keeper)


@asynccontextmanager
async def _kept_up(stack: Stack) -> AsyncIterator[None]:
    """Start again what dies while the block runs, and note each death: nothing of it is hidden."""
    stack.keeper = asyncio.create_task(_keep_up(stack))
    try:
        yield
    finally:
        stack.keeper.cancel()
        await asyncio.wait([stack.keeper])


async def _keep_up(stack: Stack) -> None:
    restarts: Counter[str] = Counter()
    while True:
        for name, part in list(stack.parts.items()):
            again = restarts[name] < _RESTARTS
            death = part.child.death(again=again)
            if death is None:
                continue
            note_death(deaths_file(stack.settings), death)
            stack.progress.step(str(death))
            if not again:
                part.child.require_alive()
            restarts[name] += 1
            await asyncio.to_thread(end_leftovers, stack.settings.stack_dir)
            await _start_again(stack, name)
            if stack.service is not None:
                _write_state(stack)
        await asyncio.sleep(_LOOK_EVERY_S)


async def _start_again(stack: Stack, name: str) -> None:
    for _ in range(_TRIES):
        try:
            await stack.start(name)
        except StackError:  # what the dead one left may still be going: sessions that hold its memory
            await asyncio.sleep(_BETWEEN_TRIES_S)
        else:
            return
    await stack.start(name)


def purge(settings: Settings) -> None:
    """Remove everything that the embedded servers ever wrote; stored runs stay."""
    with hold(lock_file(settings), what="a stack of this checkout"):
        accounts.purge(accounts.choose_places(settings.stack_dir, accounts.server_account()))


def _make_folder(settings: Settings) -> None:
    try:
        make_private_folder(logs_dir(settings))
        lock_file(settings).touch(mode=0o600)
    except OSError as error:
        raise StackError(
            f"{settings.stack_dir} can't be written: {error.strerror}",
            mend="free some space, or give the folder to the account that runs the lab",
        ) from error


async def _start_servers(stack: Stack, cleanup: AsyncExitStack) -> None:
    settings = stack.settings
    cleanup.callback(end_leftovers, settings.stack_dir)
    await asyncio.to_thread(end_leftovers, settings.stack_dir)
    accounts.remove_orphans()
    account = accounts.server_account()
    stack.places = places = accounts.choose_places(settings.stack_dir, account)
    cleanup.callback(accounts.give_back, places)
    if _needs_database(settings):
        stack.progress.step("starting PostgreSQL")
        cleanup.push_async_callback(stack.stop, "postgres")
        await stack.start("postgres")
    if settings.valkey.url is None and wanted(settings.service, "valkey"):
        stack.progress.step("starting Valkey")
        cleanup.push_async_callback(stack.stop, "valkey")
        await stack.start("valkey")


async def _prepare_database(stack: Stack, *, fresh: bool) -> None:
    settings, log = stack.settings, logs_dir(stack.settings) / "prepare.log"
    if stack.postgres is None:
        # The lab's own `database.url` is a place for the data set; the project file's is the service's own.
        place = settings.database.url is not None and settings.service.database.url is None
        if place and not await databases.check_external(stack.database_url):
            stack.progress.step("preparing the data in the external database")
            await prepare(stack.order(), log=log)
        return
    stack.template = await ensure_data_set(stack.postgres, stack.order(), stack.progress, log=log)
    await databases.clone(stack.postgres, stack.template, DATABASE, fresh=fresh)
    await adapt(stack.order(), log=logs_dir(settings) / "adapt.log")


def _needs_database(settings: Settings) -> bool:
    """Tell whether the lab starts PostgreSQL: the service wants one, and nobody named one."""
    named = settings.database.url or settings.service.database.url
    return named is None and wanted(settings.service, "database")


def _working_tree(settings: Settings) -> SourceTree:
    if not settings.service.start.command:
        raise UsageError(
            f"{settings.service.name} can't be started: its project file does not say how",
            mend="give it [service.start] with a command, or start it yourself and name its url",
        )
    return working_tree(settings.source_dir, settings.service.start)


async def _write_sample(stack: Stack) -> None:
    people = stack.settings.service.start.people
    if people:
        file, log = sample_file(stack.settings), logs_dir(stack.settings) / "sample.log"
        await run_to_end(stack.order(), "people", people, log=log, seconds=120, people_file=file)


def _write_state(stack: Stack) -> None:
    state = stack.state()
    told = msgspec.structs.replace(
        state, database_url=shown_url(state.database_url), valkey_url=shown_url(state.valkey_url)
    )
    write_whole(state_file(stack.settings), to_json(told, indent=2) + "\n")
