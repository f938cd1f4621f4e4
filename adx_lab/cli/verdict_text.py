"""A verdict as lines on a terminal."""

from __future__ import annotations

from adx_lab.cli.console import print_table
from adx_lab.report.page.night_report import Report
from adx_lab.report.run.tables import budgets


def print_report(made: Report) -> None:
    """Print budgets, the verdict, the worst finding and where the page is."""
    verdict = made.verdict
    print_table(budgets(verdict.budgets))
    print()
    print(f"verdict  {verdict.status}: {made.summary}")
    worst = verdict.findings[0] if verdict.findings else None
    print(f"finding  {'none' if worst is None else f'{worst.subject}: {worst.cause}'}")
    print(f"report   {made.index}")
