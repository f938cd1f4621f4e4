"""One answer from all the evidence: `invalid`, `regressed`, `undecided` or `pass`, in this order of weight.

A run that can't be trusted says nothing, not even that something is slow. Something slow outweighs something
unclear, and what is unclear is never passed. The answer is a function of its inputs alone: computed again
from the stored samples it is the same, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from adx_lab.analysis.finding import CREPT_IN, Finding
from adx_lab.analysis.run.audit import ValidityCheck
from adx_lab.analysis.run.deaths import service_died
from adx_lab.records.documents import to_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adx_lab.analysis.duet.comparison import Comparison
    from adx_lab.analysis.duet.gates import Coverage
    from adx_lab.analysis.run.budgets import BudgetResult

__all__ = ["EXIT_CODES", "Calibration", "Finding", "ValidityCheck", "Verdict", "VerdictStatus", "decide"]

VerdictStatus = Literal["pass", "regressed", "undecided", "invalid"]

EXIT_CODES: dict[VerdictStatus, int] = {"pass": 0, "regressed": 1, "undecided": 3, "invalid": 4}


@dataclass(frozen=True)
class Calibration:
    """What this machine's own trials say of its verdicts.

    Attributes
    ----------
    false_positive_rate : float or None
        Share of A/A duets that were called regressed; None before the first.
    power : float or None
        Share of injected slowdowns that were found.
    smallest_effect : float or None
        The slowdown at p50, a fraction, that is found nine times in ten.
    cause_named : float or None
        Share of the realistic slowdowns found whose first cause was the right one.
    n_equal, n_slowed : int
        How many trials of each kind stand behind these.
    """

    false_positive_rate: float | None
    power: float | None
    smallest_effect: float | None
    cause_named: float | None = None
    n_equal: int = 0
    n_slowed: int = 0


@dataclass(frozen=True)
class Verdict:
    """The answer with all it rests on; `to_json` is the form that machines read."""

    run_id: str
    status: VerdictStatus
    exit_code: int
    budgets: tuple[BudgetResult, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    coverage: Coverage | None = None
    findings: tuple[Finding, ...] = ()
    validity: tuple[ValidityCheck, ...] = ()
    calibration: Calibration | None = None
    report: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain fields in the order of the design; numbers that aren't finite become null."""
        plain: dict[str, Any] = to_plain(self)
        return plain


def decide(
    *,
    run_id: str,
    budgets: Sequence[BudgetResult] = (),
    comparisons: Sequence[Comparison] = (),
    coverage: Coverage | None = None,
    findings: Sequence[Finding] = (),
    validity: Sequence[ValidityCheck] = (),
    calibration: Calibration | None = None,
    report: str | None = None,
) -> Verdict:
    """Weigh everything into one verdict.

    - `invalid` when a validity check failed, whatever else was found;
    - `regressed` when the service died, a comparison is slower, a budget is broken or a slowdown crept in
      over the nights;
    - `undecided` when a budget is undecided, a comparison that the verdict waits for (its `gate`) can't rule
      out a slowdown that matters, or something that is known to be there was not judged;
    - `pass` otherwise. Where nothing was judged at all, nothing can pass: `undecided`.

    Parameters
    ----------
    run_id
        Of the run judged.
    budgets, comparisons, findings, validity
        What the analysis found; findings are kept in their order.
    coverage
        What was judged, and what was not.
    calibration
        The machine's latest, or None where it has none.
    report
        Where the report lies, if one was made.

    Returns
    -------
    Verdict
    """
    whole = coverage is None or not coverage.unjudged
    worse = service_died(tuple(findings)) or any(one.kind == CREPT_IN for one in findings)
    status = _status(budgets, comparisons, validity, worse=worse, whole=whole)
    return Verdict(
        run_id=run_id,
        status=status,
        exit_code=EXIT_CODES[status],
        budgets=tuple(budgets),
        comparisons=tuple(comparisons),
        coverage=coverage,
        findings=tuple(findings),
        validity=tuple(validity),
        calibration=calibration,
        report=report,
    )


def _status(
    budgets: Sequence[BudgetResult],
    comparisons: Sequence[Comparison],
    validity: Sequence[ValidityCheck],
    *,
    worse: bool,
    whole: bool,
) -> VerdictStatus:
    if not all(check.ok for check in validity):
        return "invalid"
    if (
        worse
        or any(one.status == "fail" for one in budgets)
        or any(one.status == "slower" for one in comparisons)
    ):
        return "regressed"
    unclear = any(one.status == "undecided" for one in budgets) or any(
        one.gate and one.open for one in comparisons
    )
    # Where a comparison was made, something of it must have been judged.
    compared = any(one.gate for one in comparisons) if comparisons else bool(budgets)
    return "undecided" if unclear or not compared or not whole else "pass"
