"""The tables of requests while they are written: those that are measured, and those beside them."""

from __future__ import annotations

import math
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from adx_lab.load.recording.rows import EXCEPTION, REQUEST, STREAM_END, UNANSWERED
from adx_lab.load.recording.server_timing import NOTHING, TRACE, ServerSplit, parse
from adx_lab.records.columns import QUERY_COLUMNS, SAMPLE_COLUMNS
from adx_lab.records.endpoint_names import without_values
from adx_lab.records.run import Caveat

WARM_UP, AFTER, CUT_OFF = "warm_up", "after_the_end", "cut_off"
"""Kinds of requests beside the measured ones, besides those of `adx_lab.load.recording.rows`. Locust stops a
user that waits, but it may wake and send one more request before it hears of that: such a one is cut off."""

_ROWS_AT_ONCE = 100_000
_UNCOUNTED = frozenset({EXCEPTION, CUT_OFF, STREAM_END})
_STREAMS_MAX = 100_000
_LAG_KEPT = 1_000_000
_REASONS_MAX = 10_000
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
_OTHER = "(other reasons)"


@dataclass
class Tables:
    """The run's tables of requests while they are written.

    Attributes
    ----------
    run_dir
        Where they are written.
    began, ended
        Of the measured part, on the master's clock.
    joined
        Whether endpoints that differ in the values of their query are one: a duet's are.
    """

    run_dir: Path
    began: float
    ended: float = math.inf
    traces: Mapping[str, ServerSplit] = field(default_factory=dict)
    joined: bool = False
    requests: int = 0
    unanswered: int = 0
    last_s: float = 0.0
    answered: int = 0
    """Requests in any part of the load: what Locust counts too."""
    beside: Counter[str] = field(default_factory=Counter)
    """Requests outside of the measured part, by kind."""
    odd_times: int = 0
    """Times that were no numbers (NaN, infinity)."""
    beside_failures: Counter[tuple[str, str, int, str]] = field(default_factory=Counter)
    """Those of them that failed, by kind, endpoint, status and reason."""
    failures: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """Measured requests that failed, by endpoint, status and reason."""
    exceptions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """What tasks raised, by place and words."""
    streams: dict[str, deque[float]] = field(default_factory=dict)
    """How long it took from the send to the end of a streamed answer, by endpoint."""
    endpoints: Counter[str] = field(default_factory=Counter)
    request_types: Counter[str] = field(default_factory=Counter)
    workers: Counter[int] = field(default_factory=Counter)
    _lags: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._samples = pq.ParquetWriter(self.run_dir / "samples.parquet", _SAMPLES)
        self._beside = pq.ParquetWriter(self.run_dir / "beside.parquet", _SAMPLES)
        self._queries = pq.ParquetWriter(self.run_dir / "queries.parquet", _QUERIES)

    def append(self, batch: pa.RecordBatch, worker: int, offset_s: float) -> None:
        """Append one process's rows to the tables that they belong to."""
        zero = self.began + offset_s
        batch = self._finite(_join(batch) if self.joined else batch)
        intended = batch["t_intended"].to_numpy() - zero
        kinds = batch["kind"].to_numpy(zero_copy_only=False)
        asked = (kinds == REQUEST) | (kinds == UNANSWERED)
        # The second of a pair is due when the first has answered, and a pair is measured whole.
        alone = batch["pair"].fill_null(-1).to_numpy() < 0
        early, late = intended < 0, alone & (intended > self.ended - self.began)
        # What was sent before and not answered by the end was open during all of it.
        measured = asked & ~late & (~early | (kinds == UNANSWERED))
        named = np.where(
            asked & early,
            WARM_UP,
            np.where(asked & late, np.where(kinds == UNANSWERED, CUT_OFF, AFTER), kinds),
        )
        self.answered += int((~np.isin(kinds, (EXCEPTION, UNANSWERED, STREAM_END))).sum())
        self._append_measured(batch.filter(pa.array(measured)), worker, zero)
        self._append_beside(batch.filter(pa.array(~measured)), named[~measured], worker, zero)

    def close(self) -> None:
        """End the files."""
        self._samples.close()
        self._beside.close()
        self._queries.close()

    def lag(self) -> dict[str, Any]:
        """Return how late requests left."""
        late = np.concatenate(self._lags)
        thinned = late[:: max(1, late.size // _LAG_KEPT)]
        return {
            "schedule_lag_p99_ms": float(np.percentile(thinned, 99)),
            "schedule_lag_max_ms": float(late.max()),
        }

    def _finite(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return requests whose times are numbers: one that is none must not become a percentile."""
        nothing = pa.scalar(None, pa.float64())
        columns = (("t_intended", False, batch["t_sent"]), ("service_ms", True, nothing))
        for name, absent, otherwise in columns:
            finite = pc.fill_null(pc.is_finite(batch[name]), absent)
            odd = batch.num_rows - (pc.sum(finite).as_py() or 0)
            if odd:
                self.odd_times += odd
                kept = pc.if_else(finite, batch[name], otherwise)
                batch = batch.set_column(batch.schema.get_field_index(name), name, kept)
        return batch

    def _append_measured(self, batch: pa.RecordBatch, worker: int, zero: float) -> None:
        if batch.num_rows == 0:
            return
        splits = [self._split(header) for header in batch["timing"].to_pylist()]
        columns = _columns(batch, splits, worker, zero)
        self._samples.write_batch(_batch(batch, columns))
        self._append_queries([split.queries for split in splits])
        intended, sent = columns["t_intended_s"], columns["t_sent_s"]
        unanswered = int((batch["kind"].to_numpy(zero_copy_only=False) == UNANSWERED).sum())
        self.unanswered += unanswered
        self.requests += batch.num_rows - unanswered
        self.workers[worker] += batch.num_rows
        self.last_s = max(self.last_s, float(intended.max()))
        self._lags.append(((sent - intended) * 1000).astype(np.float32))
        self.endpoints.update(_counted(batch["endpoint"]))
        self.request_types.update(_counted(batch["request_type"]))
        for endpoint, status, error in _failed(batch):
            self.failures[self._known(self.failures, (endpoint, status, error))] += 1

    def _append_beside(self, batch: pa.RecordBatch, kinds: NDArray[Any], worker: int, zero: float) -> None:
        if batch.num_rows == 0:
            return
        named = batch.set_column(batch.schema.get_field_index("kind"), "kind", pa.array(kinds, pa.string()))
        splits = [self._split(header) for header in batch["timing"].to_pylist()]
        self._beside.write_batch(_batch(named, _columns(batch, splits, worker, zero)))
        self.beside.update(kind for kind in kinds if kind not in _UNCOUNTED)
        measured = batch["t_intended"].to_numpy() >= zero
        streams = batch.filter(pa.array(measured & (kinds == STREAM_END)))
        for endpoint, ms in zip(
            *(streams[name].to_pylist() for name in ("endpoint", "service_ms")), strict=True
        ):
            self.streams.setdefault(endpoint, deque(maxlen=_STREAMS_MAX)).append(ms)
        raised = named.filter(pc.equal(named["kind"], EXCEPTION))
        for endpoint, _, error in _failed(raised):
            self.exceptions[endpoint, error] += 1
        failed = named.filter(
            pc.and_(
                pc.is_valid(named["error"]),
                pc.invert(pc.is_in(named["kind"], pa.array([EXCEPTION, CUT_OFF]))),
            )
        )
        for kind, (endpoint, status, error) in zip(failed["kind"].to_pylist(), _failed(failed), strict=True):
            self.beside_failures[kind, *self._known(Counter(), (endpoint, status, error))] += 1

    def _split(self, told: str | None) -> ServerSplit:
        if told is not None and told.startswith(TRACE):
            return self.traces.get(told.removeprefix(TRACE), NOTHING)
        return parse(told)

    def _known(self, counted: Counter[Any], key: tuple[str, int, str]) -> tuple[str, int, str]:
        """Return a failure's key; reasons that never repeat must not fill the memory."""
        return key if len(counted) < _REASONS_MAX or key in counted else (key[0], key[1], _OTHER)

    def _append_queries(self, executed: list[tuple[tuple[str, float], ...]]) -> None:
        first = self.requests + self.unanswered
        rows = [(first + row, *query) for row, queries in enumerate(executed) for query in queries]
        if rows:
            arrays = [
                pa.array(column, type=item.type)
                for column, item in zip(zip(*rows, strict=True), _QUERIES, strict=True)
            ]
            self._queries.write_batch(pa.record_batch(arrays, schema=_QUERIES))


def _join(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return requests under their endpoints' names without the values of queries."""
    encoded = batch["endpoint"].dictionary_encode()
    names = pa.array([without_values(name) for name in encoded.dictionary.to_pylist()], pa.string())
    place = batch.schema.get_field_index("endpoint")
    return batch.set_column(place, "endpoint", names.take(encoded.indices))


def read_stream(path: Path, caveats: list[Caveat]) -> Iterator[pa.RecordBatch]:
    """Yield a stream's requests in large pieces: Locust appends a small one each second."""
    gathered: list[pa.RecordBatch] = []
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
            for batch in reader:
                gathered.append(batch)
                if sum(part.num_rows for part in gathered) >= _ROWS_AT_ONCE:
                    yield pa.concat_batches(gathered)
                    gathered = []
    except (pa.ArrowInvalid, OSError) as error:
        # A killed process leaves half a batch at the end; what came before is whole.
        caveats.append(Caveat("truncated", f"{path.name} ends in the middle: {error}"))
    if gathered:
        yield pa.concat_batches(gathered)


def _columns(batch: pa.RecordBatch, splits: list[Any], worker: int, zero: float) -> dict[str, Any]:
    intended = batch["t_intended"].to_numpy() - zero
    sent = batch["t_sent"].to_numpy() - zero
    service = batch["service_ms"].to_numpy(zero_copy_only=False)
    return {
        "t_intended_s": intended,
        "t_sent_s": sent,
        "service_ms": service,
        "latency_ms": (sent - intended) * 1000 + service,
        "server_ms": [split.server_ms for split in splits],
        "db_ms": [split.db_ms for split in splits],
        "db_queries": [len(split.queries) for split in splits],
        "valkey_ms": [split.valkey_ms for split in splits],
        "pool_ms": [split.pool_ms for split in splits],
        "cache": [split.cache for split in splits],
        "worker": np.full(len(sent), worker),
    }


def _batch(batch: pa.RecordBatch, columns: dict[str, Any]) -> pa.RecordBatch:
    arrays = [
        pa.array(columns[name], type=_SAMPLES.field(name).type) if name in columns else batch[name]
        for name in _SAMPLES.names
    ]
    return pa.record_batch(arrays, schema=_SAMPLES)


def _counted(column: pa.Array) -> dict[str, int]:
    counts = column.value_counts()
    return {
        str(value): count
        for value, count in zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True)
    }


def _failed(batch: pa.RecordBatch) -> Iterator[tuple[str, int, str]]:
    failed = batch.filter(pc.is_valid(batch["error"]))
    columns = (failed[name].to_pylist() for name in ("endpoint", "status", "error"))
    for endpoint, status, error in zip(*columns, strict=True):
        yield endpoint, status, _ADDRESS.sub("0x…", error)


def _schema(columns: Any) -> pa.Schema:
    return pa.schema([(name, pa.type_for_alias(dtype)) for name, dtype in columns.items()])


_SAMPLES, _QUERIES = _schema(SAMPLE_COLUMNS), _schema(QUERY_COLUMNS)
