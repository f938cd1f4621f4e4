"""The rows of the run store as a table; apart from the series, whose statistics take seconds to import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adx_lab.report.parts.table import Column, Table


def stored_runs(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return rows of the run store: what each was, of what, and what became of it."""
    columns = (
        *(Column("run", kind="code", key="run_id"), Column("kind"), Column("scenario"), Column("started")),
        *(Column("duration", "s", "number"), Column("commit", kind="code"), Column("status", kind="status")),
    )
    shown = (
        (
            *(row["run_id"], row["kind"], row["scenario"], row["started_at"][:19].replace("T", " ")),
            *(row["duration_s"], (row["commit_id"] or "unknown")[:10], row["status"] or "not judged"),
        )
        for row in rows
    )
    return Table(columns, tuple(shown))
