"""A duet's verdict as lines on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adx_lab.analysis.duet.block_ratios import ALL
from adx_lab.analysis.duet.companions import Companion
from adx_lab.cli.console import print_next, print_status, print_table
from adx_lab.cli.verdict_text import print_answer
from adx_lab.conduct.duet.judge import DuetAnswer
from adx_lab.records.run import Caveat
from adx_lab.report.duet.comparison_tables import comparisons
from adx_lab.report.page.night_report import Report
from adx_lab.report.page.verdict_words import calibration_line
from adx_lab.report.parts.table import Column, Table
from adx_lab.report.parts.words import subject_words

_MOVED = 0.1
_BESIDES = (
    *(Column("besides time"), Column("figure")),
    *(Column("base", kind="number"), Column("head", kind="number")),
)


def print_duet(answer: DuetAnswer, caveats: Sequence[Caveat] = (), page: Report | None = None) -> None:
    """Print the comparisons, the companions, what was found and what it is worth, and where the page is."""
    verdict = answer.verdict
    if verdict.comparisons:
        print_table(comparisons(verdict.comparisons))
        print()
    moved = [row for one in answer.companions if (row := _companion(one)) is not None]
    if moved:
        print_table(Table(_BESIDES, tuple(moved)))
        print()
    if page is not None:
        print_answer(page.answer)
    else:
        for finding in verdict.findings:
            share = "" if finding.share is None else f" ({finding.share:.0%} of the added time)"
            print(f"finding  {finding.kind}: {finding.cause}{share}")
    for caveat in caveats:
        print(f"caveat   {caveat.text}")
    print(f"machine  {calibration_line(verdict.calibration)}")
    print_status("verdict", verdict.status)
    print(f"run      {verdict.run_id}")
    if page is not None:
        print(f"page     {page.index}")
        print_next(page.answer.next_words())


def _companion(one: Companion) -> tuple[Any, ...] | None:
    """Return a companion's row: those of the service always, others where they moved by a tenth."""
    base, head = one.base or 0.0, one.head or 0.0
    if one.subject != ALL and abs(head - base) <= _MOVED * max(abs(base), abs(head)):
        return None
    return (subject_words(one.subject), one.figure, one.base, one.head)
