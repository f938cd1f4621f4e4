"""What a report is made from: one loaded run, and what was measured beside it the same night."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from adx_lab.analysis.finding import Finding
from adx_lab.analysis.nights.usual import UsualAnswer
from adx_lab.analysis.plans.captures.compare import PlanChange, compare_matrices
from adx_lab.analysis.plans.captures.matrix import Cell, Matrix
from adx_lab.analysis.run.audit import ValidityCheck
from adx_lab.analysis.run.deaths import death_findings
from adx_lab.analysis.verdict import Verdict, decide
from adx_lab.records.run import Caveat
from adx_lab.report.notebooks.execute import NotebookOutcome
from adx_lab.report.run.budget_findings import budget_findings
from adx_lab.report.run.judged_run import Judgement
from adx_lab.store.rule_costs import RuleCost


@dataclass(frozen=True)
class Compared:
    """A duet beside the run.

    Attributes
    ----------
    run_id
        Its own run.
    base, head
        The variants as they were asked for.
    verdict
        What it says by itself.
    base_plans, head_plans
        Captured on fresh clones of each; None where a variant was a URL.
    """

    run_id: str
    base: str
    head: str
    verdict: Verdict
    caveats: tuple[Caveat, ...] = ()
    base_plans: Matrix | None = None
    head_plans: Matrix | None = None

    @cached_property
    def plan_changes(self) -> tuple[PlanChange, ...]:
        """What PostgreSQL does differently for head, ties left out, the costliest first."""
        if self.base_plans is None or self.head_plans is None:
            return ()
        found = compare_matrices(self.base_plans, self.head_plans)
        return tuple(change for change in found if change.worse and not change.tie)

    def plan_pairs(self) -> Iterator[tuple[PlanChange, Cell, Cell]]:
        """Yield each change with the plan before it and after it."""
        for change in self.plan_changes:
            assert self.base_plans is not None
            assert self.head_plans is not None
            yield change, self.base_plans.cells[change.key], self.head_plans.cells[change.key]


@dataclass(frozen=True)
class Contents:
    """Everything that one report shows.

    Attributes
    ----------
    judgement
        The loaded run before the budgets.
    compared
        The duet of the same night; None where none was played.
    knee_run_id
        A run of `steps` of the same night, for the capacity notebook.
    rules
        The latest result of each performance rule.
    stopped
        Why the night ended early; None where it did not.
    notes
        Caveats of the night as a whole.
    unplayed
        Why the duet of the night could not be played.
    usual
        What the last valid nights say, where no duet was played.
    """

    judgement: Judgement
    compared: Compared | None = None
    knee_run_id: str | None = None
    rules: tuple[RuleCost, ...] = ()
    stopped: str | None = None
    notes: tuple[Caveat, ...] = ()
    unplayed: Finding | None = None
    usual: UsualAnswer = field(default_factory=UsualAnswer)

    @property
    def run_id(self) -> str:
        """The report's name: that of the loaded run."""
        return self.judgement.record.run_id

    def decide(self, outcomes: list[NotebookOutcome], index: str) -> Verdict:
        """Weigh the run, the duet, the notebooks and the night's end into one verdict."""
        duet = None if self.compared is None else self.compared.verdict
        unplayed = () if self.unplayed is None else (self.unplayed,)
        return decide(
            run_id=self.run_id,
            budgets=self.judgement.budgets,
            comparisons=self.usual.comparisons if duet is None else duet.comparisons,
            findings=(
                *unplayed,
                *death_findings(self.judgement.record.load.deaths),
                *(self.usual.findings if duet is None else duet.findings),
                *budget_findings(self.judgement),
            ),
            validity=(*self.judgement.validity, *self._more_checks(outcomes)),
            calibration=None if duet is None else duet.calibration,
            report=index,
        )

    def caveats(self) -> list[Caveat]:
        """Return every reason to doubt the numbers, each once."""
        judgement = self.judgement
        several = [self.notes, judgement.record.caveats]
        several += [summary.caveats for summary in judgement.endpoints]
        several += [budget.caveats for budget in judgement.budgets]
        if self.compared is not None:
            several += [self.compared.caveats, *(one.caveats for one in self.compared.verdict.comparisons)]
        return list({caveat.text: caveat for some in several for caveat in some}.values())

    def _more_checks(self, outcomes: list[NotebookOutcome]) -> list[ValidityCheck]:
        broken = sum(not outcome.ok for outcome in outcomes)
        checks = [ValidityCheck("notebooks_failed", float(broken), 0.0, broken == 0)]
        if self.unplayed is not None:
            checks.append(ValidityCheck(f"duet_{self.unplayed.subject}", 0.0, 1.0, ok=False))
        if self.compared is not None:
            checks += [
                ValidityCheck(f"duet_{check.check}", check.value, check.limit, check.ok)
                for check in self.compared.verdict.validity
            ]
        if self.stopped is not None:
            checks.append(ValidityCheck("night_stopped_early", 1.0, 0.0, ok=False))
        return checks
