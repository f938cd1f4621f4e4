"""The index over all reports: each night in a line, and the trend of each budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec

from adx_lab.analysis.verdict import Verdict
from adx_lab.errors import StoreError
from adx_lab.files import make_private_folder, write_whole
from adx_lab.records.documents import to_json
from adx_lab.records.run import RunRecord
from adx_lab.report.nights.night_series import NightSeries
from adx_lab.report.nights.trend_figures import budgets_over_nights
from adx_lab.report.page.answer import FirstScreen
from adx_lab.report.page.assets import copy_script, environment
from adx_lab.report.page.blocks.block import Section
from adx_lab.report.parts.table import Cell, Column, Table
from adx_lab.secrecy import scrub
from adx_lab.settings import Settings

NIGHT = "night.json"


@dataclass(frozen=True, slots=True)
class NightLine:
    """One report in the index."""

    run_id: str
    started_at: str
    scenario: str
    commit: str
    status: str
    summary: str
    kind: str = "night"


def write_line(folder: Path, record: RunRecord, verdict: Verdict, answer: FirstScreen) -> None:
    """Write what the index needs into a report's folder."""
    first = answer.told[0] if answer.told and verdict.status == "regressed" else None
    summary = answer.headline if first is None else f"{first.subject}: {first.size}. {first.cause}"
    line = NightLine(
        run_id=record.run_id,
        started_at=record.started_at,
        scenario=record.scenario,
        commit=f"{record.git.commit or 'unknown'}"[:10],
        status=verdict.status,
        summary=summary,
        kind=record.purpose,
    )
    write_whole(folder / NIGHT, scrub(to_json(asdict(line), indent=2)) + "\n")


def write_index(settings: Settings) -> Path:
    """Write the index of all reports and return its path.

    Raises
    ------
    StoreError
        The folder can't be written, or the run store can't be read.
    """
    nights = read_lines(settings.reports_dir)
    page = environment().get_template("nights.html.j2")
    text = page.render(
        nights=nights_table(nights[::-1]), count=len(nights), sections=_trends(settings, nights)
    )
    index = settings.reports_dir / "index.html"
    try:
        copy_script(make_private_folder(settings.reports_dir))
        write_whole(index, scrub(text))
    except OSError as error:
        raise StoreError(f"{index} can't be written: {error.strerror}", mend="free some space") from error
    return index


def nights_table(nights: Sequence[NightLine]) -> Table:
    """Return the reports, each a link to its page."""
    columns = (
        *(Column("started"), Column("verdict", kind="status"), Column("in one line"), Column("kind")),
        *(Column("scenario"), Column("commit", kind="code")),
    )
    rows = (
        (
            Cell(night.started_at, night.started_at[:16].replace("T", " "), f"{night.run_id}/index.html"),
            *(night.status, night.summary, night.kind, night.scenario, night.commit),
        )
        for night in nights
    )
    return Table(columns, tuple(rows))


def read_lines(reports_dir: Path) -> list[NightLine]:
    """Return a line for each whole report, oldest first; one that can't be read says so itself."""
    return [_read(path) for path in sorted(reports_dir.glob(f"[!.]*/{NIGHT}"))]


def _trends(settings: Settings, nights: Sequence[NightLine]) -> list[Section]:
    """Return the trend of each budget, one picture a scenario: loads of two scenarios do not compare."""
    histories = [NightSeries(settings, name) for name in sorted({night.scenario for night in nights})]
    return [
        Section(
            f"trends-{history.scenario}",
            f"How much of each budget is used: {history.scenario}",
            (budgets_over_nights(history),),
            _NOTE,
        )
        for history in histories
        if history.budgets
    ]


_NOTE = "Loads without a report count, too. Of several queries under one budget the worst counts."


def _read(path: Path) -> NightLine:
    try:
        line = msgspec.json.decode(path.read_bytes(), type=NightLine)
        return replace(line, run_id=path.parent.name)
    except (msgspec.MsgspecError, OSError) as error:
        summary = f"this report's {NIGHT} is damaged: {error}"
        return NightLine(path.parent.name, path.parent.name, "–", "–", "invalid", summary)
