"""The run store: one row a run with its figures, in SQLite or, for a team, in PostgreSQL.

The folder is the evidence; the row is what is searched and what the history is drawn from. A row without a
folder can still be read, and a folder without a row is still listed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from adx_lab.errors import StoreError, UsageError
from adx_lab.records.documents import to_json
from adx_lab.records.run import RunRecord
from adx_lab.settings import Settings
from adx_lab.store.engine import StoreDatabase
from adx_lab.store.folders import open_run, run_ids
from adx_lab.store.shared import AwayError, SharedRuns, owed, shared_runs
from adx_lab.store.tables import RUNS

OLDER = {"service": "adx-core", "environment": "local"}
"""What rows are of that do not say it."""

_ASKED_AT_ONCE = 16
_COMPARES = frozenset({"duet", "calibrate"})
"""Kinds of runs with two sides; ``calibrate`` stands in rows that are older than the typed audit."""


class RunStore(StoreDatabase):
    """The table of runs."""

    def save(self, record: RunRecord, *, status: str | None, figures: Mapping[str, float | None]) -> None:
        """Insert a run's row, or replace it (a report made again has new figures)."""
        row = _row(record) | {"status": status, "figures": to_json(figures)}
        self._keep(RUNS, row)

    def list(self) -> list[dict[str, Any]]:
        """Return all rows, oldest first."""
        return [_whole(row) for row in self._rows(RUNS)]

    def status(self, run_id: str) -> str | None:
        """Return the verdict that a run was given; None where it was given none."""
        return next((row["status"] for row in self.list() if row["run_id"] == run_id), None)

    def delete(self, run_id: str) -> None:
        """Remove a run's row; removing one that isn't there is no fault."""
        self._remove(RUNS, {"run_id": run_id})


@dataclass(frozen=True, slots=True)
class Listing:
    """Every run that there is.

    Attributes
    ----------
    rows
        Oldest first. A folder without a row is listed without figures, one that can't be read as damaged. Of
        duets ``variants`` names both sides; of other runs, and where it can't be told, it is empty.
    trouble
        What is wrong with the index, in one line each.
    """

    rows: tuple[dict[str, Any], ...]
    trouble: tuple[str, ...]


def list_runs(settings: Settings, *, everywhere: bool = False) -> Listing:
    """Return every run of a home: the rows, and the folders that have none.

    Parameters
    ----------
    everywhere
        Also look for runs without a row in the team's store, which takes its time.
    """
    store = RunStore(settings)
    try:
        rows = {row["run_id"]: row for row in store.list()}
    finally:
        store.close()
    bare = [run_id for run_id in run_ids(settings.runs_dir) if run_id not in rows]
    rows |= {run_id: _bare_row(run_id, _opened(settings, run_id)) for run_id in bare}
    trouble = [] if store.trouble is None else [store.trouble]
    if everywhere:
        found, told = _shared_rows(settings, rows)
        rows, bare, trouble = rows | found, [*bare, *found], trouble + told
    for row in rows.values():
        row["variants"] = _variants(settings, row)
    if bare:
        many = "run has" if len(bare) == 1 else "runs have"
        trouble.append(f"{len(bare)} {many} no row in the run store; adx-lab runs rebuild makes it")
    return Listing(tuple(rows[run_id] for run_id in sorted(rows)), tuple(trouble))


def stored_rows(settings: Settings) -> list[dict[str, Any]]:
    """Return the rows of the service that is described, in its environment, oldest first."""
    rows = list_runs(settings).rows
    return [row for row in rows if (row["service"], row["environment"]) == settings.key]


def _whole(row: Mapping[str, Any]) -> dict[str, Any]:
    named = {name: row.get(name) or value for name, value in OLDER.items()}
    return {**row, **named, "figures": _decoded(row["figures"], dict[str, float | None]) or {}}


def _decoded(text: str, kind: Any) -> Any:
    """Return what a column holds as JSON; None where somebody wrote something else into it."""
    try:
        return msgspec.convert(json.loads(text), kind)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None


def _variants(settings: Settings, row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["kind"] not in _COMPARES:
        return ()
    told: tuple[str, ...] | None = _decoded(row["variants"] or "", tuple[str, ...])
    if told is not None:
        return told
    try:  # an older row does not say it, but its folder does
        return open_run(settings.runs_dir, row["run_id"]).record.variants
    except (StoreError, UsageError):
        return ()


def _shared_rows(settings: Settings, known: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return rows for what is only in the team's store, and what is wrong between it and this home."""
    waiting = len(owed(settings))
    told = [f"{waiting} of the runs here are not in the team's store yet; adx-lab runs push"] * bool(waiting)
    try:
        shared = shared_runs(settings)
        if shared is None:
            return {}, told
        unknown = [run_id for run_id in shared.ids() if run_id not in known]
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
            rows = list(pool.map(partial(_shared_row, shared), unknown))
    except AwayError as error:
        return {}, [*told, str(error)]
    return {row["run_id"]: row for row in rows if row is not None}, told


def _shared_row(shared: SharedRuns, run_id: str) -> dict[str, Any] | None:
    try:
        record = shared.record(run_id)
    except AwayError:
        raise
    except StoreError:
        return _bare_row(run_id, None)
    return None if record is None else _bare_row(run_id, record)  # none yet: it is being put up


def _opened(settings: Settings, run_id: str) -> RunRecord | None:
    try:
        return open_run(settings.runs_dir, run_id).record
    except (StoreError, UsageError):
        return None


def _bare_row(run_id: str, record: RunRecord | None) -> dict[str, Any]:
    if record is not None:
        return _row(record) | {"status": None, "figures": {}}
    unknown = dict.fromkeys(("scenario", "started_at"), "-")
    row: dict[str, Any] = {"run_id": run_id, "kind": "damaged", **unknown, **OLDER}
    return row | dict.fromkeys(("duration_s", "commit_id", "status", "variants")) | {"figures": {}}


def _row(record: RunRecord) -> dict[str, Any]:
    return {
        "run_id": record.run_id,
        "kind": record.kind,
        "scenario": record.scenario,
        "started_at": record.started_at,
        "duration_s": record.duration_s,
        "commit_id": record.git.commit,
        "service": record.service,
        "environment": record.environment,
        "variants": to_json(record.variants),
    }
