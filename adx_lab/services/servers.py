"""PostgreSQL and Valkey for variants: those of the stack that is up, those the settings name, or own ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from adx_lab.errors import UsageError
from adx_lab.progress import Progress
from adx_lab.services.running import running_servers
from adx_lab.services.stack_state import StackState, logs_dir, read_state
from adx_lab.services.starting.leftovers import end_leftovers
from adx_lab.services.starting.start import StartOrder
from adx_lab.services.starting.templates import adapt
from adx_lab.settings import Settings
from adx_lab.stack.databases import Cluster, clone, drop

_SCRATCH = "adx_scratch"
_EMPTY = "adx_empty_copy"


@dataclass(frozen=True, slots=True)
class NamedCluster:
    """The server behind somebody's database URL."""

    known_url: str

    def url(self, database: str = "postgres") -> str:
        """Return the URL of another database of the same server."""
        parts = urlsplit(self.known_url)
        made = urlunsplit(parts._replace(path=f"/{database}"))
        # A URL without a host (a Unix socket's) loses its slashes on the way.
        return made if "://" in made else made.replace(":", "://", 1)


@dataclass(frozen=True, slots=True)
class Servers:
    """What variants are started on.

    Attributes
    ----------
    cluster
        Where their databases are cloned.
    valkey_url
        Where they cache; each in a numbered database of its own.
    pids
        Processes of the servers, by role; empty where they are somebody else's.
    """

    cluster: Cluster
    valkey_url: str
    pids: dict[str, list[int]]

    def valkey_database(self, number: int) -> str:
        """Return the URL of one of Valkey's numbered databases, so that its commands can be told apart."""
        if not self.valkey_url:
            return ""
        base = self.valkey_url.split("?", 1)[0]
        return f"{base}?db={number}"


@asynccontextmanager
async def servers(settings: Settings, progress: Progress, *, needed: bool = True) -> AsyncIterator[Servers]:
    """Give the servers for as long as the block runs; what was up before stays up.

    Services that are up already need none (``needed``): then nothing is started.

    Raises
    ------
    BusyError
        Another process is starting or stopping this checkout's stack.
    StackError
        A server did not start.
    """
    if not needed:
        yield Servers(NamedCluster(""), "", {})
        return
    state = read_state(settings)
    if state is not None:
        progress.step("using the servers of the stack that is up")
        await asyncio.to_thread(end_leftovers, settings.stack_dir)
        pids = {role: found for role, found in state.processes.items() if role in {"postgres", "valkey"}}
        yield Servers(NamedCluster(state.database_url), state.valkey_url, pids)
        return
    async with running_servers(settings, progress) as stack:
        pids = {child.role: [child.pid] for child in stack.children}
        cluster = stack.postgres or NamedCluster(stack.database_url)
        yield Servers(cluster, stack.valkey_url, pids)


@asynccontextmanager
async def empty_database(state: StackState) -> AsyncIterator[str]:
    """Give the URL of an empty database on the stack's own server, to be thrown away."""
    cluster = NamedCluster(state.database_url)
    url = await clone(cluster, "template0", _EMPTY, fresh=True)
    try:
        yield url
    finally:
        await drop(cluster, _EMPTY)


@asynccontextmanager
async def scratch_database(settings: Settings, state: StackState) -> AsyncIterator[str]:
    """Give the URL of a fresh clone of the stack's data set, to be written to and thrown away.

    Raises
    ------
    UsageError
        The stack's database is somebody else's: there is nothing to clone.
    """
    if state.template is None:
        raise UsageError(
            "a throw-away clone is made of the embedded stack's data set, and this database is your own",
            mend="leave database.url out",
        )
    cluster = NamedCluster(state.database_url)
    url = await clone(cluster, state.template, _SCRATCH, fresh=True)
    try:
        order = StartOrder(
            _SCRATCH,
            settings.service,
            settings.source_dir,
            settings.stack_dir,
            url,
            state.valkey_url,
            settings.dataset,
        )
        await adapt(order, log=logs_dir(settings) / "adapt.log")
        yield url
    finally:
        await drop(cluster, _SCRATCH)
