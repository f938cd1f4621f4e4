"""A verdict in words: the one sentence on top, and what the machine's verdicts are worth."""

from __future__ import annotations

from adx_lab.analysis.verdict import Calibration, Verdict
from adx_lab.report.parts.table import Column, Table
from adx_lab.report.parts.words import trouble


def summarise_verdict(verdict: Verdict, *, validity: bool = True) -> str:
    """Return how the budgets and the comparison stand, and why the run can't be trusted."""
    broken = [trouble(check)[0] for check in verdict.validity if not check.ok]
    said = []
    if broken and validity:
        said.append(f"this run can't be trusted: {' and '.join(dict.fromkeys(broken))}")
    if verdict.budgets:
        said.append(_budgets(verdict))
    if verdict.comparisons:
        said.append(_comparisons(verdict))
    text = "; ".join(said) or "nothing was judged"
    return f"{text[0].upper()}{text[1:]}."


def verdict_line(verdict: Verdict) -> Table:
    """Return a verdict as a table of one row: what it is, of which run, why, and what it is worth."""
    columns = (
        *(Column("verdict", kind="status"), Column("run", kind="code", key="run_id")),
        *(Column("in words"), Column("this machine")),
    )
    words = (summarise_verdict(verdict), calibration_line(verdict.calibration))
    return Table(columns, ((verdict.status, verdict.run_id, *words),))


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


def _budgets(verdict: Verdict) -> str:
    counts = {
        status: sum(item.status == status for item in verdict.budgets)
        for status in ("pass", "fail", "undecided")
    }
    said = f"{counts['pass']} of {len(verdict.budgets)} budgets are kept"
    if counts["fail"]:
        said += f", {counts['fail']} broken"
    if counts["undecided"]:
        said += f", {counts['undecided']} can't be told from this run"
    return said


def _comparisons(verdict: Verdict) -> str:
    slower = {one.subject for one in verdict.comparisons if one.status == "slower" and one.subject != "all"}
    unclear = {one.subject for one in verdict.comparisons if one.gate and one.open and one.subject != "all"}
    told = len({one.subject for one in verdict.comparisons if one.subject != "all"})
    if slower:
        return f"{len(slower)} of {told} endpoints became slower"
    if unclear:
        return f"no endpoint is seen to be slower; of {len(unclear)} of {told} it can't be ruled out"
    return f"none of {told} endpoints became slower"
