"""Follow a Locust to its end: how far its load is, and that it ends, whatever the users do.

A user that never hands over (a loop, a call into C that sleeps) stops all of Locust, its timers and the
signal that it would end by: only the process that started it can end it then.
"""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from adx_lab import clock
from adx_lab.errors import MeasurementError, UsageError
from adx_lab.load.order import LoadOrder
from adx_lab.load.places import STAND_SIGNAL, is_theirs, place
from adx_lab.load.recording.rows import all_facts, latest_facts
from adx_lab.load.schedules.schedule import Schedule
from adx_lab.processes import Child, send_signal_to_all
from adx_lab.progress import Progress

SETUP_S = 90.0
_STOP_S = 75.0
"""Between a load's end and Locust's: answers are waited for, users stopped, rows handed on."""

_WORKERS_STOP_S = 60.0
"""A master gives its workers so much longer."""

_QUIET_S = 30.0
"""A Locust that should have ended and tells nothing for so long never will; it beats each second."""

_LEAVE_S = 60.0
"""Between a whole record and the end: listeners of ``quitting`` send reports and the like."""

_USERS_A_SECOND = 100
_LOOK_EVERY_S = 0.25
_SAY_S = 0.5
_STACK = "(most recent call first):"
_FRAME = re.compile(r'^\s+File "(?P<file>.+)", line (?P<line>\d+) in ')


@dataclass(frozen=True, slots=True)
class Overdue:
    """A Locust that did not end by itself.

    Attributes
    ----------
    words
        For how long it was waited, and where in somebody's files it stood.
    began
        Whether its load had begun.
    """

    words: str
    began: bool


@dataclass
class _Watch:
    """What is known of a load while it runs."""

    raw_dir: Path
    setup_s: float
    stop_s: float
    started: float
    began: float | None = None
    schedule: Schedule | None = None
    ended: float | None = None
    whole_since: float | None = None
    told_bytes: int = 0
    told_at: float = 0.0

    def look(self) -> None:
        """Look at what was told since. Moments are this process's own: a worker's clock may differ."""
        told_bytes = sum(path.stat().st_size for path in self.raw_dir.glob("*.jsonl"))
        if told_bytes == self.told_bytes:
            return
        self.told_bytes, self.told_at = told_bytes, clock.now()
        latest = list(latest_facts(self.raw_dir))
        if self.ended is None and any("ended" in fact for each in latest for fact in each):
            self.ended = clock.now()
        whole = all(each and each[-1].get("closed") for each in latest)
        self.whole_since = (self.whole_since or clock.now()) if whole else None

    def overdue(self) -> str | None:
        """Return for how long it was waited, where that is too long."""
        now = clock.now()
        if self.whole_since is not None:
            late = now - self.whole_since > _LEAVE_S
            return f"had not ended {_LEAVE_S:g} s after its record was whole" if late else None
        if self.schedule is None and self.ended is None:
            limit_s = self.setup_s + _spawning_s(self.raw_dir)
            return f"had not begun after {limit_s:g} s" if now - self.started > limit_s else None
        late_s = now - min(self.ended or math.inf, self.planned_end())
        if late_s > self.stop_s or min(late_s, now - self.told_at) > _QUIET_S:
            return f"had not ended {late_s:.0f} s after the end of its load"
        return None

    def planned_end(self) -> float:
        """Return when the load is to end."""
        return math.inf if self.schedule is None else (self.began or 0.0) + self.schedule.duration_s


async def follow(
    child: Child, order: LoadOrder, progress: Progress, *, more_setup_s: float = 0.0, alone: bool = True
) -> Overdue | None:
    """Return when Locust has ended, or can't be waited for any longer.

    Parameters
    ----------
    child, order
        Locust, and what it was told.
    progress
        Told how far the load is.
    more_setup_s
        How much longer than usual its start may take.
    alone
        Whether it has no workers.

    Raises
    ------
    UsageError, MeasurementError
        It said why there will be no load.
    """
    raw_dir = Path(order.raw_dir)
    stop_s = _STOP_S if alone else _STOP_S + _WORKERS_STOP_S
    setup_s = SETUP_S + (order.users or 0) / _USERS_A_SECOND + more_setup_s
    watch = _Watch(raw_dir, setup_s, stop_s, clock.now())
    while child.alive:
        if watch.schedule is None:
            refuse_told(raw_dir)  # a Locust that is told to quit while it starts may not hear of it
            _begin(watch, order, progress)
        elif watch.began is not None and (done := clock.now() - watch.began) > 0:
            progress.advance("load", min(done, watch.schedule.duration_s), watch.schedule.duration_s, "s")
        watch.look()
        if words := watch.overdue():
            where = await _standing(child)
            return Overdue(f"{words}{where}", watch.schedule is not None or watch.ended is not None)
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(child.process.wait, _LOOK_EVERY_S)
    return None


def refuse_told(raw_dir: Path) -> None:
    """Raise what a Locust has told that there will be no load for."""
    failed = next((fact for fact in all_facts(raw_dir) if "failed" in fact), None)
    if failed is not None:
        kind = UsageError if failed["exit_code"] == UsageError.exit_code else MeasurementError
        raise kind(failed["failed"])


def _begin(watch: _Watch, order: LoadOrder, progress: Progress) -> None:
    for fact in all_facts(watch.raw_dir):
        if "began" in fact:
            watch.began = float(fact["began"])
            watch.schedule = msgspec.convert(fact["schedule"], Schedule)
    if watch.schedule is not None:
        progress.step(f"load {order.scenario}: {watch.schedule.describe()}")


def _spawning_s(raw_dir: Path) -> float:
    return max((fact["spawning_s"] for fact in all_facts(raw_dir) if "spawning_s" in fact), default=0.0)


async def _standing(child: Child) -> str:
    """Return where in somebody's own files Locust stands, where it is in one of them and stays there."""
    before = child.log.stat().st_size
    send_signal_to_all(child, STAND_SIGNAL)
    await asyncio.sleep(_SAY_S)
    with child.log.open(encoding="utf-8", errors="replace") as log:
        log.seek(before)
        return next((f": it stood in {found}" for found in _stacks(log)), "")


def _stacks(lines: Iterator[str]) -> Iterator[str]:
    """Yield the innermost line of somebody's own files of each stack."""
    outside = False
    for line in lines:
        if _STACK in line:
            outside = True
        elif outside and (frame := _FRAME.match(line)) and is_theirs(frame["file"]):
            outside = False
            yield place(frame["file"], frame["line"])
