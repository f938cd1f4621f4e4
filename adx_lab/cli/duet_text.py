"""A duet's verdict as lines on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from adx_lab.analysis.compare import Comparison
from adx_lab.analysis.verdict import Calibration, Verdict
from adx_lab.cli.console import print_table
from adx_lab.records import Caveat

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


def calibration_line(known: Calibration | None) -> str:
    """Return in one line what this machine's verdicts are worth."""
    if known is None:
        return "not calibrated: nobody knows yet what a verdict of this machine is worth (adx-lab calibrate)"
    parts = []
    if known.false_positive_rate is not None:
        parts.append(f"{known.false_positive_rate:.0%} false alarms in {known.n_equal} duets of equals")
    if known.power is not None:
        parts.append(f"{known.power:.0%} of {known.n_slowed} injected slowdowns found")
    if known.cause_named is not None:
        parts.append(f"{known.cause_named:.0%} of causes named right")
    if known.smallest_effect is not None:
        parts.append(f"smallest effect {known.smallest_effect:+.1%} at p50")
    return ", ".join(parts) or "no trial of it counts yet"


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
