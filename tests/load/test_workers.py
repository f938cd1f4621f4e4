"""One load of several processes: who may join it, when it ends, and whose clock counts; real Locust."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import zmq

from adx_lab.errors import UsageError
from adx_lab.load.starting.joining import require_admission
from tests.conftest import Home
from tests.load.conftest import TruthServer
from tests.load.test_scenarios import THEIRS

HELLO = b"\x93\xacclient_ready\xa62.47.0\xa8stranger"
"""What Locust's worker says first, in MessagePack."""

SHIFTED = (
    THEIRS
    + """
import os, pathlib, time
from adx_lab import clock
from locust import events

def claim():
    try:
        return pathlib.Path(os.environ["CLAIM"]).mkdir() is None
    except FileExistsError:
        return False

@events.init.add_listener
def shift(environment, **_):
    now, lasting = time.time, clock.now
    if type(environment.runner).__name__ == "WorkerRunner" and claim():
        time.time, clock.now = lambda: now() + 100, lambda: lasting() + 100
"""
)


OLDER = (
    THEIRS
    + """
from locust import events
from adx_lab.load.process import worker

@events.init.add_listener
def be_older(environment, **_):
    if type(environment.runner).__name__ == "WorkerRunner":
        worker.versions = lambda: {"adx-lab": "0.0.1", "locust": "2.0"}
"""
)


def words(server: TruthServer, tmp_path: Path, text: str = THEIRS) -> tuple[str, ...]:
    file = tmp_path / "theirs.py"
    file.write_text(text)
    return ("load", "--locustfile", str(file), "--url", server.url, "--users", "4", "--warmup", "0.5")


@pytest.fixture
def leading(home: Home, truth_server: TruthServer, tmp_path: Path) -> Any:
    """A master that waits for one worker: the process, how workers join it, and where."""
    asked = (*words(truth_server, tmp_path), "--duration", "2", "--expect-workers", "1", "--json")
    process = subprocess.Popen(
        home.command(*asked), env=home.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stderr is not None
        told = next(line for line in process.stderr if "workers join with" in line)
        found = re.search(r"ADX_LOAD_SECRET=(\S+) .*--master (\S+)", told)
        assert found is not None
        yield process, *found.groups()
        process.terminate()


def join(home: Home, server: TruthServer, tmp_path: Path, place: str, secret: str) -> Any:
    environ = {"ADX_LOAD_SECRET": secret} if secret else {}
    return home.adx_lab(*words(server, tmp_path), "--master", place, environ=environ)


def test_a_stranger_hears_nothing_and_is_told(
    home: Home, truth_server: TruthServer, tmp_path: Path, leading: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, secret, place = leading
    host, _, port = place.rpartition(":")
    assert host == "127.0.0.1"
    for wrong, said in (("", "needs the secret"), (f"{secret}x", "refuses this worker")):
        monkeypatch.setenv("ADX_LOAD_SECRET", wrong)
        with pytest.raises(UsageError, match=said):
            require_admission(host, int(port))
    with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.linger = 0
        stranger.setsockopt(zmq.IDENTITY, b"stranger")
        stranger.connect(f"tcp://{place}")
        stranger.send(HELLO)
        joined = join(home, truth_server, tmp_path, place, secret)
        assert joined.code == 0, joined.err
        out, err = process.communicate(timeout=120)
        assert not stranger.poll(0)
    assert '"strangers"' in out, err
    assert secret not in out


def test_workers_end_with_a_lab_that_is_killed(home: Home, truth_server: TruthServer, tmp_path: Path) -> None:
    asked = (*words(truth_server, tmp_path), "--duration", "600", "--workers", "2")
    lab = subprocess.Popen(home.command(*asked), env=home.environ(), stderr=subprocess.DEVNULL)
    family: list[psutil.Process] = []
    deadline = time.monotonic() + 90
    while len(family) < 3 and time.monotonic() < deadline:  # a master and two workers
        family = [
            one for one in psutil.Process(lab.pid).children(recursive=True) if "locust" in one.cmdline()
        ]
        time.sleep(0.05)
    master = min(family, key=lambda one: one.create_time())
    os.kill(lab.pid, signal.SIGKILL)
    lab.wait()
    master.suspend()  # the hardest case: it can't tell anybody
    master.kill()
    gone, left = psutil.wait_procs(family, timeout=60)
    assert (len(gone), left) == (3, [])


def test_a_worker_that_is_killed_is_told_with_its_share(
    home: Home, truth_server: TruthServer, tmp_path: Path
) -> None:
    asked = (*words(truth_server, tmp_path), "--duration", "8", "--workers", "2", "--json")
    with subprocess.Popen(
        home.command(*asked), env=home.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as lab:
        assert lab.stderr is not None
        said = ""
        while "load theirs" not in said:
            line = lab.stderr.readline()
            assert line, said  # it ended before there was a load
            said += line
        time.sleep(4)
        family = psutil.Process(lab.pid).children(recursive=True)
        max(
            (one for one in family if "locust" in one.cmdline()), key=lambda one: (one.create_time(), one.pid)
        ).kill()
        out, err = lab.communicate()
    document = json.loads(out)
    told = {caveat["code"]: caveat["text"] for caveat in document["caveats"]}
    assert re.search(
        r"worker-00\d did not end its record: .* it sent \d+% of all requests", told["killed"]
    ), err
    assert lab.returncode == 4


def test_a_worker_of_another_version_is_refused(
    home: Home, truth_server: TruthServer, tmp_path: Path
) -> None:
    done = home.adx_lab(*words(truth_server, tmp_path, OLDER), "--duration", "2", "--workers", "2")
    assert (done.code, len(done.error_lines)) == (2, 1), done.err
    assert "runs adx-lab 0.0.1, locust 2.0, its master adx-lab" in done.error_lines[0]


def test_times_are_the_masters_whatever_a_workers_clock_says(
    home: Home, truth_server: TruthServer, tmp_path: Path
) -> None:
    asked = (*words(truth_server, tmp_path, SHIFTED), "--duration", "3", "--workers", "2", "--json")
    done = home.adx_lab(*asked, environ={"CLAIM": str(tmp_path / "claimed")})
    document = done.json()
    samples = pd.read_parquet(Path(document["folder"]) / "samples.parquet")
    assert document["audit"]["clock_offset_max_ms"] == pytest.approx(100_000, abs=1_000)
    assert set(samples["worker"]) == {0, 1}
    assert samples["t_sent_s"].between(-1, 4).all()
    audit = document["audit"]
    assert audit["requests"] + audit["warmup_requests"] == audit["locust"]["requests"]
    assert "count_differs" not in {caveat["code"] for caveat in document["caveats"]}
    # What Locust itself prints has each worker's last report in it, too.
    summary = (home.data / "logs" / "locust.log").read_text()
    assert re.search(rf"Aggregated +{audit['locust']['requests']} ", summary), summary


def test_a_worker_needs_a_place_and_a_secret(home: Home, truth_server: TruthServer, tmp_path: Path) -> None:
    done = home.adx_lab(*words(truth_server, tmp_path), "--master", "127.0.0.1:9")
    assert (done.code, len(done.error_lines)) == (2, 1)
    assert "needs the secret" in done.error_lines[0]
    for flag in ("--bind", "--master"):
        done = home.adx_lab(*words(truth_server, tmp_path), "--expect-workers", "1", flag, "nowhere")
        assert (done.code, len(done.error_lines)) == (2, 1)
        assert "is not HOST:PORT" in done.error_lines[0]
