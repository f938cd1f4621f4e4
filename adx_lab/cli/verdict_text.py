"""A verdict as lines on a terminal."""

from __future__ import annotations

from adx_lab.cli.console import print_next, print_status, print_table
from adx_lab.report.page.answer import FirstScreen
from adx_lab.report.page.night_report import Report
from adx_lab.report.run.tables import budgets


def print_report(made: Report) -> None:
    """Print budgets, what was found, the verdict, and where the page is."""
    verdict = made.verdict
    if verdict.budgets:
        print_table(budgets(verdict.budgets))
        print()
    print_answer(made.answer)
    print_status("verdict", verdict.status, f": {made.summary}")
    print(f"page     {made.index}")
    print_next(made.answer.next_words())


def print_answer(answer: FirstScreen) -> None:
    """Print each finding: what, how much, why, and what to do; and why nothing can be said."""
    for words, mend in answer.troubles:
        print(f"invalid  {words}; {mend}")
    # What an invalid run saw is no finding.
    name = "seen   " if answer.status == "invalid" else "finding"
    for one in answer.told:
        print(f"{name}  {one.subject}{': ' if one.size else ''}{one.size}")
        print(f"  cause  {one.cause}{f' ({one.share})' if one.share else ''}")
        if one.mend or one.advice:
            lines = [line for line in (one.advice, *one.mend.splitlines()) if line]
            print("\n         ".join([f"   mend  {lines[0]}", *lines[1:]]))
        for name, size in one.others:
            print(f"   also  {name}{': ' if size else ''}{size}")
    for unclear in answer.unclear:
        print(f"unclear  {unclear}")
    for warning in answer.warnings:
        print(f"note     {warning}")
