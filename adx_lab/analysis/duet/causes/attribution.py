"""Name the causes of a slowdown: one finding for each, the largest first.

The time that endpoints gained is a ledger: each rule in `causes` claims the milliseconds that its cause
explains, in an order that puts causes before their consequences, and no millisecond is claimed twice. What a
rule asks for is a fact that only its cause leaves behind (an index that is gone, rows that were not returned
before, a pool that is smaller), so that a wait which merely follows is not taken for a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adx_lab.analysis.duet.causes.added_time import Claim, Ledger
from adx_lab.analysis.duet.causes.rules import CERTAIN, RULES
from adx_lab.analysis.duet.causes.time_changes import EndpointChange, split_changes
from adx_lab.analysis.duet.causes.variant_traits import VariantFacts
from adx_lab.analysis.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

__all__ = ["Attribution", "attribute"]

SHARE_MIN = 0.05
MEAN_MOVED = 0.02


@dataclass(frozen=True)
class Attribution:
    """Where the time went, endpoint by endpoint, and why."""

    changes: tuple[EndpointChange, ...]
    findings: tuple[Finding, ...]


def attribute(
    samples: pd.DataFrame,
    queries: pd.DataFrame | None = None,
    *,
    base: VariantFacts | None = None,
    head: VariantFacts | None = None,
    slower: Collection[str] = (),
) -> Attribution:
    """Find the causes of what a duet found slower.

    Parameters
    ----------
    samples, queries
        Of both variants, as in the store.
    base, head
        What the captures know of each; without them the times and counts of the samples must do.
    slower
        The endpoints that were found slower; `all` stands for every one. Where nothing was, only facts that
        can't vary by chance become findings: a query that runs more often, an index that is gone.

    Returns
    -------
    Attribution
        Findings by falling share of the added time.
    """
    changes = split_changes(samples, queries)
    if not changes:  # one of the variants never answered
        return Attribution((), ())
    found = {change.endpoint for change in changes} & set(slower)
    scope = tuple(change for change in changes if change.endpoint in found) if found else changes
    others = tuple(change for change in changes if change not in scope)
    ledger = Ledger(scope, base or VariantFacts(), head or VariantFacts(), others)
    claims = [claim for rule in RULES for claim in rule(ledger)]
    claims = _merge_waits(claims, ledger)
    by_tail = ledger.tail_ms > 0 and ledger.total_ms <= MEAN_MOVED * sum(
        change.requests * change.base_ms for change in scope
    )
    findings = [_finding(claim, ledger, by_tail=by_tail) for claim in claims]
    if not slower:  # what there was to explain is noise: no share of it means anything
        findings = [replace(finding, share=None) for finding in findings]
    kept = [
        finding
        for finding in findings
        if finding.kind in CERTAIN or (slower and (finding.share or 0.0) >= SHARE_MIN)
    ]
    return Attribution(changes, tuple(sorted(kept, key=_rank)))


def _rank(finding: Finding) -> tuple[float, str, str]:
    return (-(finding.share or 0.0), finding.kind, finding.subject)


def _merge_waits(claims: list[Claim], ledger: Ledger) -> list[Claim]:
    """Give waiting that has no cause of its own (queues, an unchanged pool) to the strongest cause."""
    causes = [claim for claim in claims if not claim.consequence]
    waits = [claim for claim in claims if claim.consequence]
    if not causes:
        return claims
    first = max(causes, key=lambda claim: (ledger.milliseconds(claim), claim.kind))
    added = tuple(part for wait in waits for part in wait.parts)
    waited = sum(ledger.milliseconds(wait) for wait in waits)
    merged = replace(first, parts=(*first.parts, *added))
    if waited > 0 and ledger.total_ms > 0:
        merged = replace(
            merged, evidence={**merged.evidence, "share_spent_waiting": waited / ledger.total_ms}
        )
    return [merged if claim is first else claim for claim in causes]


def _finding(claim: Claim, ledger: Ledger, *, by_tail: bool) -> Finding:
    mean_share, tail_share = ledger.shares(claim)
    changed = ledger.changed_settings()
    evidence = {**claim.evidence, "share_of_mean": mean_share, "share_of_tail": tail_share}
    if changed:
        evidence["settings_changed"] = changed
    commits = (ledger.base.commit, ledger.head.commit)
    if None not in commits and commits[0] != commits[1]:
        evidence["commits"] = f"{commits[0]}..{commits[1]}"
    share = tail_share if by_tail else mean_share
    return Finding(
        kind=claim.kind,
        subject=claim.subject,
        cause=claim.cause,
        evidence=evidence,
        share=max(0.0, min(1.0, share)),
        endpoints=ledger.endpoints_of(claim),
    )
