"""How large a run can be judged: ``python -m adx_lab.report.bench``.

Makes a run of so many requests in a temporary folder, then has a fresh process do with it what every report
begins with (the figures of each endpoint and group with their intervals, the budgets' metrics, the heat map),
and prints how long that took and the most memory it held.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adx_lab.analysis.run.distribution import heat_map
from adx_lab.records.run import LoadAudit, RunRecord, new_run_id
from adx_lab.report.run.judged_run import Judgement
from adx_lab.store.folders import open_folder, write_record, write_table
from adx_lab.store.reading import TABLES

_AT_ONCE = 1_000_000
_ENDPOINTS = {
    "GET /auth/me": "auth", "POST /auth/login": "auth", "GET /health": "gateway",
    "GET /users": "users", "GET /users/{id}": "users", "PATCH /users/{id}": "users", "POST /users": "users",
    "GET /files": "files", "GET /files/{id}": "files", "POST /files": "files",
    "POST /workflows/{name}/runs": "workflows", "GET /workflows/runs/{id}": "workflows",
}  # fmt: skip
_QUERIES_SHARE = 0.3


def make_run(folder: Path, requests: int, *, rate_per_s: float = 3_000.0) -> None:
    """Write a run of lognormal latencies with every column filled as a load fills it."""
    draw = np.random.default_rng(1)
    names, groups = np.array(list(_ENDPOINTS)), np.array(list(_ENDPOINTS.values()))
    with (
        pq.ParquetWriter(folder / "samples.parquet", _schema("samples")) as samples,
        pq.ParquetWriter(folder / "queries.parquet", _schema("queries")) as queries,
    ):
        for start in range(0, requests, _AT_ONCE):
            count = min(_AT_ONCE, requests - start)
            chosen = draw.integers(0, len(names), count)
            ms = draw.lognormal(0.5, 0.6, count)
            at_s = (start + np.arange(count)) / rate_per_s
            columns = {
                "t_intended_s": at_s, "t_sent_s": at_s + 1e-4, "latency_ms": ms + 0.1, "service_ms": ms,
                "endpoint": names[chosen], "group": groups[chosen],
                "tenant": draw.choice(["whale", "large", "median", "small"], count),
                "status": np.full(count, 200), "bytes": draw.integers(2, 9_000, count),
                "variant": np.full(count, "head"), "pair": np.full(count, -1),
                "server_ms": ms * 0.7, "db_ms": ms * 0.2, "db_queries": np.ones(count),
                "valkey_ms": ms * 0.1, "pool_ms": np.zeros(count),
                "cache": draw.choice(["l1", "l2", "miss", "none"], count),
                "error": pa.nulls(count, pa.string()), "worker": np.zeros(count),
        "request_type": pa.repeat("GET", count), "kind": pa.repeat("request", count),
            }  # fmt: skip
            samples.write_table(_table("samples", columns))
            rows = np.flatnonzero(draw.random(count) < _QUERIES_SHARE)
            asked = {
                "sample": rows + start,
                "query": draw.choice(["users.get", "users.list.first", "files.get"], rows.size),
                "ms": ms[rows] * 0.2,
            }
            queries.write_table(_table("queries", asked))
    for table in ("resources", "cache", "database"):
        write_table(folder, table, [])
    now = datetime.now(UTC).isoformat(timespec="seconds")
    duration_s = requests / rate_per_s
    audit = LoadAudit(began=0.0, duration_s=duration_s, requests=requests)
    record = RunRecord(new_run_id(), "load", "mixed", now, duration_s, 1, audit, machine={"cores_usable": 1})
    write_record(folder, record)


def judge_run(folder: Path, budget_file: Path) -> dict[str, float]:
    """Read and summarise a run, and return seconds and megabytes."""
    began = time.perf_counter()
    judgement = Judgement(open_folder(folder), budget_file)
    endpoints, metrics = judgement.endpoints, judgement.measured
    heat = heat_map(judgement.times)
    return {
        "seconds": round(time.perf_counter() - began, 2),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "requests": sum(row.count for row in endpoints),
        "metrics": len(metrics),
        "cells": sum(map(len, heat.counts)),
    }


def _schema(table: str) -> pa.Schema:
    return pa.schema([(name, pa.type_for_alias(dtype)) for name, dtype in TABLES[table].items()])


def _table(table: str, columns: dict[str, Any]) -> pa.Table:
    schema = _schema(table)
    return pa.table([pa.array(columns[item.name]).cast(item.type) for item in schema], schema=schema)


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m adx_lab.report.bench", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.folder is not None:
        sys.stdout.write(json.dumps(judge_run(asked.folder, asked.folder / "budgets.toml")) + "\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        make_run(Path(folder), asked.requests)
        # A process of its own: making the run must not count as memory of reading it.
        subprocess.run([sys.executable, "-m", "adx_lab.report.bench", "--folder", folder], check=True)


if __name__ == "__main__":
    main()
