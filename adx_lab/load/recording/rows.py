"""What a Locust process writes while it runs; `adx_lab.load.collecting` makes the run's tables of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from adx_lab.files import make_private_folder
from adx_lab.load.recording.fitting import Misfits, fit_columns

RAW_SCHEMA = pa.schema(
    [
        ("t_intended", pa.float64()),  # seconds since the epoch, as all clocks here
        ("t_sent", pa.float64()),
        ("service_ms", pa.float64()),
        ("endpoint", pa.string()),
        ("group", pa.string()),
        ("tenant", pa.string()),
        ("status", pa.int16()),
        ("bytes", pa.int64()),
        ("variant", pa.string()),
        ("pair", pa.int64()),
        ("timing", pa.string()),
        ("error", pa.string()),
        ("request_type", pa.string()),
        ("kind", pa.string()),
    ]
)
"""One Arrow stream of these columns a process."""

Row = tuple[Any, ...]

REQUEST, UNANSWERED, EXCEPTION = "request", "unanswered", "exception"
ON_START, ON_STOP, STREAM_END = "on_start", "on_stop", "stream_end"
"""Kinds of rows: a request that was answered or failed, one without an answer by the end, what a task raised;
the requests of a user's beginning and end; once more one whose answer was a stream, up to its end."""


def import_all() -> None:
    """Let Arrow import what it wants with its first array.

    That is pandas, most of a second: a load that had begun stood still for it, at its first beat.
    """
    pa.array([None])


def batch_of(values: Sequence[Any], misfits: Misfits) -> pa.RecordBatch:
    """Return rows, one after another in a flat sequence, as a record batch; what does not fit is counted."""
    width = len(RAW_SCHEMA)
    columns = [values[place::width] for place in range(width)]
    arrays = fit_columns(columns, RAW_SCHEMA, misfits, columns[_ENDPOINT])
    return pa.record_batch(arrays, schema=RAW_SCHEMA)


def warm_arrow() -> None:
    """Make a first batch before the load: Arrow imports pandas then, and all users would wait for it."""
    batch_of((0.0, 0.0, 0.0, "", "", "", 0, 0, "", -1, "", "", "", ""), Misfits())


_LATEST_BYTES = 4_096
_ENDPOINT = RAW_SCHEMA.get_field_index("endpoint")


class FileSink:
    """Where one process's record lies on disk: ``NAME.arrows`` for requests, ``NAME.jsonl`` for facts."""

    def __init__(self, folder: Path, name: str) -> None:
        make_private_folder(folder)
        self._file = pa.OSFile(str(folder / f"{name}.arrows"), "wb")
        self._writer = pa.ipc.new_stream(self._file, RAW_SCHEMA)
        self._facts = (folder / f"{name}.jsonl").open("w", encoding="utf-8")

    def write(self, batch: pa.RecordBatch) -> None:
        """Append requests; unbuffered, so that a kill can't take what was appended."""
        self._writer.write_batch(batch)

    def tell(self, facts: dict[str, Any]) -> None:
        """Append a line of facts."""
        self._facts.write(json.dumps(facts, default=str) + "\n")
        self._facts.flush()

    def close(self) -> None:
        """End both files."""
        self._writer.close()
        self._file.close()
        self._facts.close()


def read_facts(path: Path) -> list[dict[str, Any]]:
    """Return the facts of one process; a line that a kill cut short is passed over."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return _parsed(lines)


def latest_facts(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield what each process of a load told last, however much it has told before."""
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LATEST_BYTES))
            yield _parsed(file.read().decode("utf-8", "replace").splitlines())


def _parsed(lines: Sequence[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines if line.startswith('{"t": ') and line.endswith("}")]


def all_facts(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the facts of every process of a load."""
    for path in sorted(folder.glob("*.jsonl")):
        yield from read_facts(path)
