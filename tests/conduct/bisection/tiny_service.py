"""A service that answers GET / after some work, with a history of its own in a git repository."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from adx_lab.analysis.bisection.contrast import Key
from adx_lab.analysis.finding import Finding
from adx_lab.errors import StackError

SERVICE = '''\
"""A tiny service."""

from http.server import BaseHTTPRequestHandler, HTTPServer


def work():
    """Compute something."""
    return sum(range({work}))


def unrelated():
    """Do nothing of use."""
    return {unrelated}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        work()
        body = b"{version}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


{broken}server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
'''


@dataclass
class Repository:
    """A git repository of the service; `write` commits a version and returns its name."""

    path: Path
    versions: int = 0
    state: dict[str, object] = field(default_factory=lambda: {"work": 20_000, "unrelated": 0, "broken": ""})

    def __post_init__(self) -> None:
        self.path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "somebody")
        self.git("config", "user.email", "somebody@example.org")

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self.path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def write(self, message: str, **changes: object) -> str:
        self.versions += 1
        self.state |= changes
        (self.path / "service.py").write_text(SERVICE.format(version=self.versions, **self.state))
        return self.commit(message)

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")


@dataclass
class TinyOpponent:
    """Asks both commits in turn, for real."""

    repository: Repository
    good: str
    scratch: Path
    pairs: int = 40
    asked: list[str] = field(default_factory=list)

    async def blocks(self, sha: str) -> AsyncIterator[Mapping[Key, float]]:
        self.asked.append(sha)
        while True:
            started = []
            try:
                for ref in (self.good, sha):
                    started.append(self._start(ref))
                    started[-1].url  # noqa: B018  # waits until it answers
                yield {("GET /", "pair_ms"): self._ratio(*(one.url for one in started))}
            finally:
                for one in started:
                    one.process.kill()
                    one.process.communicate()

    async def findings(self) -> tuple[Finding, ...]:
        return ()

    def _start(self, ref: str) -> Running:
        path = self.scratch / f"{ref[:12]}.py"
        path.write_text(self.repository.git("show", f"{ref}:service.py"))
        command = [sys.executable, str(path)]
        return Running(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True), ref
        )

    def _ratio(self, good: str, other: str) -> float:
        ratios = []
        for i in range(self.pairs):
            took = {}
            for url in (good, other) if i % 2 else (other, good):
                began = time.perf_counter()
                urllib.request.urlopen(url, timeout=10).read()
                took[url] = time.perf_counter() - began
            ratios.append(float(np.log(took[other] / took[good])))
        return median(ratios)


@dataclass
class Running:
    process: subprocess.Popen[str]
    ref: str
    port: int | None = None

    @property
    def url(self) -> str:
        if self.port is None:
            assert self.process.stdout is not None
            line = self.process.stdout.readline()
            if not line:
                raise StackError(f"{self.ref[:10]} does not start")
            self.port = int(line)
        return f"http://127.0.0.1:{self.port}/"
