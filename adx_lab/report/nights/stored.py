"""The rows of the run store as a table; apart from the series, whose statistics take seconds to import."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from adx_lab.report.parts.table import Column, Table

_COMMIT = re.compile(r"\b[0-9a-f]{40}\b")


def stored_runs(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return rows of the run store: what each was, of what, and what became of it."""
    columns = (
        *(Column("run", kind="code", key="run_id"), Column("kind"), Column("scenario")),
        *(Column("duration", "s", "number"), Column("status", kind="status")),
        *(Column("started", seen="machines"), Column("commit, or base → head", key="commit")),
    )
    shown = (
        (
            *(row["run_id"], row["kind"], row["scenario"], row["duration_s"]),
            *(row["status"] or "not judged", row["started_at"]),
            " → ".join(map(_short, row.get("variants") or (row["commit_id"] or "unknown",))),
        )
        for row in rows
    )
    return Table(columns, tuple(shown))


def _short(variant: str) -> str:
    return _COMMIT.sub(lambda found: found.group()[:10], variant)
