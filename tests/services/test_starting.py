"""Any service as the lab's own: started as its project file says, stopped whole, nothing half made kept."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import asyncpg
import psutil
import pytest

from adx_lab.errors import MeasurementError, StackError, UsageError
from adx_lab.progress import Silent
from adx_lab.services.attached import processes_of
from adx_lab.services.starting.building import built
from adx_lab.services.starting.leftovers import end_leftovers
from adx_lab.services.starting.login import log_in
from adx_lab.services.starting.start import StartOrder, start_service
from adx_lab.services.starting.templates import ensure_data_set
from adx_lab.services.variants import order_of, read_variant
from adx_lab.settings import LoginSettings, ServiceSettings, Settings, read_settings

SERVER = """
import os, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.environ.get('SIZE')} {child.pid} {os.environ.get('URL', '')}".encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words],
        cwd=folder,
        check=True,
        capture_output=True,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "server.py").write_text(SERVER)
    (folder / "requirements.txt").write_text("nothing\n")
    (folder / ".gitignore").write_text(".adx-lab\n")
    (folder / "adx-lab.toml").write_text(
        'data = ".adx-lab"\n[service]\nname = "small"\n'
        "[service.start]\ncommand = '{python} server.py {port}'\nenv = { SIZE = '3' }\n"
    )
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


def settings_of(project: Path, more: str = "") -> Settings:
    if more:
        with (project / "adx-lab.toml").open("a") as file:
            file.write(more)
    return read_settings({}, {"home": str(project)})


def order(settings: Settings, name: str = "one", **more: Any) -> StartOrder:
    return StartOrder(name, settings.service, settings.source_dir, settings.stack_dir, **more)


def ask(url: str) -> list[str]:
    with urlopen(url, timeout=5) as answer:
        told: str = answer.read().decode()
    return told.split(" ")


async def test_it_is_ready_when_it_says_so_and_stops_whole(project: Path, tmp_path: Path) -> None:
    running = await start_service(order(settings_of(project)), log=tmp_path / "log")
    size, grandchild, _ = await asyncio.to_thread(ask, running.url)
    assert size == "3"
    assert int(grandchild) in running.pids
    await running.stop()
    assert not psutil.pid_exists(int(grandchild))


def gone(pid: int, *, seconds: float = 30) -> bool:
    with suppress(psutil.NoSuchProcess):
        psutil.wait_procs([psutil.Process(pid)], timeout=seconds)
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("which", ["guard", "keeper"])
async def test_whichever_of_its_keepers_is_killed_nothing_of_it_stays(
    project: Path, tmp_path: Path, which: str
) -> None:
    running = await start_service(order(settings_of(project)), log=tmp_path / "log")
    (keeper,) = psutil.Process(running.child.pid).children()
    family = running.pids
    assert len(family) >= 2
    os.kill(running.child.pid if which == "guard" else keeper.pid, signal.SIGKILL)
    await asyncio.to_thread(running.child.process.wait)
    assert all(gone(pid) for pid in (keeper.pid, *family))
    await running.stop()


async def test_what_both_killed_keepers_left_ends_when_the_stack_is_started_or_stopped(
    project: Path, tmp_path: Path
) -> None:
    settings = settings_of(project)
    left = await start_service(order(settings), log=tmp_path / "left")
    kept = await start_service(order(settings, "two"), log=tmp_path / "kept")
    try:
        (keeper,) = psutil.Process(left.child.pid).children()
        family = left.pids
        os.kill(left.child.pid, signal.SIGSTOP)  # so that it sees nothing of its keeper's death
        for pid in (keeper.pid, left.child.pid):
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(left.child.process.wait)
        assert all(psutil.pid_exists(pid) for pid in family)
        end_leftovers(tmp_path / "another")
        assert all(psutil.pid_exists(pid) for pid in family)
        end_leftovers(settings.stack_dir)
        assert all(gone(pid) for pid in family)
        assert (await asyncio.to_thread(ask, kept.url))[0] == "3"
    finally:
        await asyncio.gather(left.stop(), kept.stop())


async def test_one_that_dies_is_one_line_with_its_log(project: Path, tmp_path: Path) -> None:
    (project / "server.py").write_text("raise SystemExit('no such colour')\n")
    with pytest.raises(StackError, match=r"exited with status 1: no such colour; see .*log"):
        await start_service(order(settings_of(project)), log=tmp_path / "log")


LISTENER = "import socket, sys, time\ns = socket.create_server(('127.0.0.1', {port}))\ntime.sleep(60)\n"
REFUSING = SERVER.replace("self.send_response(200)", "self.send_response(503)")


@pytest.mark.parametrize(
    ("server", "ready", "said"),
    [
        (SERVER, "ready = '/up'\n", "OK"),
        (SERVER.replace("200", "404"), "", "OK"),
        (
            SERVER.replace("200", "404"),
            "ready = '/up'\n",
            "/up answered 404: set service.start.ready to a path",
        ),
        (REFUSING, "", "it answered 503"),
        (LISTENER.format(port=0), "", r"it listens on \d+ and not on \d+: let its command take {port}"),
        ("import time; time.sleep(60)\n", "", "it listens on no port"),
        ("pass\n", "", "exited with status 0; its command has to stay in the foreground"),
    ],
)
async def test_what_keeps_it_from_being_ready_is_said(
    project: Path, tmp_path: Path, server: str, ready: str, said: str
) -> None:
    (project / "server.py").write_text(server)
    settings = settings_of(project, f"ready_s = 3\n{ready}")
    if said == "OK":
        await (await start_service(order(settings), log=tmp_path / "log")).stop()
        return
    with pytest.raises(StackError, match=said) as told:
        await start_service(order(settings), log=tmp_path / "log")
    assert str(tmp_path / "log") in str(told.value)


async def test_a_word_that_is_nearly_known_is_refused(project: Path, tmp_path: Path) -> None:
    text = (project / "adx-lab.toml").read_text().replace("{port}", "{prot}")
    (project / "adx-lab.toml").write_text(text)
    with pytest.raises(UsageError, match=r"did you mean \{port\}"):
        await start_service(order(settings_of(project)), log=tmp_path / "log")


async def test_a_variant_has_its_commit_its_environment_and_a_port_of_its_own(
    project: Path, tmp_path: Path
) -> None:
    settings = settings_of(project)
    (project / "server.py").write_text(SERVER.replace("SIZE')", "SIZE')}{'!'"))
    old, new = read_variant("HEAD", settings), read_variant(".+env.SIZE=5", settings)
    assert old.tree is not None
    assert new.tree is not None
    assert old.tree.fingerprint != new.tree.fingerprint
    assert new.resolved == {"env.SIZE": "5"}
    starts = [
        start_service(order_of(variant, name, settings), log=tmp_path / name)
        for name, variant in (("old", old), ("new", new))
    ]
    both = await asyncio.gather(*starts)
    try:
        answers = [(await asyncio.to_thread(ask, one.url))[0] for one in both]
        assert answers == ["3", "5!"]
    finally:
        await asyncio.gather(*(one.stop() for one in both))


def test_what_it_does_not_know_is_refused(project: Path) -> None:
    settings = settings_of(project)
    with pytest.raises(UsageError, match="small has no switch or setting cache"):
        read_variant(".+cache=off", settings)
    with pytest.raises(UsageError, match="names no commit"):
        read_variant("nowhere", settings)


async def test_switches_are_asked_of_the_service_itself(project: Path) -> None:
    (project / "switches.py").write_text(
        "import json; print(json.dumps({'switches': {'cache': True}, 'settings': {'pool.size': 5}}))"
    )
    settings = settings_of(project, "switches = '{python} switches.py'\nsetting_env = 'SMALL_{NAME}'\n")
    variant = read_variant(".+cache=off+pool.size=9", settings)
    assert variant.start.switches_off == "cache"
    assert variant.start.env["SMALL_POOL_SIZE"] == "9"
    with pytest.raises(UsageError, match="did you mean cache"):
        read_variant(".+cach=off", settings)


async def test_it_is_built_once_a_lock_file(project: Path) -> None:
    counts = project.parent / "built"
    settings = settings_of(project, f"build = 'echo x >> {counts}; mkdir made; echo done > made/file'\n")
    one = read_variant("HEAD", settings).tree
    (project / "other.py").write_text("")
    two = read_variant(".", settings).tree
    assert one is not None
    assert two is not None
    first, second = await built(one, settings, Silent()), await built(two, settings, Silent())
    assert first.path != second.path
    assert (second.path / "made" / "file").read_text() == "done\n"
    assert not (project / "made").exists()
    assert counts.read_text() == "x\n"
    (project / "requirements.txt").write_text("other\n")
    third = read_variant(".", settings).tree
    assert third is not None
    await built(third, settings, Silent())
    assert counts.read_text() == "x\nx\n"


async def test_a_build_that_fails_leaves_nothing_that_is_used_later(project: Path) -> None:
    settings = settings_of(project, "build = 'mkdir made && false'\n")
    for _ in range(2):
        tree = read_variant("HEAD", settings).tree
        assert tree is not None
        with pytest.raises(StackError, match="build exited with status 1"):
            await built(tree, settings, Silent())
        assert not (tree.path / "made").exists()


async def test_without_a_lock_file_half_a_build_is_not_used_either(project: Path) -> None:
    git(project, "rm", "-q", "requirements.txt")
    git(project, "commit", "-qm", "no lock")
    settings = settings_of(project, "build = 'mkdir made && test -e {source}/good && touch made/whole'\n")
    for _ in range(2):
        tree = read_variant("HEAD", settings).tree
        assert tree is not None
        with pytest.raises(StackError, match="build exited with status 1"):
            await built(tree, settings, Silent())
        assert not tree.path.exists()
    (project / "good").touch()
    git(project, "add", "good")
    git(project, "commit", "-qm", "good")
    tree = read_variant("HEAD", settings).tree
    assert tree is not None
    assert ((await built(tree, settings, Silent())).path / "made" / "whole").exists()


async def test_another_command_builds_anew(project: Path) -> None:
    tree = read_variant("HEAD", settings_of(project, "build = 'echo one > made'\n")).tree
    assert tree is not None
    await built(tree, settings_of(project), Silent())
    text = (project / "adx-lab.toml").read_text().replace("echo one", "echo two")
    (project / "adx-lab.toml").write_text(text)
    made = await built(tree, settings_of(project), Silent())
    assert (made.path / "made").read_text() == "two\n"


class Cluster:
    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, database: str = "postgres") -> str:
        return self._url.replace("/postgres?", f"/{database}?")


PREPARE = """
import asyncio, asyncpg, os, sys
async def main():
    connection = await asyncpg.connect(os.environ["URL"])
    await connection.execute("CREATE TABLE half (id int)")
    if os.path.exists("broken"):
        sys.exit("half way")
    await connection.execute("INSERT INTO half SELECT generate_series(1, 7)")
asyncio.run(main())
"""


async def test_a_prepare_that_fails_half_way_is_never_cloned(
    project: Path, tmp_path: Path, postgres_url: str
) -> None:
    (project / "prepare.py").write_text(PREPARE)
    (project / "broken").touch()
    with (project / "adx-lab.toml").open("a") as file:
        file.write("[service.database]\nprepare = '{python} prepare.py'\nfiles = ['prepare.py']\n")
    text = (project / "adx-lab.toml").read_text().replace("SIZE = '3'", "URL = '{database_url}'")
    (project / "adx-lab.toml").write_text(text)
    settings = settings_of(project)
    cluster = Cluster(postgres_url)
    with pytest.raises(StackError, match=r"prepare exited with status 1: half way; see"):
        await ensure_data_set(cluster, order(settings), Silent(), log=tmp_path / "log")
    connection = await asyncpg.connect(postgres_url)
    names = [row[0] for row in await connection.fetch("SELECT datname FROM pg_database")]
    assert not [name for name in names if "building" in name]
    (project / "broken").unlink()
    template = await ensure_data_set(cluster, order(settings), Silent(), log=tmp_path / "log")
    assert await ensure_data_set(cluster, order(settings), Silent(), log=tmp_path / "log") == template
    made = await asyncpg.connect(cluster.url(template))
    assert await made.fetchval("SELECT count(*) FROM half") == 7
    await made.close()
    await connection.execute(f'DROP DATABASE "{template}"')
    await connection.close()


class Gate(BaseHTTPRequestHandler):
    """Lets in who knows the password."""

    def do_POST(self) -> None:
        told = self.rfile.read(int(self.headers["Content-Length"])).decode()
        good = "password=right" in told
        body = b'{"data": {"access_token": "the-token"}}' if good else b"{}"
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def gate() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Gate) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_it_logs_in_with_a_secret_of_the_environment(gate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    login = LoginSettings(
        request="POST /token", form={"user": "a", "password": "$SMALL_PASSWORD"}, token="data.access_token"
    )
    service = ServiceSettings(login=login)
    with pytest.raises(UsageError, match=r"needs \$SMALL_PASSWORD, and it is not set"):
        log_in(service, gate)
    monkeypatch.setenv("SMALL_PASSWORD", "wrong")
    with pytest.raises(MeasurementError, match="was answered 401"):
        log_in(service, gate)
    monkeypatch.setenv("SMALL_PASSWORD", "right")
    assert log_in(service, gate) == {"Authorization": "Bearer the-token"}


def test_whose_processes_are_its_own(gate: str, tmp_path: Path) -> None:
    assert processes_of(ServiceSettings(), gate, None) == {"service": [os.getpid()]}
    pid_file = tmp_path / "it.pid"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "its own words"]) as child:
        pid_file.write_text(f"{child.pid}\n")
        by_words = processes_of(ServiceSettings(processes=("its own words",)), gate, None)
        by_file = processes_of(ServiceSettings(processes=(str(pid_file),)), gate, None)
        child.kill()
    assert by_words == by_file == {"service": [child.pid]}
