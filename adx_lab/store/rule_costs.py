"""What each performance rule was measured to be worth, beside the runs: one row a rule and call."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import msgspec

from adx_lab.records.documents import to_json
from adx_lab.records.run import Caveat
from adx_lab.settings import Settings
from adx_lab.store.engine import StoreDatabase
from adx_lab.store.tables import RULE_COSTS

RuleKind = Literal["cost", "blindness"]

_HALF = frozenset({"few-blocks", "not-measured"})
"""Codes of caveats: the measurement was not made as it should be."""


@dataclass(frozen=True, slots=True)
class RuleCost:
    """One rule, measured.

    Attributes
    ----------
    run_id
        Of the call that measured it; a call measures several rules.
    machine
        A digest of what decides whether two machines compare.
    commit, changed
        The source, and whether files differ from it.
    kind
        ``cost``: the service does something worse without the rule; `value` is what that costs.
        ``blindness``: it is no slower without, but nobody sees any more what goes on; `value` is the price of
        keeping the rule.
    scenario
        The locustfile, or what was done to both instead.
    subject, metric, unit
        What was asked, and which figure shows the rule.
    effect
        Whether `value` is a ratio or a difference in `unit`. A cost is broken against kept, a price the other
        way round.
    value, low, high, level, p
        The estimate with its interval, and the one-sided p of its direction.
    kept, broken
        The figure's median over blocks, with the rule on and off.
    status
        ``costs``, ``nothing``, ``saves``, ``blind`` or ``undecided``.
    budget, limit, budget_kept, budget_broken
        What it is held against: pass, fail or undecided, with the rule on and off; None where no budget fits.
    evidence
        What else was seen, in words.
    kept_blocks, broken_blocks
        The figure, block by block.
    seconds
        How long it took.
    """

    run_id: str
    rule: str
    at: str
    machine: str
    kind: RuleKind
    scenario: str
    subject: str
    metric: str
    unit: str
    effect: Literal["ratio", "difference"]
    status: str
    level: float
    p: float
    blocks: int
    seconds: float
    commit: str | None = None
    changed: bool | None = None
    kept: float | None = None
    broken: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    budget: str | None = None
    limit: float | None = None
    budget_kept: str | None = None
    budget_broken: str | None = None
    evidence: str = ""
    kept_blocks: tuple[float, ...] = ()
    broken_blocks: tuple[float, ...] = ()
    caveats: tuple[Caveat, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether there were blocks enough to tell, and nothing failed."""
        return not _HALF & {caveat.code for caveat in self.caveats}


class RuleCosts(StoreDatabase):
    """The table of measured rules, beside the runs."""

    def add(self, cost: RuleCost) -> None:
        """Keep a rule as soon as it is measured, so that an interruption loses nothing that there is."""
        row = {
            "run_id": cost.run_id,
            "rule": cost.rule,
            "at": cost.at,
            "machine": cost.machine,
            "commit_id": cost.commit,
            "status": cost.status,
            "document": to_json(asdict(cost)),
        }
        self._keep(RULE_COSTS, row)

    def latest(self, *, run_id: str | None = None) -> dict[str, RuleCost]:
        """Return the latest result of each rule, or those of one call.

        One of too few blocks, or of a measurement that failed, only stands where there is no better.
        """
        rows = sorted(self._rows(RULE_COSTS), key=lambda row: (row["at"], row["run_id"]))
        chosen = [row for row in rows if run_id in {None, row["run_id"]}]
        costs = [cost for row in chosen for cost in _costs(row["document"])]
        return {cost.rule: cost for cost in sorted(costs, key=lambda cost: cost.whole)}


def read_rule_costs(settings: Settings, *, run_id: str | None = None) -> dict[str, RuleCost]:
    """Return what is stored of each rule: the latest, or what one call measured."""
    costs = RuleCosts(settings)
    try:
        return costs.latest(run_id=run_id)
    finally:
        costs.close()


def _costs(document: str) -> list[RuleCost]:
    """Return what a row holds: nothing where it is damaged, since a rule is measured again."""
    try:
        told = msgspec.json.decode(document, type=dict[str, Any])
        for name in ("kept_blocks", "broken_blocks"):  # JSON has no number for what is none
            told[name] = [math.nan if value is None else value for value in told.get(name, ())]
        return [msgspec.convert(told, RuleCost)]
    except (msgspec.MsgspecError, TypeError):
        return []
