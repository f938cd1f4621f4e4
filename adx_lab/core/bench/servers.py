"""The servers that are compared: the core as it is and without its caches, and its peers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from adx_lab.core.errors import CoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_START_S = 30.0
CORE = (sys.executable, "-m", "adx_lab.core", "serve")


class Announced(msgspec.Struct):
    """What a server says when it listens: where, and whose CPU is its own."""

    url: str
    worker_pids: list[int]


def read_announced(path: Path) -> Announced:
    """Return what a server that is up has announced."""
    return msgspec.json.decode(path.read_bytes(), type=Announced)


@contextmanager
def running(command: Sequence[str], settings: dict[str, str]) -> Iterator[Announced]:
    """Start a server with settings of the core's, and stop it.

    Raises
    ------
    CoreError
        It does not start.
    """
    with tempfile.TemporaryDirectory(prefix="adx-core-bench-") as folder:
        announced, log = Path(folder) / "announced.json", Path(folder) / "log"
        own = {"PORT": "0", "ANNOUNCE": str(announced), "FILES_URL": folder, "DIE_WITH_PARENT": "1"}
        environ = os.environ | {f"ADX_CORE_{name}": value for name, value in (own | settings).items()}
        with log.open("wb") as stream:
            process = subprocess.Popen(command, env=environ, stderr=stream, stdout=stream)
        try:
            yield _wait(process, announced, log)
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait(process: subprocess.Popen[bytes], announced: Path, log: Path) -> Announced:
    deadline = time.monotonic() + _START_S
    while not announced.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise CoreError(f"a server does not start: {log.read_text(encoding='utf-8')[-1_000:].strip()}")
        time.sleep(0.05)
    return read_announced(announced)
