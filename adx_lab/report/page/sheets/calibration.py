"""The page of a calibration: what this machine's verdicts are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adx_lab.analysis.verdict import Calibration
from adx_lab.report.page.assets import write_sheet
from adx_lab.report.page.blocks.block import Section
from adx_lab.report.page.verdict_words import calibration_line
from adx_lab.report.parts.table import Column, Table
from adx_lab.settings import Settings

PAGE = "calibration.html"

_COLUMNS = (
    *(Column("kind"), Column("trial"), Column("trials", kind="number"), Column("invalid", kind="number")),
    *(Column("found", kind="number"), Column("cause right", kind="number"), Column("causes named")),
    Column("at most", "s", "number"),
)


def trials_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return each kind of trial, how often it was played, and what was found."""
    shown = (
        (
            *(row["kind"], row["name"], row["trials"], row["invalid"], row["found"], row["cause_right"]),
            *(", ".join(row["causes"]) or None, row["seconds_max"]),
        )
        for row in rows
    )
    return Table(_COLUMNS, tuple(shown))


def write_calibration(settings: Settings, known: Calibration, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write the page of the whole ledger, and return where it is.

    Raises
    ------
    StoreError
        It can't be written.
    """
    sections = [Section("trials", "The trials", (trials_table(rows),))] if rows else []
    line = calibration_line(known)
    return write_sheet(settings, PAGE, "what this machine's verdicts are worth", f"{line}.", sections)
