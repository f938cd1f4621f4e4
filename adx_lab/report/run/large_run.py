"""A run of millions of requests: read in pieces, and only what its figures need is kept of it.

Six bytes a request, where a report's data frames and what is made of them take 350. Times are kept in single
precision: a figure may differ in its seventh digit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adx_lab.analysis.run.latency import (
    SLICES,
    WITHIN_RUN,
    Batches,
    LatencySummary,
    batches_of,
    failed,
    split_by,
    summarise_part,
    unanswered,
)
from adx_lab.analysis.run.measured import measure_queries, measure_whole
from adx_lab.analysis.stats.quantiles import Estimate, in_batches
from adx_lab.records.run import Caveat
from adx_lab.store.folders import StoredRun

LARGE = 2_500_000
"""Requests above which a run is read in pieces: the load of an hour at a thousand a second is."""

DRAWN = 1_000_000
"""Of a large run so many requests are drawn and explained; its figures are of all of them."""

_COLUMNS = ["t_intended_s", "latency_ms", "endpoint", "group", "error", "kind"]
_LOST, _WAITING = 1, 2
_Kind = TypeVar("_Kind", bound=np.generic)


@dataclass
class _Part:
    """The requests of one endpoint, or the executions of one query."""

    times: list[NDArray[np.float32]] = field(default_factory=list)
    batch: list[NDArray[np.int8]] = field(default_factory=list)
    fate: list[NDArray[np.int8]] = field(default_factory=list)

    def join(self) -> None:
        """Make one array of each, in place: two copies of the largest would be too many."""
        self.times[:] = [_joined(self.times)]
        self.batch[:] = [_joined(self.batch)]
        self.fate[:] = [_joined(self.fate)] if self.fate else []


class LargeRun:
    """A stored load, read in pieces."""

    def __init__(self, run: StoredRun) -> None:
        self._lasted_s = run.record.duration_s
        seconds = np.full(SLICES, self._lasted_s / SLICES)
        self._batches = Batches(np.zeros(0, dtype=np.int16), seconds, WITHIN_RUN)
        self._parts: dict[tuple[str, str], _Part] = defaultdict(_Part)
        self._queries: dict[str, _Part] = defaultdict(_Part)
        self._sent, self._failed = np.zeros(SLICES), np.zeros(SLICES)
        batch_of_row = [self._add(piece) for piece in run.pieces("samples", _COLUMNS)]
        self._add_queries(run.pieces("queries", ["sample", "query", "ms"]), np.concatenate(batch_of_row))

    def summaries(self, by: str) -> tuple[LatencySummary, ...]:
        """Return what `adx_lab.analysis.run.latency.summarise` does, by ``endpoint`` or ``group``."""
        place = ("endpoint", "group").index(by)
        subjects = sorted({key[place] for key in self._parts})
        return tuple(
            self._summary(subject, by, [part for key, part in self._parts.items() if key[place] == subject])
            for subject in subjects
        )

    def measured(self) -> dict[str, Estimate]:
        """Return what `adx_lab.analysis.run.latency.measure` does."""
        rows = (*self.summaries("group"), *self.summaries("endpoint"))
        queries = (
            (name, _joined(part.times), _joined(part.batch)) for name, part in sorted(self._queries.items())
        )
        found = measure_whole(self._batches, self._sent, self._failed, rows, groups=dict(self._parts.keys()))
        return found | measure_queries(queries, self._batches)

    def _add(self, piece: pd.DataFrame) -> NDArray[np.int8]:
        batch = batches_of(piece, lasted_s=self._lasted_s).index.astype(np.int8)
        times = piece["latency_ms"].to_numpy(dtype=np.float32)
        lost, waiting = failed(piece), unanswered(piece)
        fate = (lost * _LOST + waiting * _WAITING).astype(np.int8)
        self._sent += in_batches(batch, size=SLICES)
        self._failed += in_batches(batch[lost], size=SLICES)
        for endpoint, rows in split_by(piece, "endpoint"):
            for group, own in split_by(piece.iloc[rows], "group"):
                part, chosen = self._parts[endpoint, group], np.arange(len(piece))[rows][own]
                part.times.append(times[chosen])
                part.batch.append(batch[chosen])
                part.fate.append(fate[chosen])
        return batch

    def _add_queries(self, pieces: Iterable[pd.DataFrame], batch: NDArray[np.int8]) -> None:
        for piece in pieces:
            times = piece["ms"].to_numpy(dtype=np.float32)
            index = batch[piece["sample"].to_numpy()]
            for name, rows in split_by(piece, "query"):
                self._queries[name].times.append(times[rows])
                self._queries[name].batch.append(index[rows])

    def _summary(self, subject: str, by: str, parts: list[_Part]) -> LatencySummary:
        for part in parts:
            part.join()
        times = _joined([part.times[0] for part in parts])
        batch = _joined([part.batch[0] for part in parts])
        fate = _joined([part.fate[0] for part in parts])
        lost, waiting = (fate & _LOST).astype(bool), (fate & _WAITING).astype(bool)
        usable = (~lost | waiting) & np.isfinite(times)
        return summarise_part(
            *(subject, by, self._batches),
            times=times[usable],
            batch=batch[usable],
            waiting=waiting[usable],
            lost=lost,
        )


def drawn_note(one_in: int) -> Caveat:
    """Return what a picture of a large run does not show."""
    text = f"pictures, tails and the time line show one request in {one_in}; the figures are of all of them"
    return Caveat("thinned", text)


def _joined(arrays: list[NDArray[_Kind]]) -> NDArray[_Kind]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
