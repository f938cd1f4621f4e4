"""A duet's verdict as lines on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from adx_lab.analysis.compare import Comparison
from adx_lab.analysis.verdict import Verdict
from adx_lab.cli.console import print_table
from adx_lab.records import Caveat
from adx_lab.report.verdict_words import calibration_line

_HEADER = ("subject", "metric", "ratio", "interval", "p", "status", "would have seen")


def print_duet(verdict: Verdict, caveats: Sequence[Caveat] = ()) -> None:
    """Print the comparisons, the findings, and what the verdict is worth."""
    if verdict.comparisons:
        print_table(_HEADER, [_row(one) for one in verdict.comparisons])
        print()
    for finding in verdict.findings:
        share = "" if finding.share is None else f" ({finding.share:.0%} of the added time)"
        print(f"finding  {finding.kind}: {finding.cause}{share}")
    for caveat in caveats:
        print(f"caveat   {caveat.text}")
    print(f"machine  {calibration_line(verdict.calibration)}")
    print(f"verdict  {verdict.status}")
    print(f"run      {verdict.run_id}")


def _row(one: Comparison) -> tuple[str, ...]:
    if one.ratio is None or one.low is None or one.high is None:
        return (one.subject, one.metric, "-", "-", "-", one.status, "-")
    seen = "-" if one.smallest_effect_seen is None else f"{one.smallest_effect_seen:+.1%}"
    return (
        one.subject,
        one.metric,
        f"{one.ratio - 1:+.1%}",
        f"[{one.low - 1:+.1%}, {one.high - 1:+.1%}]",
        f"{one.p:.4f}",
        one.status,
        seen,
    )
