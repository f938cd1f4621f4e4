"""Turn what the Locust processes wrote into the run's tables, in chunks: hours fit into little memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adx_lab.errors import MeasurementError
from adx_lab.load.server_timing import parse
from adx_lab.records import QUERY_COLUMNS, SAMPLE_COLUMNS, Caveat


@dataclass(frozen=True, slots=True)
class Collected:
    """What the load generator says of its own work.

    Attributes
    ----------
    began
        Seconds since the epoch at which the measured part began: the run's zero.
    requests
        Measured requests; those of the warm-up are thrown away.
    """

    began: float
    duration_s: float
    requests: int
    warmup_requests: int
    unanswered: int
    pending_max: int
    loop_lag_p99_ms: float
    loop_lag_max_ms: float
    cpu_share_max: float
    rss_max_mb: float
    processes: int
    caveats: tuple[Caveat, ...]


def collect(raw_dir: Path, run_dir: Path) -> Collected:
    """Write ``samples.parquet`` and ``queries.parquet`` from the raw streams.

    Raises
    ------
    MeasurementError
        No Locust process recorded anything.
    """
    streams = sorted(raw_dir.glob("worker-*.arrows"))
    beats = [_read_beats(stream.with_suffix(".jsonl")) for stream in streams]
    begins = [beat["began"] for lines in beats for beat in lines if "began" in beat]
    if not begins:
        raise MeasurementError("the load generator recorded nothing", mend="see its log in the run's folder")
    # Processes begin within a moment of one another: the last one's zero is everybody's.
    began = max(begins)
    caveats: list[Caveat] = []
    tables = _Tables(run_dir)
    warmup = 0
    for worker, stream in enumerate(streams):
        for frame in _read_stream(stream, caveats):
            measured = frame[frame["t_intended"] >= began]
            warmup += len(frame) - len(measured)
            if len(measured):
                tables.append(measured, began, worker)
    requests, last_s = tables.close()
    if requests == 0:
        raise MeasurementError("no request was made after the warm-up", mend="make the load longer or faster")
    return Collected(
        began=began,
        duration_s=last_s,
        requests=requests,
        warmup_requests=warmup,
        caveats=tuple(caveats),
        **_audit(beats, began),
    )


class _Tables:
    def __init__(self, run_dir: Path) -> None:
        self._samples = pq.ParquetWriter(run_dir / "samples.parquet", _schema(SAMPLE_COLUMNS))
        self._queries = pq.ParquetWriter(run_dir / "queries.parquet", _schema(QUERY_COLUMNS))
        self._count = 0
        self._last_s = 0.0

    def append(self, raw: pd.DataFrame, began: float, worker: int) -> None:
        splits = [parse(header if isinstance(header, str) else None) for header in raw["timing"]]
        samples = pd.DataFrame(
            {
                "t_intended_s": raw["t_intended"] - began,
                "t_sent_s": raw["t_sent"] - began,
                "latency_ms": (raw["t_sent"] - raw["t_intended"]) * 1000 + raw["service_ms"],
                "service_ms": raw["service_ms"],
                "endpoint": raw["endpoint"],
                "group": raw["group"],
                "tenant": raw["tenant"],
                "status": raw["status"],
                "bytes": raw["bytes"],
                "variant": raw["variant"],
                "pair": raw["pair"],
                "server_ms": [split.server_ms for split in splits],
                "db_ms": [split.db_ms for split in splits],
                "db_queries": [len(split.queries) for split in splits],
                "valkey_ms": [split.valkey_ms for split in splits],
                "pool_ms": [split.pool_ms for split in splits],
                "cache": [split.cache for split in splits],
                "error": raw["error"],
                "worker": worker,
            }
        )
        queries = [
            (self._count + row, name, ms) for row, split in enumerate(splits) for name, ms in split.queries
        ]
        self._samples.write_table(_table(samples, SAMPLE_COLUMNS))
        if queries:
            self._queries.write_table(
                _table(pd.DataFrame(queries, columns=list(QUERY_COLUMNS)), QUERY_COLUMNS)
            )
        self._count += len(samples)
        self._last_s = max(self._last_s, float(samples["t_intended_s"].max()))

    def close(self) -> tuple[int, float]:
        self._samples.close()
        self._queries.close()
        return self._count, self._last_s


def _schema(columns: Any) -> pa.Schema:
    return pa.schema([(name, pa.type_for_alias(dtype)) for name, dtype in columns.items()])


def _table(frame: pd.DataFrame, columns: Any) -> pa.Table:
    return pa.Table.from_pandas(frame[list(columns)], schema=_schema(columns), preserve_index=False)


def _read_stream(path: Path, caveats: list[Caveat]) -> Iterator[pd.DataFrame]:
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
            for batch in reader:
                # Not pandas' guess for text: a column of nulls alone would come back as NaN.
                text = {name: batch.column(name).to_pylist() for name in ("timing", "error", "tenant")}
                yield batch.to_pandas().assign(**text)
    except (pa.ArrowInvalid, OSError) as error:
        # A killed process leaves half a batch at the end; what came before is whole.
        caveats.append(Caveat("truncated", f"{path.name} ends in the middle: {error}"))


def _read_beats(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def _audit(beats: list[list[dict[str, Any]]], began: float) -> dict[str, Any]:
    lags = [
        beat["loop_lag_ms"]
        for lines in beats
        for beat in lines
        if "loop_lag_ms" in beat and beat["t"] >= began
    ]
    shares, rss, pending = [0.0], [0.0], [0]
    for lines in beats:
        vitals = [beat for beat in lines if "cpu_s" in beat and beat["t"] >= began]
        rss += [beat["rss_mb"] for beat in vitals]
        pending += [beat["pending"] for beat in vitals]
        if len(vitals) > 1:
            first, last = vitals[0], vitals[-1]
            shares.append((last["cpu_s"] - first["cpu_s"]) / max(last["t"] - first["t"], 1e-9))
    return {
        "unanswered": sum(beat.get("unanswered", 0) for lines in beats for beat in lines),
        "pending_max": max(pending),
        "loop_lag_p99_ms": float(np.percentile(lags, 99)) if lags else 0.0,
        "loop_lag_max_ms": max(lags, default=0.0),
        "cpu_share_max": max(shares),
        "rss_max_mb": max(rss),
        "processes": len(beats),
    }
