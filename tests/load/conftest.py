"""Servers whose delays are known, for the tests of the load."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@dataclass(frozen=True)
class TruthServer:
    url: str
    folder: Path

    def log(self) -> list[tuple[str, float, float, float]]:
        """Kind, intended start, reception and answer of each request."""
        rows = [line.split() for line in (self.folder / "truth.txt").read_text().splitlines()]
        return [(kind, *map(float, times)) for kind, *times in rows]  # type: ignore[misc]


@pytest.fixture(scope="session")
def start_truth_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], TruthServer]]:
    running: list[subprocess.Popen[bytes]] = []

    def start() -> TruthServer:
        folder = tmp_path_factory.mktemp("truth")
        command = [sys.executable, str(HERE / "truth_server.py"), str(folder), str(os.getpid())]
        running.append(subprocess.Popen(command))
        deadline = time.monotonic() + 30
        while not (folder / "port").exists():
            assert time.monotonic() < deadline, "the truth server did not start"
            time.sleep(0.05)
        return TruthServer(f"http://127.0.0.1:{(folder / 'port').read_text()}", folder)

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def truth_server(start_truth_server: Callable[[], TruthServer]) -> TruthServer:
    return start_truth_server()
