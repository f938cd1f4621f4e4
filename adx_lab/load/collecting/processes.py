"""What each Locust process told of itself, on the master's clock, and how the load generator did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from adx_lab.analysis.run.capacity import knee_place
from adx_lab.deaths import Death
from adx_lab.load.recording.rows import read_facts

_POINTS_MAX = 500


@dataclass
class Process:
    """One Locust process: its facts, on the master's clock."""

    name: str
    facts: list[dict[str, Any]]
    offset_s: float

    def values(self, key: str, began: float = 0.0, ended: float = np.inf) -> list[Any]:
        """Return what was told under a key between two moments."""
        return [fact[key] for fact in self.facts if key in fact and began <= fact["t"] <= ended]


def read_processes(raw_dir: Path) -> list[Process]:
    """Return every process that recorded into a folder."""
    return [_read_process(path) for path in sorted(raw_dir.glob("*.jsonl"))]


def told(processes: list[Process], key: str) -> list[Any]:
    """Return what all processes told under a key."""
    return [value for process in processes for value in process.values(key)]


def _read_process(path: Path) -> Process:
    facts = read_facts(path)
    offset_s = next((fact["clock_offset_s"] for fact in facts if "clock_offset_s" in fact), 0.0)
    clocks = ("t", "began", "ended")
    shifted = [
        {key: value - offset_s if key in clocks else value for key, value in fact.items()} for fact in facts
    ]
    return Process(path.stem, shifted, offset_s)


def audit_processes(processes: list[Process], began: float) -> dict[str, Any]:
    """Return how the load generator itself did."""
    ends = [end for process in processes for end in process.values("ended")]
    ended = max(ends, default=np.inf)
    lags = [lag for process in processes for lag in process.values("loop_lag_ms", began, ended)]
    shares = [share for process in processes if (share := _cpu_share(process, began, ended)) is not None]
    connected = [min(found) for process in processes if (found := process.values("connected", began, ended))]
    return {
        "pending_max": max(max(process.values("pending", began), default=0) for process in processes),
        "blocked_s": max(max(process.values("blocked_s"), default=0.0) for process in processes),
        "loop_lag_p99_ms": float(np.percentile(lags, 99)) if lags else 0.0,
        "loop_lag_max_ms": max(lags, default=0.0),
        "cpu_share_max": max(shares, default=0.0),
        "cpu_shares": tuple(round(share, 3) for share in shares),
        "rss_max_mb": max(max(process.values("rss_mb", began), default=0.0) for process in processes),
        "processes": len(processes),
        "open_files_limit": min(
            (limit for process in processes for limit in process.values("open_files_limit")), default=0
        ),
        "clock_offset_max_ms": 1000 * max(abs(process.offset_s) for process in processes),
        "users_connected": sum(connected) if connected else None,
    }


def _cpu_share(process: Process, began: float, ended: float) -> float | None:
    beats = [fact for fact in process.facts if "cpu_s" in fact and began <= fact["t"] <= ended]
    if len(beats) < 2:
        return None
    first, last = beats[0], beats[-1]
    return float((last["cpu_s"] - first["cpu_s"]) / max(last["t"] - first["t"], 1e-9))


def tell_story(processes: list[Process]) -> dict[str, Any]:
    """Return what the load was, and how far a climbing one got: as far as its weakest worker."""
    plans = [schedule for process in processes for schedule in process.values("schedule")]
    by_step: dict[int, dict[str, Any]] = {}
    for process in processes:
        for fact in process.facts:
            if "step" in fact:
                known = by_step.setdefault(
                    fact["step"], {"rate_per_s": fact["rate_per_s"], "answered_per_s": 0.0, "broken": []}
                )
                known["answered_per_s"] += fact["answered_per_s"]
                known["broken"] += fact["broken"]
    steps = tuple(by_step[step] for step in sorted(by_step))
    place = knee_place([bool(step["broken"]) for step in steps])
    knee = None
    if place + 1 < len(steps):
        knee = {"rate_per_s": steps[place]["rate_per_s"] if place >= 0 else None, "broke": steps[place + 1]}
    return {"schedule": plans[-1] if plans else {}, "steps": steps, "knee": knee}


def users_over_time(processes: list[Process], began: float) -> tuple[tuple[float, int], ...]:
    """Return how many users there were, since the run began: each moment at which their number changed."""
    leader = [process for process in processes if process.name == "master"] or processes
    by_second: Counter[int] = Counter()
    for process in leader:
        for fact in process.facts:
            if "users" in fact and not fact.get("closed"):
                by_second[round(fact["t"] - began)] += fact["users"]
    points: list[tuple[float, int]] = []
    for second in sorted(by_second):
        if not points or points[-1][1] != by_second[second]:
            points.append((float(second), by_second[second]))
    return tuple(points[:_POINTS_MAX])


def deaths_of(processes: list[Process]) -> Iterator[dict[str, Any]]:
    """Yield a death for each process that sent requests and did not live to close its record."""
    for process in processes:
        if process.facts and not process.values("closed") and process.name != "master":
            last = datetime.fromtimestamp(max(process.values("t"), default=0.0), UTC)
            how = "did not live to close its record"
            yield asdict(Death("locust", last.isoformat(timespec="milliseconds"), how))
