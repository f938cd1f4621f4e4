"""The HTTP server: a main process that holds the port, and workers that serve it."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import resource
import secrets
import socket
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from adx_lab.core.cache.trace import check_trace
from adx_lab.core.clients.valkey import check_url, refuse_cluster
from adx_lab.core.database.database import QUERIES
from adx_lab.core.database.schema import check_schema, open_database, refuse_pooler
from adx_lab.core.errors import ConfigError, CoreError
from adx_lab.core.monitoring.alerts import watch_forever
from adx_lab.core.monitoring.logs import log
from adx_lab.core.monitoring.metrics import Memory
from adx_lab.core.routes import ROUTES
from adx_lab.core.server.app import App, build_app
from adx_lab.core.server.processes import announce, die_with_parent

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from adx_lab.core.settings import Settings

_BACKLOG = 16_384  # the server's own default caps live connections at 1,024
_OTHER_FILES = 1_000  # files that are sent or received, and connections to the database
_STOP_S = 2
_GARBAGE_AFTER = 20_000  # objects
_logger = logging.getLogger("adx_lab.core.server.main")


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises
    ------
    ConfigError
        The port is taken, or the database or Valkey is none that we can work with.
    CoreError
        The database can't be reached.
    """
    settings = _completed(settings)
    _allow_connections()
    asyncio.run(_check(settings))
    reserved = _reserve_port(settings.host, settings.port)
    port = reserved.getsockname()[1]
    # Forked, so that the workers share the metrics' memory and what was imported already.
    multiprocessing.set_start_method("fork", force=True)
    memory = Memory(settings.workers)
    ready, tell = multiprocessing.Pipe(duplex=False)
    server = MPServer(
        "adx_lab.core",
        address=settings.host,
        port=port,
        interface=Interfaces.RSGI,
        workers=settings.workers,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=60_000),
        websockets=False,
        backlog=_BACKLOG,
        backpressure=_BACKLOG,
        log_enabled=False,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=_STOP_S,
    )
    announcer = threading.Thread(
        target=_announce, args=(ready, settings, port, os.getpid()), name="announce", daemon=True
    )
    announcer.start()
    stop = threading.Event()
    if settings.on("alerts.thresholds"):
        streams = frozenset(route.template for route in ROUTES if route.streams)
        watching = (settings, memory, streams, stop)
        threading.Thread(target=watch_forever, args=watching, name="alerts", daemon=True).start()
    load: Any = partial(_load_worker, settings, memory, tell, port, os.getpid())
    try:
        server.serve(target_loader=load, wrap_loader=False)
    except SystemExit as error:
        raise CoreError("a worker could not start, or died twice at once; its log lines say why") from error
    finally:
        stop.set()
        reserved.close()


class Worker:
    """A worker's application, which also reports when it listens, and ends with the main process."""

    def __init__(self, app: App, tell: Connection, port: int) -> None:
        self.app = app
        self._tell = tell
        self._port = port
        self.__rsgi__ = app.__rsgi__

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start; the loop's first turn comes after the server began to listen."""
        self.app.__rsgi_init__(loop)
        # What is here now stays. Looking through all of it for garbage would stop every request meanwhile.
        gc.collect()
        gc.freeze()
        # Requests make next to no circles; to look for some after every 700 objects took a tenth of each.
        gc.set_threshold(_GARBAGE_AFTER, 20, 20)
        loop.call_soon(self._report)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close."""
        self.app.__rsgi_del__(loop)

    def _report(self) -> None:
        self._tell.send(os.getpid())


def _load_worker(settings: Settings, memory: Memory, tell: Connection, port: int, main: int) -> Worker:
    die_with_parent(main)
    return Worker(build_app(settings, memory), tell, port)


def _completed(settings: Settings) -> Settings:
    if settings.valkey_url:
        check_url(settings.valkey_url)
    if settings.cache.trace:
        check_trace(settings.cache.trace)
    if not settings.token_secret:
        log(_logger, logging.WARNING, "ADX_CORE_TOKEN_SECRET is not set: tokens end with this process")
        settings = msgspec.structs.replace(settings, token_secret=secrets.token_hex(32))
    return settings


def _allow_connections() -> None:
    """Raise the limit of open files so far that as many can connect as the server takes, if that is allowed.

    Each connection is an open file, and most systems begin with 1,024 of them. Workers inherit the limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _BACKLOG + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            log(_logger, logging.WARNING, "fewer connections than could be served", open_files=allowed)


async def _check(settings: Settings) -> None:
    await refuse_pooler(settings.database_url)
    connection = await open_database(settings.database_url)
    try:
        await check_schema(connection, QUERIES.values())
    finally:
        await connection.close()
    if settings.valkey_url:
        await refuse_cluster(settings.valkey_url)


def _reserve_port(host: str, port: int) -> socket.socket:
    """Hold a port for as long as we live, without listening: the workers bind it too, and listen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if port:
            with socket.socket(family, socket.SOCK_STREAM) as alone:
                alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                alone.bind((host, port))
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, port))
    except OSError as error:
        raise ConfigError(f"can't listen on {host}:{port}: {error.strerror}") from error
    return held


def _announce(ready: Connection, settings: Settings, port: int, main: int) -> None:
    living: list[int] = []
    while True:
        try:
            new = ready.recv()
        except (EOFError, OSError):
            return
        living = [pid for pid in living if _is_child(pid, main)] + [new]
        if len(living) < settings.workers:
            continue
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        document: dict[str, Any] = {"url": f"http://{host}:{port}", "pid": main, "worker_pids": living}
        log(_logger, logging.INFO, "listening", **document)
        announce(settings, document)


def _is_child(pid: int, main: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] != "Z" and fields[1] == str(main)
