"""A master and a worker on hosts of their own: network namespaces, joined by a pair of virtual cables."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Home

AHEAD_S = 2.0
THEIRS = """
import os, time
from adx_lab import clock
from locust import HttpUser, constant, events, task

@events.init.add_listener
def set_the_clock(environment, **_):
    ahead_s = float(os.environ.get("AHEAD_S", "0"))
    now, lasting = time.time, clock.now
    time.time, clock.now = lambda: now() + ahead_s, lambda: lasting() + ahead_s

class Theirs(HttpUser):
    wait_time = constant(0.05)

    @task
    def ask(self):
        self.client.get("/ok", name="ok")
"""

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and ip"),
]


@dataclass(frozen=True)
class Cable:
    """Two ends of a cable, the further one in a network namespace of its own."""

    namespace: str
    near: str
    far: str


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_HEAD = do_GET  # noqa: N815  # the base class calls it so

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def cable() -> Iterator[Cable]:
    name = f"adx{os.getpid() % 100_000}"
    made = Cable(name, "198.18.77.1", "198.18.77.2")
    ip("netns", "add", name)
    try:
        ip("link", "add", f"{name}n", "type", "veth", "peer", "name", f"{name}f", "netns", name)
        ip("addr", "add", f"{made.near}/30", "dev", f"{name}n")
        ip("link", "set", f"{name}n", "up")
        for words in (
            ("addr", "add", f"{made.far}/30", "dev", f"{name}f"),
            ("link", "set", f"{name}f", "up"),
        ):
            ip("netns", "exec", name, "ip", *words)
        ip("netns", "exec", name, "ip", "link", "set", "lo", "up")
        yield made
    finally:
        ip("netns", "delete", name)  # the cable goes with it


@pytest.fixture
def url(cable: Cable) -> Iterator[str]:
    with ThreadingHTTPServer((cable.near, 0), Answers) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{cable.near}:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_worker_on_another_host_whose_clock_is_off(
    home: Home, cable: Cable, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "theirs.py"
    file.write_text(THEIRS)
    words = ("load", "--locustfile", str(file), "--url", url, "--users", "4", "--warmup", "0.5")
    lead = ("--duration", "4", "--expect-workers", "1", "--bind", f"{cable.near}:0", "--json")
    with subprocess.Popen(
        home.command(*words, *lead),
        env=home.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as master:
        assert master.stderr is not None
        told = next(line for line in master.stderr if "workers join with" in line)
        found = re.search(r"ADX_LOAD_SECRET=(\S+) .*--master (\S+)", told)
        assert found is not None
        joined = subprocess.run(
            ["ip", "netns", "exec", cable.namespace, *home.command(*words, "--master", found[2])],
            env=home.environ() | {"ADX_LOAD_SECRET": found[1], "AHEAD_S": str(AHEAD_S)},
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        out, err = master.communicate(timeout=60)
    assert joined.returncode == 0, joined.stderr
    document = json.loads(out)
    audit = document["audit"]
    samples = pd.read_parquet(Path(document["folder"]) / "samples.parquet")
    assert audit["clock_offset_max_ms"] == pytest.approx(1_000 * AHEAD_S, abs=200)
    assert samples["t_sent_s"].between(-0.5, 4.5).all()
    assert audit["requests"] + audit["warmup_requests"] == audit["locust"]["requests"], err
    assert audit["requests"] > 100
