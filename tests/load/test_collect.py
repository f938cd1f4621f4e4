from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adx_lab.errors import MeasurementError
from adx_lab.load.collecting.collect import collect
from adx_lab.load.recording.rows import RAW_SCHEMA
from adx_lab.records.columns import QUERY_COLUMNS, SAMPLE_COLUMNS

BEGAN = 1_000_000.0


def request(
    at: float, *, late_s: float = 0.0, timing: str | None = None, error: str | None = None
) -> tuple[Any, ...]:
    intended = BEGAN + at
    return (
        intended,
        intended + late_s,
        5.0,
        "GET /x",
        "users",
        "whale",
        200,
        10,
        "head",
        -1,
        timing,
        error,
        "GET",
        "request",
    )


def write_worker(
    raw: Path, pid: int, batches: list[list[tuple[Any, ...]]], beats: list[dict[str, Any]]
) -> Path:
    path = raw / f"worker-{pid}.arrows"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, RAW_SCHEMA) as writer:
        for rows in batches:
            columns = [
                pa.array(column, type=field.type)
                for column, field in zip(zip(*rows, strict=True), RAW_SCHEMA, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=RAW_SCHEMA))
    path.with_suffix(".jsonl").write_text("".join(json.dumps(beat) + "\n" for beat in beats))
    return path


def test_two_workers_become_one_run(tmp_path: Path) -> None:
    timing = 'total;dur=3, db;dur=1;desc="a", db;dur=1.5;desc="b", cache;desc="l2"'
    beat = {"t": BEGAN + 1, "requests": 1, "pending": 3, "cpu_s": 1.0, "rss_mb": 90.0}
    later = {"t": BEGAN + 3, "requests": 2, "pending": 1, "cpu_s": 2.0, "rss_mb": 95.0}
    lag = {"t": BEGAN + 2, "loop_lag_ms": 4.0}
    write_worker(
        tmp_path,
        1,
        [[request(-1), request(1)], [request(2, late_s=0.2)]],
        [{"t": 0, "began": BEGAN - 0.5}, beat],
    )
    write_worker(
        tmp_path,
        2,
        [[request(3, timing=timing)]],
        [{"t": 0, "began": BEGAN}, beat, lag, later, {"t": BEGAN + 4, "ended": BEGAN + 4}],
    )
    found = collect(tmp_path, tmp_path)
    samples, queries = (
        pd.read_parquet(tmp_path / "samples.parquet"),
        pd.read_parquet(tmp_path / "queries.parquet"),
    )
    assert (found.began, found.requests, found.warmup_requests, found.processes) == (BEGAN, 3, 1, 2)
    assert (found.pending_max, found.rss_max_mb, found.duration_s) == (3, 95.0, 4.0)
    assert (found.loop_lag_max_ms, found.cpu_share_max) == (4.0, 0.5)
    assert list(samples.columns) == list(SAMPLE_COLUMNS)
    assert list(queries.columns) == list(QUERY_COLUMNS)
    assert samples["t_intended_s"].tolist() == [1, 2, 3]
    assert samples["latency_ms"].round(6).tolist() == [5, 205, 5]
    assert samples["service_ms"].tolist() == [5, 5, 5]
    assert samples["worker"].tolist() == [0, 0, 1]
    assert (samples["server_ms"][2], samples["db_ms"][2], samples["db_queries"][2], samples["cache"][2]) == (
        3,
        2.5,
        2,
        "l2",
    )
    assert math.isnan(samples["server_ms"][0])
    assert queries.to_dict("records") == [
        {"sample": 2, "query": "a", "ms": 1.0},
        {"sample": 2, "query": "b", "ms": 1.5},
    ]


def test_types_on_disk_are_the_promised_ones(tmp_path: Path) -> None:
    write_worker(tmp_path, 1, [[request(1)]], [{"t": BEGAN + 9, "began": BEGAN}])
    collect(tmp_path, tmp_path)
    schema = pq.read_schema(tmp_path / "samples.parquet")
    assert {name: schema.field(name).type for name in SAMPLE_COLUMNS} == {
        name: pa.type_for_alias(alias) for name, alias in SAMPLE_COLUMNS.items()
    }


def test_a_killed_process_loses_its_last_batch_and_no_more(tmp_path: Path) -> None:
    path = write_worker(
        tmp_path, 1, [[request(1)], [request(2)], [request(3)]], [{"t": BEGAN + 9, "began": BEGAN}]
    )
    whole = path.read_bytes()
    # Without the end mark, and in the middle of the last batch, as a kill leaves it.
    path.write_bytes(whole[: len(whole) - 120])
    found = collect(tmp_path, tmp_path)
    assert found.requests == 2
    assert [caveat.code for caveat in found.caveats] == ["truncated", "killed"]


@pytest.mark.parametrize(
    ("batches", "beats", "said"),
    [
        ([[request(1)]], [], "recorded nothing"),
        ([[request(-3)]], [{"t": BEGAN + 9, "began": BEGAN}], "were made before the warm-up was over"),
    ],
)
def test_a_record_without_requests_is_no_run(
    tmp_path: Path, batches: list[list[tuple[Any, ...]]], beats: list[dict[str, Any]], said: str
) -> None:
    write_worker(tmp_path, 1, batches, beats)
    with pytest.raises(MeasurementError, match=said):
        collect(tmp_path, tmp_path)


def test_nothing_is_imported_once_a_load_has_begun() -> None:
    """Arrow imports pandas with its first array: the load stood still for most of a second."""
    program = (
        "import sys\n"
        "from adx_lab.load.recording.recorder import Recorder\n"
        "class Sink:\n"
        "    def write(self, batch): pass\n"
        "    def tell(self, facts): pass\n"
        "    def close(self): pass\n"
        "recorder = Recorder(Sink(), '')\n"
        "before = set(sys.modules)\n"
        "recorder.on_request('GET', '/', 1.0, 10, start_time=1.8e9)\n"
        "recorder.beat()\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
