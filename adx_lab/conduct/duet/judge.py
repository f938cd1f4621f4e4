"""Judge a stored duet: from its tables alone, so that the answer can be had again, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from adx_lab.analysis.duet.block_ratios import BASE, HEAD
from adx_lab.analysis.duet.causes.attribution import attribute
from adx_lab.analysis.duet.causes.read_traits import facts_of, matrix_of
from adx_lab.analysis.duet.causes.remedies import with_remedies
from adx_lab.analysis.duet.causes.time_changes import EndpointChange
from adx_lab.analysis.duet.companions import Companion, companions_of
from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.duet.failures import fails_plainly
from adx_lab.analysis.duet.gates import Coverage, DuetTables, KnownWays, compare_duet, cover
from adx_lab.analysis.duet.validity import check_duet, check_equal
from adx_lab.analysis.duet.worse import findings_of
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.functions.comparison import compare_functions, function_findings
from adx_lab.analysis.functions.growth import GROWTH, Growth, growth_findings
from adx_lab.analysis.functions.stacks import StackProfile
from adx_lab.analysis.functions.stored import known_lines, profiles_of
from adx_lab.analysis.run.audit import ValidityCheck, audit_generator
from adx_lab.analysis.run.latency import failed
from adx_lab.analysis.stats.sequential_design import SequentialDesign
from adx_lab.analysis.verdict import Calibration, Verdict, decide
from adx_lab.conduct.run.statements import explain_asked, with_named

SIDES = (BASE, HEAD)
_COMPUTES = frozenset(("cpu", "service", "blocking", "dependency"))
FOREIGN_CPU_SHARE = 0.75
"""Of the machine, taken by somebody else: what is left is too little to load two services on."""

FALSE_POSITIVE_RATE = 0.15
EQUAL_MIN = 10
"""After so many A/A duets a machine that cries wolf is known to."""

_SURE = 0.95
_AUDITED = ("loop_lag_p99_ms", "cpu_share_max", "steal_share")


@dataclass(frozen=True)
class DuetEvidence:
    """Everything that a verdict rests on.

    Attributes
    ----------
    samples, queries
        Of all blocks; `samples` has the column `block`.
    blocks
        Each block's audit, in order.
    companions
        One a block: by side, what it did besides taking time.
    variants
        By side, as `Variant.describe` told.
    design
        Fixed before the first block.
    calibration
        The machine's latest when the duet began.
    calibrating
        Whether this is a trial of the machine: what it is known for must not decide what it will be.
    """

    run_id: str
    samples: pd.DataFrame
    queries: pd.DataFrame
    blocks: tuple[Mapping[str, Any], ...]
    companions: tuple[Mapping[str, Any], ...]
    variants: Mapping[str, Mapping[str, Any]]
    design: SequentialDesign
    calibration: Calibration | None = None
    calibrating: bool = False
    counts: pd.DataFrame | None = None
    statements: pd.DataFrame | None = None
    """What was counted around each endpoint of the serial movement, and which statements it asked for; None
    where there was none."""

    profiles: pd.DataFrame | None = None
    """Where both variants computed, by block; None where nobody looked."""

    @property
    def sampled(self) -> tuple[tuple[StackProfile, StackProfile], ...]:
        """The profiles of base and head, block by block."""
        if self.profiles is None:
            return ()
        return profiles_of(self.profiles, self.companions, [int(one["block"]) for one in self.blocks])

    @property
    def equal(self) -> bool:
        """Whether both variants are the same: an A/A duet."""
        return bool(self.variants[BASE]["identity"] == self.variants[HEAD]["identity"])


@dataclass(frozen=True)
class DuetAnswer:
    """The verdict, where the time went, and what both variants did besides taking time."""

    verdict: Verdict
    changes: tuple[EndpointChange, ...] = ()
    companions: tuple[Companion, ...] = ()


def comparisons_of(evidence: DuetEvidence) -> tuple[Comparison, ...]:
    """Compare all that can be compared with the blocks so far."""
    tables = DuetTables(
        evidence.samples, evidence.queries, evidence.counts, evidence.companions, evidence.blocks
    )
    return compare_duet(tables, evidence.design)


def coverage_of(evidence: DuetEvidence, comparisons: tuple[Comparison, ...]) -> Coverage:
    """Tell what was asked and judged of what both variants are known to have."""
    first = evidence.companions[0] if evidence.companions else {BASE: {}, HEAD: {}}
    known = [
        KnownWays(frozenset(first[side].get("routes") or ()), frozenset(first[side].get("named") or ()))
        for side in SIDES
    ]
    executed = set(evidence.queries["query"].astype(str))
    if evidence.statements is not None:
        executed |= set(evidence.statements["query"].dropna().astype(str))
    return cover(evidence.samples, executed, comparisons, *known)


def judge_duet(evidence: DuetEvidence) -> DuetAnswer:
    """Weigh a duet into its verdict, with its causes.

    Nothing is read and nothing measured here: the same evidence gives the same answer.
    """
    comparisons = comparisons_of(evidence)
    coverage = coverage_of(evidence, comparisons)
    validity = _validity(evidence, comparisons, coverage)
    slower = {one.subject for one in comparisons if one.status == "slower" and one.metric.endswith("_ms")}
    asked = {"statements": evidence.statements, "counts": evidence.counts}
    base = facts_of(evidence.companions, evidence.variants[BASE], BASE, **asked)
    head = facts_of(evidence.companions, evidence.variants[HEAD], HEAD, **asked)
    # What the planner knows nothing of under either variant (tables that the data set leaves empty) explains
    # no difference.
    stale = tuple(table for table in head.stale_tables if table not in base.stale_tables)
    attribution = attribute(
        *_warm(evidence),
        base=base,
        head=replace(head, stale_tables=stale),
        slower=slower,
    )
    counts, named = explain_asked(evidence.companions, evidence.samples, slower)
    told = with_named(findings_of(comparisons, coverage, attribution.findings), named)
    comparisons = (*comparisons, *counts)
    broken = tuple(_explain(check, evidence) for check in validity if not check.ok)
    verdict = decide(
        run_id=evidence.run_id,
        comparisons=comparisons,
        coverage=coverage,
        findings=with_remedies(
            (*broken, *with_functions(told, slower_functions(evidence)), *growing_lines(evidence)),
            *(matrix_of(evidence.companions, side) for side in SIDES),
        ),
        validity=validity,
        calibration=evidence.calibration,
    )
    return DuetAnswer(verdict, attribution.changes, companions_of(attribution.changes, base, head))


def slower_functions(evidence: DuetEvidence) -> tuple[Finding, ...]:
    """Return the functions that compute more for each request, as far as they were sampled."""
    lines = known_lines(evidence.companions)
    return function_findings(compare_functions(evidence.sampled), lines.get)


def growing_lines(evidence: DuetEvidence) -> tuple[Finding, ...]:
    """Return the lines that keep more memory with each request, where anybody looked."""
    first = evidence.companions[0][HEAD] if evidence.companions else {}
    return growth_findings([Growth(**row) for row in first.get(GROWTH) or ()])


def with_functions(findings: Sequence[Finding], functions: Sequence[Finding]) -> tuple[Finding, ...]:
    """Put the functions where a finding says no more than that the service computes, or waits.

    A function whose lines are as they were only carries what a statement of its endpoint costs more.
    """
    named = {endpoint for one in findings if "statement" in one.evidence for endpoint in one.endpoints}
    changed = {
        endpoint for one in functions if one.evidence.get("lines_differ") for endpoint in one.endpoints
    }
    own = [
        one
        for one in functions
        if one.evidence.get("lines_differ") is not False or not named.issuperset(one.endpoints)
    ]
    place = next((i for i, one in enumerate(findings) if one.kind in _COMPUTES), len(findings))
    rest = [
        one
        for one in findings[place:]
        if one.kind not in _COMPUTES or not one.endpoints or not changed.issuperset(one.endpoints)
    ]
    return (*findings[:place], *own, *rest)


def _warm(evidence: DuetEvidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return samples and queries without the first requests after the start, which explain nothing else.

    Where spans tell a load's times, the requests of the serial movement carry none: they stay out, too.
    """
    samples, queries = evidence.samples, evidence.queries
    if "movement" not in samples:
        return samples, queries
    kept = (samples["movement"] != "cold").to_numpy()
    serial, split = (samples["movement"] == "serial").to_numpy(), samples["server_ms"].notna().to_numpy()
    if split[kept & ~serial].any() and not split[serial].any():
        kept = kept & ~serial
    place = np.cumsum(kept) - 1
    rows = queries["sample"].to_numpy(dtype=np.int64)
    own = queries[kept[rows]]
    return samples[kept].reset_index(drop=True), own.assign(sample=place[rows[kept[rows]]])


def broken_early(evidence: DuetEvidence) -> bool:
    """Tell whether the blocks so far leave no doubt: head fails what base does not, or base itself fails.

    One error among the requests of a block is more than can be borne, and need not be more than chance: base
    fails too often where the lower end of Wilson's interval says so.
    """
    if fails_plainly(evidence.samples):
        return True
    lost = failed(evidence.samples)
    limit = next(check.limit for check in check_duet(evidence.samples) if check.check == "base_error_share")
    for side in SIDES:
        own = lost[(evidence.samples["variant"] == side).to_numpy()]
        if not len(own):
            return True
        interval = binomtest(int(own.sum()), len(own)).proportion_ci(_SURE, method="wilson")
        if side == BASE and interval.low > limit:
            return True
    return False


def figures_of_duet(verdict: Verdict, *, baseline: str | None) -> dict[str, float | None]:
    """Return what the run store keeps of a duet: its ratios, and its causes with their shares.

    Those of the working tree against the baseline, whose commit is given, make the history; others have
    another name, since what somebody tried out is no change of the tree.
    """
    word = "tried" if baseline is None else "ratio"
    ratios = {f"{word} {one.subject} {one.metric}": one.ratio for one in verdict.comparisons}
    causes = {f"cause {one.kind} {one.subject}": one.share for one in verdict.findings}
    against = {} if baseline is None else {f"baseline {baseline}": None}
    return {**against, **ratios, **causes}


def _validity(
    evidence: DuetEvidence, comparisons: tuple[Comparison, ...], coverage: Coverage
) -> tuple[ValidityCheck, ...]:
    # The median block: pairs and blocks bear a busy moment, not a busy machine.
    usual = {name: _median([float(block[name]) for block in evidence.blocks]) for name in _AUDITED}
    unanswered = sum(int(block["unanswered"]) for block in evidence.blocks)
    checks = [
        *check_duet(evidence.samples, added=coverage.added),
        *audit_generator({**usual, "unanswered": unanswered}),
    ]
    others = _median([float(block["foreign_cpu_share"]) for block in evidence.blocks])
    checks.append(ValidityCheck("foreign_cpu_share", others, FOREIGN_CPU_SHARE, others <= FOREIGN_CPU_SHARE))
    if evidence.equal:
        checks.append(check_equal(comparisons))
    known = evidence.calibration
    on_trial = evidence.equal or evidence.calibrating
    if (
        known is not None
        and not on_trial
        and known.false_positive_rate is not None
        and known.n_equal >= EQUAL_MIN
    ):
        rate = known.false_positive_rate
        fine = rate <= FALSE_POSITIVE_RATE
        checks.append(ValidityCheck("machine_false_positive_rate", rate, FALSE_POSITIVE_RATE, fine))
    return tuple(checks)


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else 0.0


def _explain(check: ValidityCheck, evidence: DuetEvidence) -> Finding:
    """Say plainly why a duet says nothing."""
    cause = f"{check.check} is {check.value:.3g}, and at most {check.limit:g} can be borne"
    endpoints: tuple[str, ...] = ()
    side = check.check.split("_")[0]
    if check.check.endswith("_error_share"):
        own = evidence.samples[evidence.samples["variant"] == side]
        bad = own[failed(own)]
        often = bad.groupby(["endpoint", "status"], observed=True).size().sort_values(ascending=False)
        most = f", most often {often.index[0][0]} with status {often.index[0][1]}" if len(often) else ""
        endpoints = tuple(dict.fromkeys(str(key[0]) for key in often.index))
        cause = f"{side} fails {check.value:.1%} of its requests{most}"
    elif check.check == "unpaired_share":
        cause = f"{check.value:.1%} of the requests have no counterpart: what is compared is not the same"
    elif check.check == "foreign_cpu_share":
        cause = f"the machine is too busy to measure: others took {check.value:.0%} of it meanwhile"
    elif check.check == "differences_between_equals":
        cause = "the machine sees a difference between two equal variants: it can't judge others now"
    elif check.check == "machine_false_positive_rate":
        cause = f"this machine called {check.value:.0%} of its duets of equal variants different"
    evidence_of = {"value": check.value, "limit": check.limit}
    return Finding("invalid", check.check, cause, evidence_of, endpoints=endpoints)
