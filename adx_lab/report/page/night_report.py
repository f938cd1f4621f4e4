"""The report: a folder that opens without a network, its verdict first."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adx_lab.analysis.verdict import Verdict
from adx_lab.errors import StoreError, UsageError
from adx_lab.files import make_private_folder, seal, sweep, sync
from adx_lab.progress import Progress
from adx_lab.report.notebooks.execute import NotebookOutcome, execute_notebook
from adx_lab.report.page.assets import copy_script, environment
from adx_lab.report.page.exports import DOWNLOADS, write_exports
from adx_lab.report.page.index import write_line
from adx_lab.report.page.measured_night import Contents
from adx_lab.report.page.sections import calibration_note, observing_note, sections_of
from adx_lab.report.page.verdict_words import summarise_verdict
from adx_lab.secrecy import scrub_files
from adx_lab.settings import Settings

_AT_ONCE = 2
"""Notebooks: each has a kernel, and a kernel that starts fills a core."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written."""

    verdict: Verdict
    index: Path
    summary: str


@dataclass(frozen=True, slots=True)
class NotebookOrder:
    """A notebook of the report and its parameters; ``home`` is added."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)


async def make_report(
    settings: Settings, contents: Contents, notebooks: Sequence[NotebookOrder], progress: Progress
) -> Report:
    """Execute the notebooks, decide, and write the report's folder; it appears whole or not at all."""
    folder = settings.reports_dir / contents.run_id
    partial = settings.reports_dir / f".{contents.run_id}.{os.getpid()}.partial"
    _make_folder(partial)
    try:
        outcomes = await _execute_all(settings, notebooks, partial, progress)
        progress.step("judging and writing the report")
        verdict = contents.decide(outcomes, str(folder / "index.html"))
        summary = await asyncio.to_thread(_write, partial, contents, verdict, outcomes)
        await asyncio.to_thread(_put_in_place, partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Report(verdict, folder / "index.html", summary)


def _make_folder(folder: Path) -> None:
    try:
        make_private_folder(folder.parent)
        sweep(folder.parent)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise StoreError(f"the report can't be written to {folder.parent}: {error.strerror}") from error


def _put_in_place(partial: Path, folder: Path) -> None:
    """Let the new report take the old one's place; at every moment one of the two is there, whole."""
    scrub_files(partial)
    seal(partial)
    former = folder.with_name(f".{folder.name}.{os.getpid()}.deleted")
    if folder.exists():
        folder.rename(former)
    partial.rename(folder)
    sync(folder.parent)
    shutil.rmtree(former, ignore_errors=True)


async def _execute_all(
    settings: Settings, orders: Sequence[NotebookOrder], folder: Path, progress: Progress
) -> list[NotebookOutcome]:
    sources = {order.name: settings.notebooks_dir / f"{order.name}.ipynb" for order in orders}
    for source in sources.values():
        if not source.is_file():
            raise UsageError(f"there is no notebook {source}", mend="restore it")
    turns, done = asyncio.Semaphore(_AT_ONCE), 0
    if orders:
        progress.step(f"executing {len(orders)} notebook{'s' if len(orders) > 1 else ''}")

    async def execute(order: NotebookOrder) -> NotebookOutcome:
        nonlocal done
        async with turns:
            outcome = await execute_notebook(
                sources[order.name],
                folder / f"{order.name}.ipynb",
                order.parameters | {"home": str(settings.home_dir)},
                cell_timeout_s=settings.notebook.cell_timeout_s,
                log=folder / f"{order.name}.log",
            )
        done += 1
        progress.advance("notebooks", done, len(orders), "executed")
        return outcome

    return list(await asyncio.gather(*(execute(order) for order in orders)))


def _write(folder: Path, contents: Contents, verdict: Verdict, outcomes: list[NotebookOutcome]) -> str:
    templates = environment()
    copy_script(folder)
    for outcome in outcomes:
        page = templates.get_template("notebook.html.j2").render(
            name=outcome.name, run_id=verdict.run_id, outcome=outcome, body=outcome.body
        )
        (folder / f"{outcome.name}.html").write_text(page, encoding="utf-8")
    exported = write_exports(folder, contents, verdict)
    summary = summarise_verdict(verdict)
    write_line(folder, contents.judgement.record, verdict, summary)
    page = templates.get_template("index.html.j2").render(
        verdict=verdict,
        record=contents.judgement.record,
        folder=contents.judgement.run.folder,
        summary=summary,
        stopped=contents.stopped,
        compared=contents.compared,
        unplayed=contents.unplayed,
        notebooks=outcomes,
        sections=sections_of(contents, verdict),
        downloads={name: DOWNLOADS[name] for name in exported},
        caveats=contents.caveats(),
        calibration_note=calibration_note(verdict),
        observing_note=observing_note(contents.judgement.record),
    )
    (folder / "index.html").write_text(page, encoding="utf-8")
    return summary
