"""A store of very many nights, made by repeating one: ``python -m tests.store.many_nights HOME``.

HOME holds a night: its load, what else was measured that night, its report. Earlier nights are made of it,
each with a folder and a row of its own; the tables are links, so that a thousand of them take little room.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from adx_lab.records.run import new_run_id, read_record
from adx_lab.settings import Settings, read_settings
from adx_lab.store.folders import open_run, run_ids
from adx_lab.store.rows import RunStore, list_runs


def repeat_nights(settings: Settings, nights: int, *, seed: int = 1) -> None:
    """Make so many nights before the home's latest one, a day apart, their figures a little different."""
    opened = [open_run(settings.runs_dir, run_id) for run_id in run_ids(settings.runs_dir)]
    load = next(run for run in reversed(opened) if run.record.purpose == "nightly")
    own = load.record.run_id
    family = [own, *(run.record.run_id for run in opened if run.record.night == own)]
    rows = {row["run_id"]: row for row in list_runs(settings).rows}
    store, draw = RunStore(settings), random.Random(seed)
    for back in range(nights, 0, -1):
        began = datetime.fromisoformat(load.record.started_at) - timedelta(days=back)
        night = new_run_id(began)
        for number, run_id in enumerate(family):
            at = began + timedelta(minutes=number)
            made = night if run_id == own else new_run_id(at)
            told = {"run_id": made, "started_at": at.isoformat(), "night": None if run_id == own else night}
            document = _repeat_folder(settings.runs_dir / run_id, settings.runs_dir / made, told)
            figures = {
                name: value and value * draw.uniform(0.95, 1.05)
                for name, value in rows[run_id]["figures"].items()
            }
            store.save(read_record(document), status=rows[run_id]["status"], figures=figures)
        _repeat_line(settings.reports_dir / own, settings.reports_dir / night, night, began)
    store.close()


def _repeat_folder(source: Path, made: Path, told: dict[str, Any]) -> dict[str, Any]:
    made.mkdir()
    for path in source.iterdir():
        if path.name != "run.json":
            os.link(path, made / path.name)
    document: dict[str, Any] = json.loads((source / "run.json").read_text()) | told
    (made / "run.json").write_text(json.dumps(document))
    return document


def _repeat_line(source: Path, made: Path, night: str, began: datetime) -> None:
    made.mkdir()
    line = json.loads((source / "night.json").read_text())
    (made / "night.json").write_text(json.dumps(line | {"run_id": night, "started_at": began.isoformat()}))


def main() -> None:
    """Repeat the latest night of a home."""
    parser = argparse.ArgumentParser(prog="python -m tests.store.many_nights", description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--nights", type=int, default=1000)
    asked = parser.parse_args()
    repeat_nights(read_settings({"ADX_LAB_HOME": str(asked.home.resolve())}), asked.nights)


if __name__ == "__main__":
    main()
