"""PostgreSQL and Valkey for variants: those of the stack that is up, those the settings name, or own ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from adx_lab.progress import Progress
from adx_lab.settings import Settings
from adx_lab.stack.databases import Cluster
from adx_lab.stack.lifecycle import read_state, running_servers


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
        base = self.valkey_url.split("?", 1)[0]
        return f"{base}?db={number}"


@asynccontextmanager
async def servers(settings: Settings, progress: Progress) -> AsyncIterator[Servers]:
    """Give the servers for as long as the block runs; what was up before stays up.

    Raises
    ------
    BusyError
        Another process is starting or stopping this checkout's stack.
    StackError
        A server did not start.
    """
    state = read_state(settings)
    if state is not None:
        progress.step("using the servers of the stack that is up")
        pids = {role: found for role, found in state.processes.items() if role in {"postgres", "valkey"}}
        yield Servers(NamedCluster(state.database_url), state.valkey_url, pids)
        return
    async with running_servers(settings, progress) as stack:
        pids = {child.role: [child.pid] for child in stack.children}
        cluster = stack.postgres or NamedCluster(stack.database_url)
        yield Servers(cluster, stack.valkey_url, pids)
