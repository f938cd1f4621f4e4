"""A duet's verdict as lines on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from adx_lab.analysis.verdict import Verdict
from adx_lab.cli.console import print_table
from adx_lab.records import Caveat
from adx_lab.report.comparison_table import comparisons
from adx_lab.report.verdict_words import calibration_line


def print_duet(verdict: Verdict, caveats: Sequence[Caveat] = ()) -> None:
    """Print the comparisons, the findings, and what the verdict is worth."""
    if verdict.comparisons:
        table = comparisons(verdict.comparisons)
        print_table(table.header, table.rows)
        print()
    for finding in verdict.findings:
        share = "" if finding.share is None else f" ({finding.share:.0%} of the added time)"
        print(f"finding  {finding.kind}: {finding.cause}{share}")
    for caveat in caveats:
        print(f"caveat   {caveat.text}")
    print(f"machine  {calibration_line(verdict.calibration)}")
    print(f"verdict  {verdict.status}")
    print(f"run      {verdict.run_id}")
