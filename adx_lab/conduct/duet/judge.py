"""Judge a stored duet: from its tables alone, so that the answer can be had again, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from adx_lab.analysis.duet.attribution import attribute
from adx_lab.analysis.duet.block_ratios import ALL, BASE, HEAD, BlockSeries, block_quantiles, value_series
from adx_lab.analysis.duet.companions import Companion, companions_of
from adx_lab.analysis.duet.comparison import Comparison, compare
from adx_lab.analysis.duet.pair_ratios import pair_series
from adx_lab.analysis.duet.read_traits import facts_of
from adx_lab.analysis.duet.time_changes import EndpointChange
from adx_lab.analysis.duet.validity import check_duet, check_equal
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.run.audit import ValidityCheck, audit_generator
from adx_lab.analysis.run.latency import failed
from adx_lab.analysis.stats.sequential_design import Plan
from adx_lab.analysis.verdict import Calibration, Verdict, decide

SIDES = (BASE, HEAD)
FOREIGN_CPU_SHARE = 0.75
"""Of the machine, taken by somebody else: what is left is too little to load two services on."""

FALSE_POSITIVE_RATE = 0.15
EQUAL_MIN = 10
"""After so many A/A duets a machine that cries wolf is known to."""

ENDPOINT_GONE, ENDPOINT_LOST = 0.5, 0.9
"""A variant that fails more than so many requests of an endpoint does not have it, if the other one has."""

ENDPOINT_ASKED_MIN = 5
"""One request that failed says nothing of an endpoint."""

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
    plan
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
    plan: Plan
    calibration: Calibration | None = None
    calibrating: bool = False

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
    return compare(_series(evidence), evidence.plan)


def judge_duet(evidence: DuetEvidence) -> DuetAnswer:
    """Weigh a duet into its verdict, with its causes.

    Nothing is read and nothing measured here: the same evidence gives the same answer.
    """
    comparisons = comparisons_of(evidence)
    validity = _validity(evidence, comparisons)
    slower = {one.subject for one in comparisons if one.status == "slower"}
    base = facts_of(evidence.companions, evidence.variants[BASE], BASE)
    head = facts_of(evidence.companions, evidence.variants[HEAD], HEAD)
    # What the planner knows nothing of under either variant (tables that the data set leaves empty) explains
    # no difference.
    stale = tuple(table for table in head.stale_tables if table not in base.stale_tables)
    attribution = attribute(
        evidence.samples,
        evidence.queries,
        base=base,
        head=replace(head, stale_tables=stale),
        slower=slower,
    )
    broken = tuple(_explain(check, evidence) for check in validity if not check.ok)
    verdict = decide(
        run_id=evidence.run_id,
        comparisons=comparisons,
        findings=(*broken, *attribution.findings),
        validity=validity,
        calibration=evidence.calibration,
    )
    return DuetAnswer(verdict, attribution.changes, companions_of(attribution.changes, base, head))


def broken_early(evidence: DuetEvidence) -> bool:
    """Tell whether the blocks so far leave no doubt that the duet is invalid.

    One error among the requests of a block is more than can be borne, and need not be more than chance: a
    variant fails too often where the lower end of Wilson's interval says so.
    """
    checks = {check.check: check for check in _paired_checks(evidence)}
    if not checks["endpoints_differing"].ok:
        return True
    lost = failed(evidence.samples)
    for side in SIDES:
        own = lost[(evidence.samples["variant"] == side).to_numpy()]
        if not len(own):
            return True
        interval = binomtest(int(own.sum()), len(own)).proportion_ci(_SURE, method="wilson")
        if interval.low > checks[f"{side}_error_share"].limit:
            return True
    return False


def not_judged(samples: pd.DataFrame, comparisons: tuple[Comparison, ...]) -> tuple[str, ...]:
    """Return the endpoints that were asked for too seldom to be compared at all."""
    judged = {one.subject for one in comparisons if one.gate}
    return tuple(sorted(set(samples["endpoint"].astype("str")) - judged))


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


def _series(evidence: DuetEvidence) -> tuple[BlockSeries, ...]:
    # The pairs are what a verdict waits for: quantiles, which the wander of caches widens, come beside them.
    series = (*pair_series(evidence.samples), *block_quantiles(evidence.samples, gates=()))
    cpu: dict[str, list[float]] = {BASE: [], HEAD: []}
    counts = evidence.samples.groupby(["block", "variant"], observed=True).size()
    for block, companions in zip(evidence.blocks, evidence.companions, strict=True):
        for side in SIDES:
            requests = int(counts.get((block["block"], side), 0))
            spent_s = float(companions[side]["cpu_s"])
            cpu[side].append(1000 * spent_s / requests if requests else 0.0)
    if not all(value > 0 for values in cpu.values() for value in values):
        return series
    capacity = [[1000 / ms for ms in cpu[side]] for side in SIDES]
    return (
        *series,
        value_series(ALL, "cpu_ms_per_request", cpu[BASE], cpu[HEAD], gate=False),
        # What its CPU lets a process answer; the other way round, and so the same test at another price.
        value_series(ALL, "capacity_per_s", *capacity, gate=False, higher_is_better=True),
    )


def _validity(evidence: DuetEvidence, comparisons: tuple[Comparison, ...]) -> tuple[ValidityCheck, ...]:
    # The median block: pairs and blocks bear a busy moment, not a busy machine.
    usual = {name: _median([float(block[name]) for block in evidence.blocks]) for name in _AUDITED}
    unanswered = sum(int(block["unanswered"]) for block in evidence.blocks)
    checks = [*_paired_checks(evidence), *audit_generator({**usual, "unanswered": unanswered})]
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


def _paired_checks(evidence: DuetEvidence) -> list[ValidityCheck]:
    """Check the pairs; an endpoint that one variant always fails is one that it does not have."""
    found = {check.check: check for check in check_duet(evidence.samples)}
    differing = float(len(_one_sided(evidence.samples)))
    found["endpoints_differing"] = ValidityCheck("endpoints_differing", differing, 0.0, differing == 0)
    return list(found.values())


def _one_sided(samples: pd.DataFrame) -> dict[str, str]:
    """Return the endpoints that only one variant has, with that variant."""
    asked = samples.assign(lost=failed(samples)).groupby(["endpoint", "variant"], observed=True)["lost"]
    counted = asked.agg(["mean", "size"]).reset_index()
    only = {}
    for endpoint, rows in counted.groupby("endpoint", observed=True):
        columns = (rows[name].tolist() for name in ("variant", "mean", "size"))
        lost = {str(side): (float(share), int(count)) for side, share, count in zip(*columns, strict=True)}
        for here, there in (SIDES, SIDES[::-1]):
            has, lacks = lost.get(here, (1.0, 0)), lost.get(there, (1.0, ENDPOINT_ASKED_MIN))
            if has[0] < ENDPOINT_GONE and lacks[0] > ENDPOINT_LOST and lacks[1] >= ENDPOINT_ASKED_MIN:
                only[str(endpoint)] = here
    return only


def _explain(check: ValidityCheck, evidence: DuetEvidence) -> Finding:
    """Say plainly why a duet says nothing."""
    cause = f"{check.check} is {check.value:.3g}, and at most {check.limit:g} can be borne"
    endpoints: tuple[str, ...] = ()
    side = check.check.split("_")[0]
    if check.check == "endpoints_differing":
        only = _one_sided(evidence.samples)
        endpoints = tuple(only)
        cause = "; ".join(f"only {where} answers {endpoint}" for endpoint, where in only.items())
    elif check.check.endswith("_error_share"):
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
