"""CPU, memory, threads and open files of every process of the stack, and what the machine itself lost."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from adx_lab.processes import count_open_files


def sample_processes(roots: Mapping[str, Iterable[int]], t_s: float) -> list[dict[str, Any]]:
    """Return one row a live process.

    Parameters
    ----------
    roots
        The process ids of each role; their descendants count to the same role.
    t_s
        The moment, on the run's clock.
    """
    rows = []
    for role, pids in roots.items():
        for process in _with_descendants(pids):
            row = _read(process, role, t_s)
            if row is not None:
                rows.append(row)
    return rows


@dataclass(frozen=True, slots=True)
class MachineClock:
    """CPU seconds of the whole machine since it began: in use, and given to others by a hypervisor."""

    busy_s: float
    steal_s: float


def read_machine_clock() -> MachineClock:
    """Return what the machine's processors have done so far."""
    times = psutil.cpu_times()
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    steal_s = getattr(times, "steal", 0.0)
    # Guests are counted within user time already.
    whole_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return MachineClock(whole_s - idle_s - steal_s, steal_s)


def used_seconds(rows: list[dict[str, Any]]) -> float:
    """Return the CPU seconds that the sampled processes used between the first sample and the last.

    A process that came later is counted from its beginning.
    """
    if not rows:
        return 0.0
    first_s = rows[0]["t_s"]
    before = sum(row["cpu_s"] for row in rows if row["t_s"] == first_s)
    return float(sum({row["pid"]: row["cpu_s"] for row in rows}.values()) - before)


def describe_machine() -> dict[str, Any]:
    """Return what decides whether two runs can be compared."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)),
        "memory_mb": round(psutil.virtual_memory().total / 2**20),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _with_descendants(pids: Iterable[int]) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        try:
            found[pid] = psutil.Process(pid)
        except psutil.NoSuchProcess:  # it ended between two samples; what it did before is recorded
            continue
        waiting += _children(pid)
    return list(found.values())


def _children(pid: int) -> list[int]:
    # psutil looks through every process of the machine for each question; the kernel keeps the answer ready.
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that ended meanwhile
            children += [int(word) for word in task.read_text(encoding="ascii").split()]
    return children


def _read(process: psutil.Process, role: str, t_s: float) -> dict[str, Any] | None:
    try:
        with process.oneshot():
            cpu = process.cpu_times()
            return {
                "t_s": t_s,
                "process": role,
                "pid": process.pid,
                "cpu_s": cpu.user + cpu.system,
                "rss_mb": process.memory_info().rss / 2**20,
                "threads": process.num_threads(),
                "open_files": _open_files(process),
            }
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return None


def _open_files(process: psutil.Process) -> int:
    try:
        return count_open_files(process.pid)
    except psutil.AccessDenied:  # another account's process: its CPU and memory can be read all the same
        return -1


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123  # a kernel's file, not a path of ours
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        return platform.processor() or "unknown"
    return platform.processor() or "unknown"
