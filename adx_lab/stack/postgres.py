"""The embedded PostgreSQL: a cluster of the lab's own, reached over a Unix socket only.

No port, so no race for one; a private socket folder, so that trust is enough. Durability stays on: a lab that
turned ``fsync`` off would measure something else.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

from adx_lab.errors import StackError
from adx_lab.processes import Child, start_child, stop_child, terminate_pid, wait_until_ready
from adx_lab.settings import DatabaseSettings
from adx_lab.stack.accounts import Places, ServerAccount

SUPERUSER = "adx"
_START_S = 60.0  # a cluster that was killed replays its log first


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running cluster."""

    child: Child
    sockets: Path

    def url(self, database: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        return database_url(self.sockets, database)

    async def stop(self) -> None:
        """Shut it down cleanly: sessions are cut, nothing that was committed is lost."""
        await stop_child(self.child, grace_s=15)


def database_url(sockets: Path, database: str) -> str:
    """Return the URL of a database behind a socket folder."""
    return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(sockets))}"


async def start_postgres(
    places: Places, account: ServerAccount | None, settings: DatabaseSettings, *, log: Path
) -> Postgres:
    """Start the cluster, making it at first use and recovering it after a kill.

    Raises
    ------
    StackError
        It can't be made or did not come up; the message quotes its log.
    """
    cluster = places.data / "postgres"
    if not (cluster / "PG_VERSION").exists() or not (cluster / "adx-lab.complete").exists():
        await asyncio.to_thread(_make_cluster, places, cluster, account)
    await asyncio.to_thread(_clear_predecessor, cluster)
    child = start_child(
        "postgres",
        [places.binaries / "postgres", "-D", cluster, *_options(places, settings)],
        log=log,
        account=None if account is None else account.popen_arguments(),
        cwd=Path("/"),
        stop_signal=signal.SIGINT,  # "fast": end the sessions, then a checkpoint
    )
    postgres = Postgres(child, places.sockets)
    try:
        await wait_until_ready(child, lambda: _accepts(places), seconds=_START_S)
        # In the template, so that every database made later has it without asking.
        await _extend(postgres.url("template1"))
        await _extend(postgres.url())
    except BaseException:
        await postgres.stop()
        raise
    return postgres


def _make_cluster(places: Places, cluster: Path, account: ServerAccount | None) -> None:
    # An interrupted initdb leaves a folder that looks like a cluster; the marker tells them apart.
    shutil.rmtree(cluster, ignore_errors=True)
    command = [places.binaries / "initdb", "-D", cluster, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
    command += ["--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions"]
    finished = subprocess.run(
        [str(word) for word in command],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        **({} if account is None else account.popen_arguments()),
    )
    if finished.returncode != 0:
        words = (finished.stderr or finished.stdout).strip().splitlines()
        raise StackError(f"initdb failed in {cluster}: {' / '.join(words[-3:])}")
    (cluster / "adx-lab.complete").touch()
    if account is not None:
        account.owns(cluster)


def _options(places: Places, settings: DatabaseSettings) -> list[str]:
    values = {
        "listen_addresses": "",
        "unix_socket_directories": str(places.sockets),
        "unix_socket_permissions": "0700",
        "max_connections": settings.max_connections,
        "shared_buffers": f"{settings.shared_buffers_mb}MB",
        "effective_cache_size": f"{settings.shared_buffers_mb * 4}MB",
        "random_page_cost": 1.1,
        "max_wal_size": "2GB",
        "track_io_timing": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %d ",
        "shared_preload_libraries": "pg_stat_statements,auto_explain",
        "pg_stat_statements.max": 10000,
        "pg_stat_statements.track_planning": "off",  # it costs a lock at every plan
        "auto_explain.log_min_duration": "10ms",
        "auto_explain.log_format": "json",
        "auto_explain.log_analyze": "on",
        "auto_explain.log_timing": "off",  # a clock reading for each row and node is what makes it dear
        "auto_explain.log_buffers": "on",
    }
    return [word for name, value in values.items() for word in ("-c", f"{name}={value}")]


def _clear_predecessor(cluster: Path) -> None:
    pid_file = cluster / "postmaster.pid"
    try:
        pid = int(pid_file.read_text(encoding="ascii").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    # A pid is used again by others: only a postgres that has this very folder open is a predecessor.
    if _is_postmaster(pid, cluster):
        terminate_pid(pid, signal.SIGINT, grace_s=15)
    pid_file.unlink(missing_ok=True)


def _is_postmaster(pid: int, cluster: Path) -> bool:
    try:
        return str(cluster) in psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _accepts(places: Places) -> bool:
    finished = subprocess.run(
        [str(places.binaries / "pg_isready"), "-q", "-h", str(places.sockets), "-d", "postgres"],
        check=False,
        capture_output=True,
    )
    return finished.returncode == 0


async def _extend(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    finally:
        await connection.close()
