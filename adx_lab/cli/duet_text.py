"""A duet's verdict as lines on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from adx_lab.analysis.duet.block_ratios import ALL
from adx_lab.analysis.duet.companions import Companion
from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.cli.console import print_next, print_status, print_table
from adx_lab.cli.verdict_text import print_answer
from adx_lab.conduct.duet.judge import DuetAnswer
from adx_lab.records.run import Caveat
from adx_lab.report.duet.comparison_tables import comparisons, telling
from adx_lab.report.page.night_report import Report
from adx_lab.report.page.verdict_words import calibration_line
from adx_lab.report.parts.table import Column, Table
from adx_lab.report.parts.words import figure_words, subject_words

_MOVED = 0.1
_ROWS_MAX = 20
_BESIDES = (
    *(Column("besides time"), Column("figure"), Column("base", kind="number")),
    *(Column("head", kind="number"), Column("unit")),
)


def print_duet(answer: DuetAnswer, caveats: Sequence[Caveat] = (), page: Report | None = None) -> None:
    """Print the comparisons, the companions, what was found and what it is worth, and where the page is."""
    verdict = answer.verdict
    if verdict.comparisons:
        _print_comparisons(verdict.comparisons)
        print()
    moved = [row for one in answer.companions if (row := _companion(one)) is not None][:_ROWS_MAX]
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


def _print_comparisons(found: Sequence[Comparison]) -> None:
    """Print what differs, and of the times what could not be told; the rest as a count."""
    shown = telling(found)[:_ROWS_MAX]
    print_table(comparisons(shown))
    rest = Counter(one.status for one in found) - Counter(one.status for one in shown)
    if rest:
        counted = ", ".join(f"{count} {status}" for status, count in rest.most_common())
        print(f"{rest.total()} more comparisons: {counted}; --json and the page have each")


def _companion(one: Companion) -> tuple[Any, ...] | None:
    """Return a companion's row: those of the service always, others where they moved by a tenth."""
    base, head = one.base or 0.0, one.head or 0.0
    if one.subject != ALL and abs(head - base) <= _MOVED * max(abs(base), abs(head)):
        return None
    figure, unit = figure_words(one.figure)
    return (subject_words(one.subject), figure, one.base, one.head, unit)
