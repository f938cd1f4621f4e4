"""Counters, gauges and histograms in memory that the workers share, so that any of them can answer for all.

The main process maps one region for each worker before it forks them. A region holds the worker's pid, a
table of its series as text, and their values as doubles: recording is an addition in memory, reading copies
the regions. A worker that is started anew takes over the region of the dead one and goes on counting, so that
counters never fall. Everything is added up on the way out, but gauges of workers that are gone are left out.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import struct
from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

Labels = tuple[tuple[str, str], ...]

BOUNDS_MS = (
    0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 75.0,
    100.0, 150.0, 200.0, 300.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 30_000.0,
)  # fmt: skip
_HISTOGRAM_WIDTH = len(BOUNDS_MS) + 2  # one count a bucket, one beyond them, the sum
_HEAD = struct.Struct("<QQQ")  # pid, bytes of the table, values in use
_TABLE_BYTES = 256 * 1024
_VALUES_MAX = 16 * 1024
_REGION_BYTES = _HEAD.size + _TABLE_BYTES + _VALUES_MAX * 8


class Series(msgspec.Struct, frozen=True):
    """One series of one worker: where its values start, and how many there are."""

    kind: str
    name: str
    labels: Labels
    start: int
    width: int


class Memory:
    """The regions of all workers; made once, before the fork."""

    def __init__(self, workers: int) -> None:
        self.map = mmap.mmap(-1, _REGION_BYTES * workers)
        self.workers = workers
        self.lock = multiprocessing.get_context("fork").Lock()

    def claim(self) -> int:
        """Return the offset of a region that no living worker has, and make it this process's."""
        with self.lock:
            for offset in range(0, _REGION_BYTES * self.workers, _REGION_BYTES):
                pid, size, used = _HEAD.unpack_from(self.map, offset)
                if not _alive(pid):
                    _HEAD.pack_into(self.map, offset, os.getpid(), size, used)
                    return offset
        raise RuntimeError("more workers than regions")

    def read(self) -> Iterator[tuple[Series, bool, tuple[float, ...]]]:
        """Yield each series of each worker, whether that worker lives, and its values."""
        for offset in range(0, _REGION_BYTES * self.workers, _REGION_BYTES):
            pid, size, _ = _HEAD.unpack_from(self.map, offset)
            table = self.map[offset + _HEAD.size : offset + _HEAD.size + size]
            alive = _alive(pid)
            for line in table.splitlines():
                series = msgspec.json.decode(line, type=Series)
                at = offset + _HEAD.size + _TABLE_BYTES + series.start * 8
                yield series, alive, struct.unpack_from(f"<{series.width}d", self.map, at)


class Counter:
    """A number that only grows."""

    __slots__ = ("_at", "_values")

    def __init__(self, values: memoryview[float], at: int) -> None:
        self._values = values
        self._at = at

    def add(self, amount: float = 1.0) -> None:
        """Count."""
        self._values[self._at] += amount


class Gauge:
    """A number as it is now."""

    __slots__ = ("_at", "_values")

    def __init__(self, values: memoryview[float], at: int) -> None:
        self._values = values
        self._at = at

    def set(self, value: float) -> None:
        """Replace the number."""
        self._values[self._at] = value


class Histogram:
    """Durations in milliseconds, counted by bucket."""

    __slots__ = ("_at", "_sum_at", "_values")

    def __init__(self, values: memoryview[float], at: int) -> None:
        self._values = values
        self._at = at
        self._sum_at = at + _HISTOGRAM_WIDTH - 1

    def observe(self, ms: float) -> None:
        """Count one duration."""
        values = self._values
        values[self._at + bisect_left(BOUNDS_MS, ms)] += 1.0
        values[self._sum_at] += ms


class Metrics:
    """The series of this worker. Ask for one once and keep it: asking costs more than recording."""

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory or Memory(1)
        self._offset = self.memory.claim()
        self._lines: dict[tuple[str, str, Labels], int] = {}
        self._used = 0
        view = memoryview(self.memory.map)
        start = self._offset + _HEAD.size + _TABLE_BYTES
        self._values = view[start : start + _VALUES_MAX * 8].cast("d")
        self._take_over()

    def counter(self, name: str, **labels: str) -> Counter:
        """Return a counter."""
        return Counter(self._values, self._place("counter", name, labels, 1))

    def gauge(self, name: str, **labels: str) -> Gauge:
        """Return a gauge."""
        return Gauge(self._values, self._place("gauge", name, labels, 1))

    def histogram(self, name: str, **labels: str) -> Histogram:
        """Return a histogram of milliseconds."""
        return Histogram(self._values, self._place("histogram", name, labels, _HISTOGRAM_WIDTH))

    def _take_over(self) -> None:
        _, size, self._used = _HEAD.unpack_from(self.memory.map, self._offset)
        start = self._offset + _HEAD.size
        for line in self.memory.map[start : start + size].splitlines():
            series = msgspec.json.decode(line, type=Series)
            self._lines[(series.kind, series.name, series.labels)] = series.start
            if series.kind == "gauge":
                self._values[series.start] = 0.0

    def _place(self, kind: str, name: str, labels: dict[str, str], width: int) -> int:
        key = (kind, name, tuple(sorted(labels.items())))
        place = self._lines.get(key)
        if place is None:
            place = self._lines[key] = self._add(Series(kind, name, key[2], self._used, width))
        return place

    def _add(self, series: Series) -> int:
        line = msgspec.json.encode(series) + b"\n"
        pid, size, used = _HEAD.unpack_from(self.memory.map, self._offset)
        if size + len(line) > _TABLE_BYTES or used + series.width > _VALUES_MAX:
            raise RuntimeError(f"too many series: labels of {series.name} are not bounded")
        at = self._offset + _HEAD.size + size
        self.memory.map[at : at + len(line)] = line
        self._used = used + series.width
        _HEAD.pack_into(self.memory.map, self._offset, pid, size + len(line), self._used)
        return series.start


def totals(memory: Memory) -> dict[tuple[str, str, Labels], list[float]]:
    """Return each series added up over the workers, by kind, name and labels."""
    sums: dict[tuple[str, str, Labels], list[float]] = {}
    for series, alive, values in memory.read():
        if series.kind == "gauge" and not alive:
            continue
        key = (series.kind, series.name, series.labels)
        known = sums.get(key)
        sums[key] = list(values) if known is None else [a + b for a, b in zip(known, values, strict=True)]
    return sums


def render(memory: Memory) -> str:
    """Return everything in Prometheus's text format."""
    by_name: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (kind, name, labels), values in sorted(totals(memory).items()):
        lines = by_name[(name, kind)]
        if kind == "histogram":
            lines += _histogram_lines(name, labels, values)
        else:
            lines.append(f"{name}{_labels(labels)} {_number(values[0])}")
    text = (f"# TYPE {name} {kind}\n" + "\n".join(lines) for (name, kind), lines in by_name.items())
    return "\n".join(text) + "\n"


def _histogram_lines(name: str, labels: Labels, values: list[float]) -> Iterator[str]:
    running = 0.0
    # The labels are put into words once for all buckets: the page is made in between requests.
    begin = f"{name}_bucket" + (_labels(labels)[:-1] + "," if labels else "{")
    for bound, count in zip(_BOUNDS, values[:-1], strict=True):
        running += count
        yield f'{begin}le="{bound}"}} {_number(running)}'
    yield f"{name}_sum{_labels(labels)} {_number(values[-1])}"
    yield f"{name}_count{_labels(labels)} {_number(running)}"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 6))


_BOUNDS = (*map(_number, BOUNDS_MS), "+Inf")


def _alive(pid: int) -> bool:
    if pid == 0:
        return False
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True
