"""Turn what the Locust processes wrote into the run's tables, in chunks: hours fit into little memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adx_lab.analysis.run.capacity import knee_place
from adx_lab.deaths import Death
from adx_lab.errors import MeasurementError
from adx_lab.load.recording.rows import read_facts
from adx_lab.load.recording.server_timing import NOTHING, TRACE, ServerSplit, parse
from adx_lab.records.columns import QUERY_COLUMNS, SAMPLE_COLUMNS
from adx_lab.records.run import Caveat

_ROWS_AT_ONCE = 100_000
_LAG_KEPT = 1_000_000


@dataclass(frozen=True, slots=True)
class Collected:
    """What the load generator says of its own work.

    Attributes
    ----------
    began
        Seconds since the epoch at which the measured part began: the run's zero.
    requests
        Measured requests; those of the warm-up are thrown away.
    pending_max
        The most arrivals that waited for an answer at once.
    blocked_s
        How long the schedule stood still because every connection was busy: the service's doing.
    schedule_lag_p99_ms
        How late requests left, counted from when they should have.
    clock_offset_max_ms
        How far a worker's clock was from the master's; the tables are corrected for it.
    schedule, steps, knee
        What the load was; of a climbing one each step, and the last that broke no budget.
    """

    began: float
    duration_s: float
    requests: int
    warmup_requests: int
    unanswered: int
    pending_max: int
    blocked_s: float
    schedule_lag_p99_ms: float
    schedule_lag_max_ms: float
    loop_lag_p99_ms: float
    loop_lag_max_ms: float
    cpu_share_max: float
    cpu_shares: tuple[float, ...]
    rss_max_mb: float
    processes: int
    open_files_limit: int
    clock_offset_max_ms: float
    users_connected: int | None
    schedule: dict[str, Any]
    steps: tuple[dict[str, Any], ...]
    knee: dict[str, Any] | None
    caveats: tuple[Caveat, ...]
    deaths: tuple[dict[str, Any], ...] = ()


@dataclass
class _Process:
    """One Locust process: its facts, on the master's clock."""

    name: str
    facts: list[dict[str, Any]]
    offset_s: float

    def values(self, key: str, began: float = 0.0, ended: float = np.inf) -> list[Any]:
        return [fact[key] for fact in self.facts if key in fact and began <= fact["t"] <= ended]


def collect(raw_dir: Path, run_dir: Path, traces: Mapping[str, ServerSplit] | None = None) -> Collected:
    """Write ``samples.parquet`` and ``queries.parquet`` from the raw streams.

    ``traces`` tell by id where the time of requests went that were sent with one.

    Raises
    ------
    MeasurementError
        No Locust process recorded anything.
    """
    processes = [_read_process(path) for path in sorted(raw_dir.glob("*.jsonl"))]
    begins = [begin for process in processes for begin in process.values("began")]
    if not begins:
        raise MeasurementError("the load generator recorded nothing", mend="see its log in the run's folder")
    # Processes begin within a moment of one another: the last one's zero is everybody's.
    began = max(begins)
    offsets = {process.name: process.offset_s for process in processes}
    caveats: list[Caveat] = []
    tables = Tables(run_dir, began, traces=traces or {})
    try:
        for worker, stream in enumerate(sorted(raw_dir.glob("worker-*.arrows"))):
            for batch in _read_stream(stream, caveats):
                tables.append(batch, worker, offsets.get(stream.stem, 0.0))
    finally:
        tables.close()
    if tables.requests == 0:
        raise MeasurementError("no request was made after the warm-up", mend="make the load longer or faster")
    return Collected(
        began=began,
        duration_s=tables.last_s,
        requests=tables.requests,
        warmup_requests=tables.warmup,
        **tables.lag(),
        **_audit(processes, began),
        **_story(processes),
        caveats=(*caveats, *_doubts(processes)),
        deaths=tuple(_deaths(processes)),
    )


@dataclass
class Tables:
    """The run's two tables while they are written."""

    run_dir: Path
    began: float
    requests: int = 0
    warmup: int = 0
    last_s: float = 0.0
    traces: Mapping[str, ServerSplit] = field(default_factory=dict)
    _lags: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._samples = pq.ParquetWriter(self.run_dir / "samples.parquet", _SAMPLES)
        self._queries = pq.ParquetWriter(self.run_dir / "queries.parquet", _QUERIES)

    def append(self, batch: pa.RecordBatch, worker: int, offset_s: float) -> None:
        """Append one process's requests; those of the warm-up only count."""
        measured = batch.filter(pc.greater_equal(batch["t_intended"], self.began + offset_s))
        self.warmup += batch.num_rows - measured.num_rows
        if measured.num_rows == 0:
            return
        intended = measured["t_intended"].to_numpy() - (self.began + offset_s)
        sent = measured["t_sent"].to_numpy() - (self.began + offset_s)
        service = measured["service_ms"].to_numpy()
        splits = [self._split(header) for header in measured["timing"].to_pylist()]
        columns = {
            "t_intended_s": intended,
            "t_sent_s": sent,
            "latency_ms": (sent - intended) * 1000 + service,
            "server_ms": [split.server_ms for split in splits],
            "db_ms": [split.db_ms for split in splits],
            "db_queries": [len(split.queries) for split in splits],
            "valkey_ms": [split.valkey_ms for split in splits],
            "pool_ms": [split.pool_ms for split in splits],
            "cache": [split.cache for split in splits],
            "worker": np.full(len(sent), worker),
        }
        arrays = [
            pa.array(columns[name], type=_SAMPLES.field(name).type) if name in columns else measured[name]
            for name in _SAMPLES.names
        ]
        self._samples.write_batch(pa.record_batch(arrays, schema=_SAMPLES))
        self._append_queries([split.queries for split in splits])
        self.requests += len(sent)
        self.last_s = max(self.last_s, float(intended.max()))
        self._lags.append(((sent - intended) * 1000).astype(np.float32))

    def _split(self, told: str | None) -> ServerSplit:
        if told is not None and told.startswith(TRACE):
            return self.traces.get(told.removeprefix(TRACE), NOTHING)
        return parse(told)

    def close(self) -> None:
        """End both files."""
        self._samples.close()
        self._queries.close()

    def lag(self) -> dict[str, Any]:
        """Return how late requests left."""
        late = np.concatenate(self._lags)
        thinned = late[:: max(1, late.size // _LAG_KEPT)]
        return {
            "schedule_lag_p99_ms": float(np.percentile(thinned, 99)),
            "schedule_lag_max_ms": float(late.max()),
        }

    def _append_queries(self, executed: list[tuple[tuple[str, float], ...]]) -> None:
        rows = [(self.requests + row, *query) for row, queries in enumerate(executed) for query in queries]
        if rows:
            arrays = [
                pa.array(column, type=item.type)
                for column, item in zip(zip(*rows, strict=True), _QUERIES, strict=True)
            ]
            self._queries.write_batch(pa.record_batch(arrays, schema=_QUERIES))


def _schema(columns: Any) -> pa.Schema:
    return pa.schema([(name, pa.type_for_alias(dtype)) for name, dtype in columns.items()])


_SAMPLES, _QUERIES = _schema(SAMPLE_COLUMNS), _schema(QUERY_COLUMNS)


def _read_process(path: Path) -> _Process:
    facts = read_facts(path)
    offset_s = next((fact["clock_offset_s"] for fact in facts if "clock_offset_s" in fact), 0.0)
    clocks = ("t", "began", "ended")
    shifted = [
        {key: value - offset_s if key in clocks else value for key, value in fact.items()} for fact in facts
    ]
    return _Process(path.stem, shifted, offset_s)


def _read_stream(path: Path, caveats: list[Caveat]) -> Iterator[pa.RecordBatch]:
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


def _audit(processes: list[_Process], began: float) -> dict[str, Any]:
    ends = [end for process in processes for end in process.values("ended")]
    ended = max(ends, default=np.inf)
    lags = [lag for process in processes for lag in process.values("loop_lag_ms", began, ended)]
    shares = [share for process in processes if (share := _cpu_share(process, began, ended)) is not None]
    connected = [min(found) for process in processes if (found := process.values("connected", began, ended))]
    return {
        "unanswered": sum(sum(process.values("unanswered")) for process in processes),
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


def _cpu_share(process: _Process, began: float, ended: float) -> float | None:
    beats = [fact for fact in process.facts if "cpu_s" in fact and began <= fact["t"] <= ended]
    if len(beats) < 2:
        return None
    first, last = beats[0], beats[-1]
    return float((last["cpu_s"] - first["cpu_s"]) / max(last["t"] - first["t"], 1e-9))


def _story(processes: list[_Process]) -> dict[str, Any]:
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


def _deaths(processes: list[_Process]) -> Iterator[dict[str, Any]]:
    """Yield a death for each process that sent requests and did not live to close its record."""
    for process in processes:
        if process.facts and not process.values("closed") and process.name != "master":
            last = datetime.fromtimestamp(max(process.values("t"), default=0.0), UTC)
            how = "did not live to close its record"
            death = Death("locust", last.isoformat(timespec="milliseconds"), how)
            yield asdict(death)


def _doubts(processes: list[_Process]) -> Iterator[Caveat]:
    for process in processes:
        if process.facts and not process.values("closed") and process.name != "master":
            yield Caveat("killed", f"{process.name} did not end its record: its last second may be missing")
