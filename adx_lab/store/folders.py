"""A run's folder: written beside, renamed when whole, read with suspicion.

A run that died is never mistaken for a whole one: it lies under a name that begins with a dot until its last
byte is on disk.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from adx_lab.errors import StoreError, UsageError
from adx_lab.files import make_private_folder, seal, sweep, sync, write_whole
from adx_lab.records.documents import to_json, to_plain
from adx_lab.records.run import FORMAT, Kind, RunRecord, read_record
from adx_lab.secrecy import scrub, scrub_files, scrubbed
from adx_lab.store.reading import TABLES, count_rows, read_pieces, read_table, read_thinned

if TYPE_CHECKING:  # who only lists runs does not wait a second for pandas
    import pandas as pd
    from numpy.typing import NDArray

RECORD, COMPANIONS, VERDICT = "run.json", "companions.json", "verdict.json"
COUNTS, STATEMENTS, PROFILES = "counts", "statements", "profiles"
"""What only a duet's folder holds; two tables where it had a serial movement, one where it was sampled."""

ASKED = "asked.json"
"""What only the folder of a service's night holds: by endpoint its statements, a request."""

UNPLAYED = "unplayed.json"
"""What only the folder of a night's loaded run holds, and only where its duet could not be played."""


@contextmanager
def new_run_folder(runs_dir: Path, run_id: str) -> Iterator[Path]:
    """Give a folder to write a run into; named when the block ends well, removed otherwise."""
    partial = runs_dir / f".{run_id}.{os.getpid()}.partial"
    try:
        make_private_folder(runs_dir)
        sweep(runs_dir)
        partial.mkdir(mode=0o700)
        held = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(
            f"the run can't be stored in {runs_dir}: {error.strerror}",
            mend="free some space or mend the rights",
        ) from error
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        yield partial
        scrub_files(partial)
        seal(partial)
        partial.rename(runs_dir / run_id)
        sync(runs_dir)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        os.close(held)


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
    write_whole(run_dir / RECORD, to_json(scrubbed(to_plain(record)), indent=2) + "\n")


def write_plans(run_dir: Path, plans: Mapping[str, Any]) -> None:
    """Write ``plans.json``: the captured matrix of plans, as PostgreSQL told them."""
    write_whole(run_dir / "plans.json", to_json(plans) + "\n")


def write_log(run_dir: Path, text: str) -> None:
    """Write ``postgres.log``: what the database said during the run."""
    write_whole(run_dir / "postgres.log", scrub(text))


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run that was stored; its tables are read when they are asked for."""

    record: RunRecord
    folder: Path

    def table(self, name: str, columns: list[str] | None = None, *, one_in: int = 1) -> pd.DataFrame:
        """Return one of the run's tables; the texts of samples and queries are categories.

        Parameters
        ----------
        columns
            All where none are named.
        one_in
            Of samples: every so many rows. Of queries: those of these samples, which they number anew.

        Raises
        ------
        StoreError
            The file is missing, truncated, or lacks a column.
        """
        with self._reading(name) as path:
            return read_table(path, columns) if one_in == 1 else read_thinned(path, columns, one_in)

    def pieces(self, name: str, columns: list[str]) -> Iterator[pd.DataFrame]:
        """Yield a table in pieces, for one that is too large to be held.

        Raises
        ------
        StoreError
            As `table` does.
        """
        with self._reading(name) as path:
            yield from read_pieces(path, columns)

    def count(self, name: str) -> int:
        """Return how many rows a table has, without reading them.

        Raises
        ------
        StoreError
            As `table` does.
        """
        with self._reading(name) as path:
            return count_rows(path)

    @contextmanager
    def _reading(self, name: str) -> Iterator[Path]:
        path = self.folder / f"{name}.parquet"
        try:
            yield path
        except FileNotFoundError as error:
            mend = _RECORD if name in _ADDED else _RESTORE
            raise StoreError(f"run {self.record.run_id} has no {path.name}", mend=mend) from error
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise StoreError(f"{path} is damaged: {reason}", mend=_RESTORE) from error

    def verdict(self) -> dict[str, Any] | None:
        """Return the verdict that a duet was given when it was made, or None where there is none."""
        path = self.folder / VERDICT
        return _read_object(path) if path.exists() else None

    def companions(self) -> list[dict[str, Any]]:
        """Return what a duet's variants did besides taking time: by side, one entry a block."""
        path = self.folder / COMPANIONS
        document = _read_json(path)
        if not isinstance(document, list) or not all(isinstance(block, dict) for block in document):
            raise StoreError(f"{path} is damaged: it holds no list of blocks", mend=_RESTORE)
        return document

    def asked(self) -> dict[str, Any]:
        """Return which statements each endpoint asks for; empty where nobody looked."""
        path = self.folder / ASKED
        return _read_object(path) if path.exists() else {}

    def plans(self) -> dict[str, Any]:
        """Return the captured matrix of plans; it has no plans where there was no database to ask."""
        return _read_object(self.folder / "plans.json")

    def server_log(self) -> str:
        """Return what the database said during the run; nothing where it was not the lab's own."""
        path = self.folder / "postgres.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")
_RESTORE = "restore the folder from a copy, or delete the run"
_MISSHAPEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_RECORD = "an older version may have made it: record a new run"
_ADDED = frozenset({"beside", "cache_trace", "service"})
"""Tables that runs of the first versions lack."""


_MAKES: Mapping[Kind, str] = {
    "load": "adx-lab load",
    "climb": "adx-lab load steps",
    "duet": "adx-lab duet HEAD .",
}


def open_run(runs_dir: Path, run_id: str, *kinds: Kind) -> StoredRun:
    """Open a stored run by its id, by an unambiguous beginning of it, or by ``latest``.

    ``latest`` is the newest of these kinds that can be read: a stray or damaged folder stands in nobody's
    way.

    Raises
    ------
    UsageError
        There is none of that name, there are several, or it is of another kind.
    StoreError
        It is damaged, or was made by a newer version.
    """
    if run_id == "latest":
        return _latest(runs_dir, kinds)
    folder = runs_dir / named(run_ids(runs_dir), run_id, runs_dir)
    record = _record(folder)
    if record.run_id != folder.name:
        raise StoreError(f"{folder / 'run.json'} is that of run {record.run_id}", mend=_RESTORE)
    if kinds and record.kind not in kinds:
        raise UsageError(
            f"run {run_id} is a {record.kind}, not a {' or a '.join(kinds)}",
            mend=f"{_MAKES[kinds[0]]} makes one",
        )
    return StoredRun(record, folder)


@contextmanager
def judging(run: StoredRun) -> Iterator[None]:
    """Let what can't be computed from a stored run be one line that names the run.

    Raises
    ------
    StoreError
        Something of it has another shape than it was written with.
    """
    try:
        yield
    except _MISSHAPEN as error:
        raise StoreError(
            f"run {run.record.run_id} can't be judged: {type(error).__name__}: {error}",
            mend=f"{_RESTORE}; if nobody touched it, it is a fault of ADX Lab, and --debug shows where",
        ) from error


def runs_naming(runs_dir: Path, text: str) -> list[str]:
    """Return the ids of runs whose record holds a text, oldest first: few of thousands are read whole."""
    found = []
    for run_id in run_ids(runs_dir):
        with suppress(OSError):  # damaged: whoever opens it is told
            if text.encode() in (runs_dir / run_id / "run.json").read_bytes():
                found.append(run_id)
    return found


def open_folder(folder: Path) -> StoredRun:
    """Open a run by its folder, one that has not got its name yet too.

    Raises
    ------
    StoreError
        It is damaged, or was made by a newer version.
    """
    return StoredRun(_record(folder), folder)


def run_ids(runs_dir: Path) -> list[str]:
    """Return the ids of all runs, oldest first; what else lies beside them is none."""
    try:
        with os.scandir(runs_dir) as entries:
            return sorted(entry.name for entry in entries if _is_run(entry))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"{runs_dir} can't be read: {error.strerror}", mend="mend the rights") from error


def _is_run(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or not entry.is_dir():
        return False
    return is_run_id(entry.name) or os.path.exists(f"{entry.path}/{RECORD}")  # noqa: PTH110


def is_run_id(name: str) -> bool:
    """Tell whether a name has the form of a run's id."""
    return _ID.fullmatch(name) is not None


def named(ids: Sequence[str], run_id: str, where: object) -> str:
    """Return the one of some ids that is named, whole or by an unambiguous beginning.

    Raises
    ------
    UsageError
        There is none ``where`` they are, or there are several.
    """
    matches = [run_id] if run_id in ids else [name for name in ids if run_id and name.startswith(run_id)]
    if not matches:
        mend = "adx-lab runs list shows what there is"
        raise UsageError(f"there is no run {run_id or 'without a name'} in {where}", mend=mend)
    if len(matches) > 1:
        raise UsageError(
            f"{run_id} names {len(matches)} runs", mend=f"say more of it: {', '.join(matches[:3])}"
        )
    return matches[0]


def _latest(runs_dir: Path, kinds: tuple[Kind, ...]) -> StoredRun:
    first: StoreError | None = None
    for run_id in reversed(run_ids(runs_dir)):
        try:
            run = open_run(runs_dir, run_id)
            if not kinds or run.record.kind in kinds:
                return run
        except StoreError as error:
            first = first or error
    if first is not None:
        raise first
    what = " or ".join(kinds) or "run"
    raise UsageError(
        f"there is no {what} in {runs_dir} yet", mend=f"{_MAKES[kinds[0] if kinds else 'load']} makes one"
    )


def delete_run_folder(runs_dir: Path, run_id: str) -> None:
    """Remove a run; renamed first, so that an interrupted removal leaves no half run under its name."""
    doomed = runs_dir / f".{run_id}.{os.getpid()}.deleted"
    try:
        (runs_dir / run_id).rename(doomed)
        sync(runs_dir)
        if doomed.is_symlink():  # what it points at is somebody else's
            doomed.unlink()
        else:
            shutil.rmtree(doomed)
    except FileNotFoundError:  # somebody else removes it just now
        return
    except OSError as error:
        raise StoreError(f"run {run_id} can't be removed: {error}", mend="mend the rights") from error


def _record(folder: Path) -> RunRecord:
    path = folder / RECORD
    return _checked(_read_object(path), folder.name, str(path))


def record_of(text: bytes, run_id: str, where: str) -> RunRecord:
    """Return the record that a run's ``run.json`` of another place holds.

    Raises
    ------
    StoreError
        It is damaged, or was made by a newer version.
    """
    try:
        return _checked(msgspec.json.decode(text, type=dict[str, Any]), run_id, where)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(f"{where} is damaged: {error}", mend=_RESTORE) from error


def _checked(document: dict[str, Any], run_id: str, where: str) -> RunRecord:
    made_by = document.get("format", 0)
    if isinstance(made_by, int) and made_by > FORMAT:
        raise StoreError(
            f"run {run_id} was made by a newer version (format {made_by}, known is {FORMAT})",
            mend="update ADX Lab",
        )
    try:
        record = read_record(document)
        began = datetime.fromisoformat(record.started_at)
    except (msgspec.ValidationError, ValueError) as error:
        raise StoreError(f"{where} is damaged: {error}", mend=_RESTORE) from error
    if began.tzinfo is None:
        raise StoreError(f"{where} is damaged: started_at has no time zone", mend=_RESTORE)
    return record


def _read_object(path: Path) -> dict[str, Any]:
    document = _read_json(path)
    if not isinstance(document, dict):
        raise StoreError(f"{path} is damaged: it holds no JSON object", mend=_RESTORE)
    return document


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing", mend=_RESTORE) from error
    except (ValueError, RecursionError, OSError) as error:
        raise StoreError(f"{path} is damaged: {error}", mend=_RESTORE) from error
