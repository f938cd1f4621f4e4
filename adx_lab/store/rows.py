"""The run store: one row a run with its figures, in SQLite or, for a team, in PostgreSQL.

The folder is the evidence; the row is what is searched and what the history is drawn from. A row without a
folder can still be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from adx_lab.records.run import RunRecord, to_json
from adx_lab.store.engine import StoreDatabase

_METADATA = sa.MetaData()
_RUNS = sa.Table(
    "runs",
    _METADATA,
    sa.Column("run_id", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("scenario", sa.String(128), nullable=False),
    sa.Column("started_at", sa.String(40), nullable=False),
    sa.Column("duration_s", sa.Float, nullable=False),
    sa.Column("commit_id", sa.String(64)),
    sa.Column("status", sa.String(16)),
    sa.Column("figures", sa.Text, nullable=False),  # JSON: name to number
)


class RunStore(StoreDatabase):
    """The table of runs at a SQLAlchemy URL.

    Raises
    ------
    UsageError
        The URL is no database's, or its driver is not installed.
    StoreError
        The store can't be opened.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, _METADATA)

    def save(self, record: RunRecord, *, status: str | None, figures: Mapping[str, float | None]) -> None:
        """Insert a run's row, or replace it (a report made again has new figures)."""
        row = {
            "run_id": record.run_id,
            "kind": record.kind,
            "scenario": record.scenario,
            "started_at": record.started_at,
            "duration_s": record.duration_s,
            "commit_id": record.git.get("commit"),
            "status": status,
            "figures": to_json(figures),
        }
        with self._guarded(), self._engine.begin() as connection:
            connection.execute(sa.delete(_RUNS).where(_RUNS.c.run_id == record.run_id))
            connection.execute(sa.insert(_RUNS).values(row))

    def list(self) -> list[dict[str, Any]]:
        """Return all rows, oldest first."""
        with self._guarded(), self._engine.connect() as connection:
            rows = connection.execute(sa.select(_RUNS).order_by(_RUNS.c.run_id)).mappings()
            return [{**row, "figures": json.loads(row["figures"])} for row in rows]

    def delete(self, run_id: str) -> None:
        """Remove a run's row; removing one that isn't there is no fault."""
        with self._guarded(), self._engine.begin() as connection:
            connection.execute(sa.delete(_RUNS).where(_RUNS.c.run_id == run_id))


def stored_rows(url: str) -> list[dict[str, Any]]:
    """Return all rows of the run store at a SQLAlchemy URL, oldest first; see `RunStore`."""
    store = RunStore(url)
    try:
        return store.list()
    finally:
        store.close()
