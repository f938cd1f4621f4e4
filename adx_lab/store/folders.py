"""A run's folder: written beside, renamed when whole, read with suspicion.

A run that died is never mistaken for a whole one: it lies under a name that begins with a dot until its last
byte is on disk.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from adx_lab.errors import StoreError, UsageError
from adx_lab.records.run import (
    CACHE_COLUMNS,
    CACHE_TRACE_COLUMNS,
    DATABASE_COLUMNS,
    FORMAT,
    QUERY_COLUMNS,
    RESOURCE_COLUMNS,
    SAMPLE_COLUMNS,
    SERVICE_COLUMNS,
    Caveat,
    RunRecord,
    to_json,
)

TABLES: Mapping[str, Mapping[str, str]] = {
    "samples": SAMPLE_COLUMNS,
    "beside": SAMPLE_COLUMNS,
    "queries": QUERY_COLUMNS,
    "resources": RESOURCE_COLUMNS,
    "database": DATABASE_COLUMNS,
    "cache": CACHE_COLUMNS,
    "cache_trace": CACHE_TRACE_COLUMNS,
    "service": SERVICE_COLUMNS,
}

COMPANIONS, VERDICT = "companions.json", "verdict.json"
"""What only a duet's folder holds."""

UNPLAYED = "unplayed.json"
"""What only the folder of a night's loaded run holds, and only where its duet could not be played."""


@contextmanager
def new_run_folder(runs_dir: Path, run_id: str) -> Iterator[Path]:
    """Give a folder to write a run into; named when the block ends well, removed otherwise."""
    partial = runs_dir / f".{run_id}.{os.getpid()}.partial"
    try:
        partial.mkdir(parents=True)
        _sweep(runs_dir)
    except OSError as error:
        raise StoreError(
            f"the run can't be stored in {runs_dir}: {error.strerror}",
            mend="free some space or mend the rights",
        ) from error
    try:
        yield partial
        _to_disk(partial)
        partial.rename(runs_dir / run_id)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_table(run_dir: Path, table: str, rows: list[dict[str, Any]]) -> None:
    """Write one of the run's tables, in the columns and types that `adx_lab.records.run` promises."""
    columns = TABLES[table]
    schema = pa.schema([(name, pa.type_for_alias(dtype)) for name, dtype in columns.items()])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), run_dir / f"{table}.parquet")


def write_columns(run_dir: Path, table: str, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write one of the run's tables from whole columns, where rows would be too many to hold one by one."""
    types = TABLES[table]
    arrays = {name: pa.array(columns[name], type=pa.type_for_alias(dtype)) for name, dtype in types.items()}
    pq.write_table(pa.table(arrays), run_dir / f"{table}.parquet")


def write_record(run_dir: Path, record: RunRecord) -> None:
    """Write ``run.json``."""
    (run_dir / "run.json").write_text(to_json(record, indent=2) + "\n", encoding="utf-8")


def write_plans(run_dir: Path, plans: Mapping[str, Any]) -> None:
    """Write ``plans.json``: the captured matrix of plans, as PostgreSQL told them."""
    (run_dir / "plans.json").write_text(to_json(plans) + "\n", encoding="utf-8")


def write_log(run_dir: Path, text: str) -> None:
    """Write ``postgres.log``: what the database said during the run."""
    (run_dir / "postgres.log").write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run that was stored; its tables are read when they are asked for."""

    record: RunRecord
    folder: Path

    def table(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Return one of the run's tables; the texts of samples and queries are categories.

        Raises
        ------
        StoreError
            The file is missing, truncated, or lacks a column.
        """
        path = self.folder / f"{name}.parquet"
        try:
            return _read_table(path, columns)
        except FileNotFoundError as error:
            mend = _RECORD if name in _ADDED else _RESTORE
            raise StoreError(f"run {self.record.run_id} has no {path.name}", mend=mend) from error
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise StoreError(f"{path} is damaged: {reason}", mend=_RESTORE) from error

    def verdict(self) -> dict[str, Any] | None:
        """Return the verdict that a duet was given when it was made, or None where there is none."""
        path = self.folder / VERDICT
        document: dict[str, Any] | None = _read_json(path) if path.exists() else None
        return document

    def companions(self) -> list[dict[str, Any]]:
        """Return what a duet's variants did besides taking time: by side, one entry a block."""
        document: list[dict[str, Any]] = _read_json(self.folder / COMPANIONS)
        return document

    def plans(self) -> dict[str, Any]:
        """Return the captured matrix of plans; it has no plans where there was no database to ask."""
        document: dict[str, Any] = _read_json(self.folder / "plans.json")
        return document

    def server_log(self) -> str:
        """Return what the database said during the run; nothing where it was not the lab's own."""
        path = self.folder / "postgres.log"
        return path.read_text(encoding="utf-8") if path.is_file() else ""


_LARGE = frozenset({"samples", "beside", "queries"})
_RESTORE = "restore the folder from a copy, or delete the run"
_RECORD = "an older version may have made it: record a new run"
_ADDED_COLUMNS = frozenset({"kind", "request_type"})
_ADDED = frozenset({"beside", "cache_trace", "service"})
"""Tables that runs of the first versions lack."""


def open_run(runs_dir: Path, run_id: str) -> StoredRun:
    """Open a stored run by its id, by an unambiguous beginning of it, or by ``latest``.

    Raises
    ------
    UsageError
        There is none of that name, or there are several.
    StoreError
        It is damaged, or was made by a newer version.
    """
    ids = run_ids(runs_dir)
    matches = ids[-1:] if run_id == "latest" else [name for name in ids if name.startswith(run_id)]
    if run_id in ids:
        matches = [run_id]
    if not matches:
        raise UsageError(
            f"there is no run {run_id} in {runs_dir}", mend="adx-lab runs list shows what there is"
        )
    if len(matches) > 1:
        raise UsageError(
            f"{run_id} names {len(matches)} runs", mend=f"say more of it: {', '.join(matches[:3])}"
        )
    folder = runs_dir / matches[0]
    return StoredRun(_record(folder), folder)


def open_folder(folder: Path) -> StoredRun:
    """Open a run by its folder, one that has not got its name yet too.

    Raises
    ------
    StoreError
        It is damaged, or was made by a newer version.
    """
    return StoredRun(_record(folder), folder)


def run_ids(runs_dir: Path) -> list[str]:
    """Return the ids of all whole runs, oldest first."""
    if not runs_dir.is_dir():
        return []
    return sorted(entry.name for entry in runs_dir.iterdir() if entry.is_dir() and entry.name[0] != ".")


def delete_run_folder(runs_dir: Path, run_id: str) -> None:
    """Remove a run; renamed first, so that an interrupted removal leaves no half run under its name."""
    doomed = runs_dir / f".{run_id}.{os.getpid()}.deleted"
    (runs_dir / run_id).rename(doomed)
    shutil.rmtree(doomed)


def _sweep(runs_dir: Path) -> None:
    """Remove what killed runs left; a folder's name says whose it is."""
    for leftover in [*runs_dir.glob(".*.partial"), *runs_dir.glob(".*.deleted")]:
        if not psutil.pid_exists(int(leftover.suffixes[-2][1:])):
            shutil.rmtree(leftover, ignore_errors=True)


def _read_table(path: Path, columns: list[str] | None) -> pd.DataFrame:
    # A request's texts repeat: as one small number a row, ten million take 10 MB and not 600.
    kinds = TABLES[path.stem].items() if path.stem in _LARGE else ()
    texts = [column for column, dtype in kinds if dtype == "string"]
    if columns is not None:  # one that the first versions did not write is left out
        columns = [
            name for name in columns if name not in _ADDED_COLUMNS or name in pq.read_schema(path).names
        ]
    found = pq.read_table(path, columns=columns, read_dictionary=texts)
    frame: pd.DataFrame = found.to_pandas(split_blocks=True, self_destruct=True)
    return frame


def _record(folder: Path) -> RunRecord:
    document = _read_json(folder / "run.json")
    if document.get("format", 0) > FORMAT:
        raise StoreError(
            f"run {folder.name} was made by a newer version (format {document['format']}, known is {FORMAT})",
            mend="update ADX Lab",
        )
    known = {item.name for item in fields(RunRecord)}
    try:
        values = {name: value for name, value in document.items() if name in known}
        values["caveats"] = tuple(Caveat(**caveat) for caveat in values.get("caveats", ()))
        values["variants"] = tuple(values.get("variants", ()))
        return RunRecord(**values)
    except TypeError as error:
        raise StoreError(f"{folder / 'run.json'} is damaged: {error}", mend=_RESTORE) from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing", mend=_RESTORE) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} is damaged: {error}", mend=_RESTORE) from error


def _to_disk(folder: Path) -> None:
    for file in folder.iterdir():
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
