"""Nights in a row, each with a random process of it killed at a random moment: ``python -m tests.soak``.

After each one nothing may be left running, no stored run may be gone, and whatever was said is one line. At
the end a night that nobody disturbs must come to its verdict.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from tests.conftest import Home, make_home

NIGHT = ("nightly", "--duration", "4", "--rate", "60", "--blocks", "0")
_LONGEST_S = 40.0
_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV)
_PATIENCE_S = 400.0


@dataclass(frozen=True)
class Night:
    """What became of one night."""

    number: int
    after_s: float
    victim: str
    how: str
    code: int
    faults: tuple[str, ...]

    def __str__(self) -> str:
        said = "; ".join(self.faults) or "ok"
        killed = f"{self.victim:<28}  {self.how:<8}"
        return f"{self.number:>4}  {self.after_s:5.1f} s  {killed}  {self.code:>4}  {said}"


def soak(home: Home, nights: int, *, seed: int) -> Iterator[Night]:
    """Yield night after night; the last one is left alone."""
    draw = random.Random(seed)
    for number in range(1, nights + 1):
        yield _disturbed(home, number, draw.uniform(0.5, _LONGEST_S), draw)
    began = time.monotonic()
    done = home.adx_lab(*NIGHT, "--json", timeout_s=_PATIENCE_S)
    faults = [*_faults(home, done.err, set(), [])]
    if not done.out.startswith("{") or done.json()["status"] not in {
        "pass",
        "regressed",
        "undecided",
        "invalid",
    }:
        faults.append("no verdict")
    yield Night(nights + 1, time.monotonic() - began, "nobody", "-", done.code, tuple(faults))


def _disturbed(home: Home, number: int, after_s: float, draw: random.Random) -> Night:
    before = _runs(home)
    with tempfile.TemporaryFile("w+") as output:
        night = subprocess.Popen(
            home.command(*NIGHT), env=home.environ(), stdout=output, stderr=output, start_new_session=True
        )
        try:
            night.wait(after_s)
        except subprocess.TimeoutExpired:
            pass
        else:
            after_s = 0.0
        family = _family(night.pid)
        victim = draw.choice(family) if family else None
        how = draw.choice(_SIGNALS)
        name = "nobody: it had ended"
        if victim is not None:
            name = _name(victim)
            try:
                victim.send_signal(how)
            except psutil.NoSuchProcess:
                name = f"nobody: {name} had ended"
        try:
            code = night.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            night.kill()
            code = 999
        output.seek(0)
        faults = _faults(home, output.read(), before, family)
    if code == 999:
        faults.append("it never ended")
    return Night(number, after_s, name, how.name, code, tuple(faults))


def _faults(home: Home, said: str, before: set[str], family: list[psutil.Process]) -> list[str]:
    _, alive = psutil.wait_procs(family, timeout=30)
    faults = [f"orphan: {_name(process)}" for process in alive]
    faults += [f"lost: {run_id}" for run_id in before - _runs(home)]
    listed = home.adx_lab("runs", "list", "--json")
    if listed.code != 0 or not before <= {row["run_id"] for row in listed.json()}:
        faults.append("runs list does not know them all")
    for word in ("Traceback", "a fault of ADX Lab itself"):
        if word in said:
            line = next(line for line in said.splitlines() if word in line)
            faults.append(line[:200])
    return faults


def _runs(home: Home) -> set[str]:
    folder = home.data / "runs"
    return {path.parent.name for path in folder.glob("[!.]*/run.json")}


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _name(process: psutil.Process) -> str:
    try:
        words = process.cmdline()
        modules = [after for word, after in pairwise(words) if word == "-m"]
        return (modules[0] if modules else Path(words[0].split()[0]).name)[:28]
    except (psutil.Error, IndexError):
        return "gone"


def main() -> int:
    """Soak, and print a row a night."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--nights", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="adx-soak-") as folder:
        Path(folder).chmod(0o755)
        home = make_home(Path(folder) / "home")
        print(f"{'':>4}  {'after':>7}  {'killed':<28}  {'by':<8}  exit  found")
        for night in soak(home, asked.nights, seed=asked.seed):
            bad += bool(night.faults)
            print(night, flush=True)
        home.adx_lab("down", "--purge")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
