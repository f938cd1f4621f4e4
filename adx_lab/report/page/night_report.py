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
from adx_lab.report.page.answer import FirstScreen, answer_of
from adx_lab.report.page.assets import copy_script, environment
from adx_lab.report.page.blocks.block import Section
from adx_lab.report.page.blocks.endpoints import endpoint_blocks
from adx_lab.report.page.blocks.queries import query_blocks
from adx_lab.report.page.exports import DOWNLOADS, write_exports
from adx_lab.report.page.index import write_line
from adx_lab.report.page.measured_night import Contents
from adx_lab.report.page.sections import calibration_note, comparison_blocks, observing_note, sections_of
from adx_lab.report.page.verdict_words import summarise_verdict
from adx_lab.report.parts.script import packed_script
from adx_lab.report.parts.words import TERMS
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
    answer: FirstScreen


@dataclass(frozen=True, slots=True)
class NotebookOrder:
    """A notebook of the report and its parameters."""

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
        answer = answer_of(contents, verdict)
        await asyncio.to_thread(_write, partial, contents, verdict, outcomes)
        await asyncio.to_thread(_put_in_place, partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Report(verdict, folder / "index.html", summarise_verdict(verdict), answer)


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
                order.parameters,
                cell_timeout_s=settings.notebook.cell_timeout_s,
                log=settings.data_dir / "logs" / f"{order.name}.log",
                home=settings.home_dir,
            )
        done += 1
        progress.advance("notebooks", done, len(orders), "executed")
        return outcome

    return list(await asyncio.gather(*(execute(order) for order in orders)))


def _write(folder: Path, contents: Contents, verdict: Verdict, outcomes: list[NotebookOutcome]) -> None:
    templates = environment(depth=1)
    copy_script(folder.parent)
    for outcome in outcomes:
        others = [other.name for other in outcomes if other is not outcome]
        page = templates.get_template("notebook.html.j2").render(
            name=outcome.name, run_id=verdict.run_id, outcome=outcome, body=outcome.body, others=others
        )
        _write_page(folder / f"{outcome.name}.html", page)
    exported = write_exports(folder, contents, verdict)
    answer = answer_of(contents, verdict)
    write_line(folder, contents.record, verdict, answer)
    blocks = _blocks(contents, verdict)
    for name, (title, own) in blocks.items():
        page = templates.get_template("blocks.html.j2").render(
            title=title, blocks=own, record=contents.record
        )
        _write_page(folder / name, page)
    shown = _index(contents, verdict, answer) | {
        "notebooks": outcomes,
        "downloads": {name: DOWNLOADS[name] for name in exported},
        "pages": {name: title for name, (title, _) in blocks.items()},
    }
    page = templates.get_template("index.html.j2").render(**shown)
    _write_page(folder / "index.html", page)


def _write_page(file: Path, page: str) -> None:
    # A name may hold half a character, which no encoding has: it is shown as its number.
    file.write_text(page, encoding="utf-8", errors="backslashreplace")


def write_single(file: Path, contents: Contents, verdict: Verdict) -> None:
    """Write everything but the notebooks as one file that can be mailed.

    Raises
    ------
    StoreError
        The file can't be written.
    """
    blocks = _blocks(contents, verdict)
    shown = _index(contents, verdict, answer_of(contents, verdict)) | {
        "single": True,
        "plotly_inline": packed_script(),
        "notebooks": [],
        "downloads": {},
        "pages": {},
        "singles": list(blocks.values()),
    }
    page = environment().get_template("index.html.j2").render(**shown)
    for name in ("index.html", *blocks):
        page = page.replace(f'href="{name}#', 'href="#')
    try:
        _write_page(file, page)
    except OSError as error:
        raise StoreError(f"{file} can't be written: {error.strerror}", mend="name another file") from error


def _blocks(contents: Contents, verdict: Verdict) -> dict[str, tuple[str, list[Section]]]:
    """Return the pages of blocks: their titles and their blocks by file name."""
    found = {
        "endpoints.html": ("Each endpoint", endpoint_blocks(contents, verdict)),
        "queries.html": ("Each query", query_blocks(contents)),
        "comparisons.html": ("Each comparison", comparison_blocks(contents)),
    }
    return {name: (title, blocks) for name, (title, blocks) in found.items() if blocks}


def _index(contents: Contents, verdict: Verdict, answer: FirstScreen) -> dict[str, Any]:
    """Return what the first page shows."""
    compared = contents.compared
    requests = 0 if compared is None or compared.duel is None else len(compared.duel.samples)
    return {
        "verdict": verdict,
        "answer": answer,
        "record": contents.record,
        "requests": requests,
        "folder": contents.run.folder,
        "stopped": contents.stopped,
        "compared": compared,
        "unplayed": contents.unplayed,
        "sections": sections_of(contents, verdict, answer),
        "caveats": contents.caveats(),
        "calibration_note": calibration_note(verdict),
        "observing_note": observing_note(contents.record),
        "terms": TERMS,
    }
