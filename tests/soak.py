"""Nights in a row, each disturbed at a random moment: ``python -m tests.soak``.

A random process of it gets a random signal, or the disk is full for all of them. After each one nothing may
be left running, no stored run may be gone or changed, the next night must work, and whatever was said is one
line. A night that nobody disturbs must come to the same verdict before the others and after them.
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
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import psutil

from tests.conftest import Home, make_home

NIGHT = ("nightly", "--duration", "4", "--rate", "60", "--blocks", "0")
_LONGEST_S = 40.0
_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV)
_FULL_DISKS = 0.2
"""The share of nights whose disk is full: no file of theirs may grow, which looks the same to a writer."""

_PARTS = ("postgres", "valkey", "adx_lab.core", "locust", "ipykernel", "adx_lab.report.notebooks.process")
"""Half of the signals go to these: of thirty processes most are the server's own."""
_PATIENCE_S = 400.0


Runs = dict[str, dict[str, int]]


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
        killed = f"{self.victim:<28}  {self.how:<9}"
        return f"{self.number:>4}  {self.after_s:5.1f} s  {killed}  {self.code:>4}  {said}"


def soak(home: Home, nights: int, *, seed: int) -> Iterator[Night]:
    """Yield night after night; the first and the last one are left alone."""
    draw = random.Random(seed)
    first, status = _left_alone(home, 0)
    yield first
    for number in range(1, nights + 1):
        yield _disturbed(home, number, draw.uniform(0.5, _LONGEST_S), draw)
    last, again = _left_alone(home, nights + 1)
    if again != status:
        last = replace(last, faults=(*last.faults, f"{again} now, and {status} before"))
    yield last


def _left_alone(home: Home, number: int) -> tuple[Night, str]:
    """Return a night that nobody disturbs, and its verdict as far as it is not the machine's."""
    began, before = time.monotonic(), _runs(home)
    done = home.adx_lab(*NIGHT, "--json", timeout_s=_PATIENCE_S)
    faults = [*_faults(home, done.err, before, [])]
    verdict = done.json() if done.out.startswith("{") else {}
    broken = sorted(one["name"] for one in verdict.get("budgets", ()) if one["status"] == "fail")
    wrong = {check["check"] for check in verdict.get("validity", ()) if not check["ok"]} - _MACHINES
    if not verdict:
        faults.append("no verdict")
    night = Night(number, time.monotonic() - began, "nobody", "-", done.code, tuple(faults))
    return night, f"{len(verdict.get('budgets', ()))} budgets, broken {broken}, invalid for {sorted(wrong)}"


_MACHINES = frozenset({"foreign_cpu_share", "steal_share", "schedule_lag_p99_ms", "loop_lag_p99_ms"})
"""Checks that say something of whoever else uses the machine."""


def _disturbed(home: Home, number: int, after_s: float, draw: random.Random) -> Night:
    before = _runs(home)
    # A pipe, and no file: a full disk must not keep the night from saying so.
    night = subprocess.Popen(
        home.command(*NIGHT),
        env=home.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    ended = False
    try:
        said, _ = night.communicate(timeout=after_s)
        ended = True
    except subprocess.TimeoutExpired:
        pass
    family = _family(night.pid)
    name, how = _disturb(family, draw)
    try:
        if not ended:
            said, _ = night.communicate(timeout=_PATIENCE_S)
        faults = _faults(home, said, before, family)
    except subprocess.TimeoutExpired:
        night.kill()
        faults = ["it never ended"]
    return Night(number, after_s, name, how, night.wait(), tuple(faults))


def _disturb(family: list[psutil.Process], draw: random.Random) -> tuple[str, str]:
    """Do something to a night; return to whom, and what."""
    if not family:
        return "nobody: it had ended", "-"
    if draw.random() < _FULL_DISKS:
        for process in family:
            with suppress(psutil.Error):
                process.rlimit(psutil.RLIMIT_FSIZE, (0, psutil.RLIM_INFINITY))
        return "all of them", "full disk"
    parts = [process for process in family if _name(process).startswith(_PARTS)]
    victim = draw.choice(parts if parts and draw.random() < 0.5 else family)
    name, how = _name(victim), draw.choice(_SIGNALS)
    try:
        victim.send_signal(how)
    except psutil.NoSuchProcess:
        return f"nobody: {name} had ended", how.name
    return name, how.name


def _faults(home: Home, said: str, before: Runs, family: list[psutil.Process]) -> list[str]:
    _, alive = psutil.wait_procs(family, timeout=30)
    faults = [f"orphan: {_name(process)}" for process in alive]
    now = _runs(home)
    faults += [f"lost or changed: {run_id}" for run_id in before if now.get(run_id) != before[run_id]]
    faults += [f"left: {path.name}" for path in home.data.glob("runs/.*.partial") if not family]
    listed = home.adx_lab("runs", "list", "--json")
    if listed.code != 0 or not before.keys() <= {row["run_id"] for row in listed.json()}:
        faults.append("runs list does not know them all")
    for word in ("Traceback", "a fault of ADX Lab itself"):
        if word in said:
            line = next(line for line in said.splitlines() if word in line)
            faults.append(line[:200])
    return faults


def _runs(home: Home) -> Runs:
    """Return the size of each file of each stored run."""
    folders = [path.parent for path in (home.data / "runs").glob("[!.]*/run.json")]
    return {folder.name: {path.name: path.stat().st_size for path in folder.iterdir()} for folder in folders}


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
    parser.add_argument("--nights", type=int, default=50, help="how many are disturbed")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="adx-soak-") as folder:
        Path(folder).chmod(0o755)
        home = make_home(Path(folder) / "home")
        print(f"{'':>4}  {'after':>7}  {'disturbed':<28}  {'by':<9}  exit  found")
        for night in soak(home, asked.nights, seed=asked.seed):
            bad += bool(night.faults)
            print(night, flush=True)
        home.adx_lab("down", "--purge")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
