"""The index over all reports: each night in a line, and the trend of each budget."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from adx_lab.analysis.verdict import Verdict
from adx_lab.errors import StoreError
from adx_lab.records import RunRecord, to_json
from adx_lab.report.figures import Figure, cycle, styled
from adx_lab.report.format import number
from adx_lab.report.page import copy_script, environment
from adx_lab.report.sections import Section

NIGHT = "night.json"
_DATE = 16  # of an ISO timestamp: as far as the minutes


@dataclass(frozen=True, slots=True)
class NightLine:
    """One report in the index.

    Attributes
    ----------
    budgets
        The worst value of each budget as a share of its limit; above 1 is broken.
    """

    run_id: str
    started_at: str
    scenario: str
    commit: str
    status: str
    summary: str
    budgets: Mapping[str, float]


def write_line(folder: Path, record: RunRecord, verdict: Verdict, summary: str) -> None:
    """Write what the index needs into a report's folder."""
    line = NightLine(
        run_id=record.run_id,
        started_at=record.started_at,
        scenario=record.scenario,
        commit=f"{record.git.get('commit') or 'unknown'}"[:10],
        status=verdict.status,
        summary=summary,
        budgets=_used(verdict),
    )
    (folder / NIGHT).write_text(to_json(asdict(line), indent=2) + "\n", encoding="utf-8")


def write_index(reports_dir: Path) -> Path:
    """Write the index of all reports and return its path.

    Raises
    ------
    StoreError
        The folder can't be written.
    """
    nights = read_lines(reports_dir)
    page = (
        environment().get_template("nights.html.j2").render(nights=nights[::-1], sections=_sections(nights))
    )
    index = reports_dir / "index.html"
    partial = reports_dir / f".index.{os.getpid()}.partial"
    try:
        copy_script(reports_dir)
        partial.write_text(page, encoding="utf-8")
        partial.replace(index)
    except OSError as error:
        raise StoreError(f"{index} can't be written: {error.strerror}", mend="free some space") from error
    return index


def read_lines(reports_dir: Path) -> list[NightLine]:
    """Return a line for each whole report, oldest first; one that can't be read says so itself."""
    return [_read(path) for path in sorted(reports_dir.glob(f"[!.]*/{NIGHT}"))]


def budget_trends(nights: Sequence[NightLine]) -> Figure:
    """Draw how much of its limit each budget used, night after night."""
    names = sorted({name for night in nights for name in night.budgets})
    plot = go.Figure()
    for name, colour in zip(names, cycle(len(names)), strict=True):
        own = [night for night in nights if name in night.budgets]
        plot.add_scatter(
            x=[night.started_at for night in own],
            y=[100 * night.budgets[name] for night in own],
            name=name,
            mode="lines+markers",
            line={"color": colour},
            hovertemplate="%{y:.0f}%<extra>%{fullData.name}</extra>",
        )
    plot.add_hline(y=100, line={"color": "#c23d4b", "dash": "dash", "width": 1.5})
    plot.update_yaxes(title="share of the limit used [%]", rangemode="tozero")
    plot.update_xaxes(title="night", type="date")
    return Figure(styled(plot), _trend_sentence(nights))


def _used(verdict: Verdict) -> dict[str, float]:
    used: dict[str, float] = {}
    for item in verdict.budgets:
        if item.value is None or not item.limit:
            continue
        share = item.value / item.limit if item.direction == "below" else item.limit / max(item.value, 1e-9)
        used[item.name] = max(used.get(item.name, 0.0), share)
    return used


def _sections(nights: Sequence[NightLine]) -> list[Section]:
    drawn = [night for night in nights if night.budgets]
    if not drawn:
        return []
    note = "Of several queries under one budget the worst counts. Above the dashed line it is broken."
    return [Section("trends", "How much of each budget is used", (budget_trends(drawn),), note)]


def _trend_sentence(nights: Sequence[NightLine]) -> str:
    latest = nights[-1]
    worst = max(latest.budgets, key=lambda name: latest.budgets[name])
    share = number(100 * latest.budgets[worst])
    return (
        f"The share of its limit that each budget used in {len(nights)} night"
        f"{'' if len(nights) == 1 else 's'}; the fullest in the latest, {latest.started_at[:_DATE]}, "
        f"is {worst} with {share}%."
    )


def _read(path: Path) -> NightLine:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return NightLine(**document)
    except (ValueError, TypeError, OSError) as error:
        summary = f"this report's {NIGHT} is damaged: {error}"
        return NightLine(path.parent.name, path.parent.name, "–", "–", "invalid", summary, {})
