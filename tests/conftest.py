"""One embedded stack for the whole session, in a home of its own, for every test that needs a server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from xdist.scheduler import LoadScopeScheduling

HEADLESS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Chromium's words for a browser that draws and talks to nobody."""

OF_A_BUSY_MACHINE = frozenset(
    ("foreign_cpu_share", "steal_share", "loop_lag_p99_ms", "schedule_lag_p99_ms", "cpu_share_max")
)
"""Checks that fail where others use the machine too: they make a run invalid, and no test red."""

# A shell starts what it puts into the background with Ctrl-C ignored, and children inherit that: the tests
# that interrupt a verb would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A run that is ended so must stop the stack that it started, as one that is interrupted does.
signal.signal(signal.SIGTERM, signal.default_int_handler)

CHECKOUT = Path(__file__).resolve().parent.parent
IN_GIT = subprocess.run(["git", "rev-parse", "HEAD"], cwd=CHECKOUT, capture_output=True, check=False)

STARTERS = frozenset({"home", "stack_home", "start_truth_server"})
"""Fixtures that start PostgreSQL, Valkey, a service or Locust."""

ACCEPTANCE = (
    *(
        f"tests/conduct/test_{name}.py"
        for name in ("duet", "kills", "leaks", "profiling", "resume", "soak", "switches")
    ),
    *("tests/conduct/bisection/", "tests/examples/", "tests/promises/test_verdicts.py::test_a_slow_patch"),
    *("tests/report/test_answer.py", "tests/load/test_recorded_whole.py", "tests/load/test_scenarios.py"),
    *(
        f"tests/load/test_workers.py::test_{name}"
        for name in ("a_worker_that_is_killed", "workers_end_with_a_lab", "times_are_the_masters")
    ),
    *("tests/services/test_running.py", "tests/services/test_starting.py", "tests/cli/test_lab.py"),
)
"""Whole duets, kills, browsers and other services' stacks: ``make acceptance``."""

SHORT = ("--duration", "6", "--rate", "150", "--blocks", "1")
"""Words for a night that is over soon."""


@dataclass(frozen=True)
class Finished:
    """A command line that ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error_lines(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("adx-lab: ")]


@dataclass(frozen=True)
class Home:
    """A home folder of the lab, and its command line."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "data"

    def environ(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ADX_")}
        return inherited | {"ADX_LAB_HOME": str(self.path)}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "adx_lab.cli", *words]

    def adx_lab(self, *words: str, timeout_s: float = 240, environ: dict[str, str] | None = None) -> Finished:
        done = subprocess.run(
            self.command(*words),
            env=self.environ() | (environ or {}),
            cwd=self.path,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        return Finished(done.returncode, done.stdout, done.stderr)


def make_home(path: Path) -> Home:
    path.mkdir(parents=True, exist_ok=True)
    (path / "data").mkdir()
    shutil.copy(CHECKOUT / "data" / "budgets.toml", path / "data")
    for folder in ("notebooks", "locustfiles"):
        shutil.copytree(CHECKOUT / folder, path / folder)
    return Home(path)


_OF_THE_NIGHT = ("tests/conduct/test_nightly.py", "tests/promises/test_formats.py")


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]  # the plugin has no types
    """Where several processes run the tests, a folder's stay together: what they share is made once."""

    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.split("/")[1]
        # The session's one night is read by the tests of the night and of the report.
        return "report" if nodeid.startswith(_OF_THE_NIGHT) else folder


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Tell the plugin that runs tests in several processes how to share them out."""
    return ByFolder(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts servers or a load, and what takes minutes, so that each has a target of its own."""
    for item in items:
        if item.nodeid.startswith(ACCEPTANCE):
            item.add_marker("acceptance")
        if STARTERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("stack")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh home folder without a stack."""
    return make_home(tmp_path / "home")


@pytest.fixture(scope="session")
def stack_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The session's home folder, with its stack up."""
    home = make_home(tmp_path_factory.mktemp("session") / "home")
    started = home.adx_lab("up", "--detach", "--json")
    assert started.code == 0, started.err
    try:
        yield home
    finally:
        stopped = home.adx_lab("down", "--purge")
        assert stopped.code == 0, stopped.err


@pytest.fixture(scope="session")
def stack_state(stack_home: Home) -> dict[str, Any]:
    """What ``status`` says of the session's stack."""
    state: dict[str, Any] = stack_home.adx_lab("status", "--json").json()
    assert state["status"] == "up"
    return state


@pytest.fixture(scope="session")
def postgres_url(stack_state: dict[str, Any]) -> str:
    """A superuser's URL of the session's PostgreSQL: make a database of your own there."""
    url: str = stack_state["database_url"]
    return url.replace("/adx_core?", "/postgres?")


@pytest.fixture(scope="session")
def valkey_url(stack_state: dict[str, Any]) -> str:
    """The session's Valkey: use a key prefix of your own."""
    url: str = stack_state["valkey_url"]
    return url


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a headless browser; the test is skipped, and says so, where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no chromium on this machine: browser tests are skipped")
    return found


class Webhook(BaseHTTPRequestHandler):
    """Keeps what it is told."""

    told: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.told.append(json.loads(self.rfile.read(length)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def webhook() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def night(stack_home: Home, webhook: str) -> Any:
    """One nightly on the session's stack, compared with its own commit; many tests read what it left."""
    if IN_GIT.returncode == 0:
        assert stack_home.adx_lab("baseline", "set", "HEAD").code == 0
    done = stack_home.adx_lab("nightly", *SHORT, "--webhook", webhook, "--json", timeout_s=600)
    assert done.code in {0, 1, 3, 4}, done.err
    wrong = {check["check"] for check in done.json()["validity"] if not check["ok"]}
    assert {name.removeprefix("duet_") for name in wrong} <= OF_A_BUSY_MACHINE, wrong
    return done
