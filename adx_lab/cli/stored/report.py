"""``adx-lab report RUN``."""

from __future__ import annotations

import asyncio
from pathlib import Path

from adx_lab.cli.checks import check_writable
from adx_lab.cli.console import ConsoleProgress, print_json
from adx_lab.settings import read_settings


def run(run_id: str = "latest", /, *, single: Path | None = None, json: bool = False) -> int:
    """Make the page of any stored run again; nothing is measured.

    Parameters
    ----------
    run_id
        The run's id, an unambiguous beginning of it, or ``latest``.
    single
        Write one file instead that can be mailed: all but the notebooks.
    json
        Print the verdict as one JSON document.
    """
    check_writable("--single", single)
    from adx_lab.cli.verdict_text import print_report
    from adx_lab.conduct.nights import pages
    from adx_lab.report.page.night_report import write_single
    from adx_lab.store.folders import judging
    from adx_lab.store.shared import find_run

    settings = read_settings()
    stored = find_run(settings, run_id)
    if single is not None:
        with judging(stored):
            contents = pages.contents_of(settings, stored)
            verdict = contents.decide([], str(single))
            write_single(single, contents, verdict)
        print(single)
        return verdict.exit_code
    made = asyncio.run(pages.report(settings, stored, ConsoleProgress()))
    if json:
        print_json(made.verdict.to_json())
    else:
        print_report(made)
    return made.verdict.exit_code
