"""The real core, started as a process, and a client that speaks to it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import msgspec

from adx_lab.core.database.sample import Sample, SampleTenant, SampleUser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "a secret for tests, which is long enough for HS256"
SEEDED = "core_seeded"


def core_environ(**settings: object) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ADX_")}
    own = {f"ADX_CORE_{name.upper()}": str(value) for name, value in settings.items()}
    return inherited | {"ADX_CORE_TOKEN_SECRET": SECRET, "ADX_CORE_DIE_WITH_PARENT": "1"} | own


def run_core(*words: str, timeout_s: float = 60, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "adx_lab.core", *words],
        env=core_environ(**settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def eventually(holds: Callable[[], object], seconds: float = 10.0) -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)
    return value


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclass
class Core:
    """A running core process, `serve` or `worker`."""

    process: subprocess.Popen[bytes]
    announced: Path
    log: Path
    told: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        url: str = self.told["url"]
        return url

    @property
    def worker_pids(self) -> list[int]:
        return list(json.loads(self.announced.read_text())["worker_pids"])

    def logged(self, message: str) -> list[dict[str, Any]]:
        lines = (line for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [entry for entry in map(json.loads, lines) if entry["message"] == message]

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=10)

    def rss(self) -> int:
        pids = self.told.get("worker_pids") or [self.process.pid]
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in pids)


@contextlib.contextmanager
def running_core(folder: Path, verb: str = "serve", **settings: object) -> Iterator[Core]:
    folder.mkdir(parents=True, exist_ok=True)
    announced, log = folder / f"{verb}.json", folder / f"{verb}.log"
    announced.unlink(missing_ok=True)
    environ = core_environ(**{"port": 0, "announce": announced, "files_url": folder / "files", **settings})
    with log.open("ab") as stream:
        process = subprocess.Popen([sys.executable, "-m", "adx_lab.core", verb], env=environ, stderr=stream)
    core = Core(process, announced, log, environ=environ)
    try:
        eventually(lambda: announced.exists() or process.poll() is not None, 30)
        assert process.poll() is None, log.read_text()[-3000:]
        core.told = json.loads(announced.read_text())
        yield core
    finally:
        core.stop()


class Client:
    """A user of the service; without a token it is nobody."""

    def __init__(self, url: str, token: str = "", refresh_token: str = "") -> None:
        self.token, self.refresh_token = token, refresh_token
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=30)
        self.url = url

    def __del__(self) -> None:
        self.http.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        # Bound to this object, so that it outlives the call even when nobody else holds it.
        return partial(self._call, name)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.http, name)(*args, **kwargs)

    def at(self, url: str) -> Client:
        """The same user at another replica."""
        return Client(url, self.token, self.refresh_token)


def log_in(url: str, tenant: SampleTenant, user: SampleUser, password: str) -> Client:
    body = {"tenant_id": tenant.id, "email": user.email, "password": password}
    answer = httpx.post(f"{url}/api/v1/auth/login", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    return Client(url, tokens["access_token"], tokens["refresh_token"])


def log_in_as(url: str, sample: Sample, role: str = "admin", tenant: int = 1, skip: int = 0) -> Client:
    """Log in as a user of a role; tenant 0 is the whale."""
    chosen = sample.tenants[tenant]
    users = [user for user in chosen.users if user.role == role]
    return log_in(url, chosen, users[skip], sample.password)


def timings(answer: httpx.Response) -> list[str]:
    """The entries of the Server-Timing header, without durations."""
    entries = answer.headers["server-timing"].split(", ")
    return [entry.partition(";desc=")[2].strip('"') or entry.partition(";")[0] for entry in entries]


def metric(url: str, name: str, **labels: str) -> float:
    """The sum of the series of a name that have these labels."""
    total = 0.0
    for line in httpx.get(f"{url}/metrics", timeout=10).text.splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name and all(
            f'{key}="{text}"' in series for key, text in labels.items()
        ):
            total += float(value)
    return total


def database_url(admin_url: str, name: str) -> str:
    return re.sub(r"^(\w+://[^/]*/)[^?]*", rf"\g<1>{name}", admin_url)


async def make_database(admin_url: str, name: str, template: str = "template1") -> str:
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    finally:
        await connection.close()
    return database_url(admin_url, name)


def read_sample(database: str, folder: Path) -> Sample:
    out = folder / "sample.json"
    done = run_core("sample", "--out", str(out), database_url=database)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(out.read_bytes(), type=Sample)
