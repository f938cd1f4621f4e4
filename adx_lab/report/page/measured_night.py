"""What a report is made from: one loaded run, and what was measured beside it the same night."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from adx_lab.analysis.duet.gates import Coverage
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.nights.usual import UsualAnswer
from adx_lab.analysis.plans.captures.compare import PlanChange, compare_matrices
from adx_lab.analysis.plans.captures.matrix import Matrix, PlanCell
from adx_lab.analysis.run.audit import ValidityCheck
from adx_lab.analysis.run.budgets import BudgetResult
from adx_lab.analysis.run.deaths import death_findings
from adx_lab.analysis.verdict import Verdict, decide
from adx_lab.records.run import Caveat, RunRecord
from adx_lab.report.duet.source_change import SourceChange
from adx_lab.report.duet.stored_duet import Duel
from adx_lab.report.notebooks.execute import NotebookOutcome
from adx_lab.report.run.budget_findings import budget_findings
from adx_lab.report.run.judged_run import Judgement
from adx_lab.report.run.span_findings import findings_of_spans
from adx_lab.settings import read_budgets
from adx_lab.store.folders import StoredRun
from adx_lab.store.rule_costs import RuleCost

CROWD = "ten_thousand"
"""The scenario of as many users at once, and requests a second, as the budgets ask for."""

_COMMIT = re.compile(r"\b[0-9a-f]{40}\b")


def with_history(duet: Verdict, crept: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return a duet's findings and what crept in; what the duet sees by itself is told once, with its age."""
    slower = {one.subject for one in duet.comparisons if one.status == "slower"}
    findings, alone = list(duet.findings), []
    for old in crept:
        place = next((i for i, one in enumerate(findings) if set(one.endpoints) & set(old.endpoints)), None)
        if place is None or not set(old.endpoints) <= slower:
            alone.append(old)
            continue
        since = {name: old.evidence[name] for name in ("began", "commits", "commits_between")}
        told = f"{findings[place].cause}; it began on the night of {old.evidence['began']['date'][:10]}"
        findings[place] = replace(
            findings[place], cause=told, evidence={**findings[place].evidence, "history": since}
        )
    return (*findings, *alone)


def variant_words(text: str) -> str:
    """Return how a variant is called in a sentence."""
    if text == ".":
        return "the working tree"
    named = f"the working tree with {text[2:].replace('+', ', ')}" if text.startswith(".+") else text
    return _COMMIT.sub(lambda found: found.group()[:10], named)


@dataclass(frozen=True)
class NightDuet:
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
    duel
        Its stored run.
    change
        What differs between the variants.
    """

    run_id: str
    base: str
    head: str
    verdict: Verdict
    caveats: tuple[Caveat, ...] = ()
    base_plans: Matrix | None = None
    head_plans: Matrix | None = None
    duel: Duel | None = None
    change: SourceChange = field(default_factory=SourceChange)

    @property
    def base_words(self) -> str:
        """How base is called in a sentence."""
        return variant_words(self.base)

    @property
    def head_words(self) -> str:
        """How head is called in a sentence."""
        return variant_words(self.head)

    @cached_property
    def plan_changes(self) -> tuple[PlanChange, ...]:
        """What PostgreSQL does differently for head, ties left out, the costliest first."""
        if self.base_plans is None or self.head_plans is None:
            return ()
        found = compare_matrices(self.base_plans, self.head_plans)
        return tuple(change for change in found if change.worse and not change.tie)

    def plan_pairs(self) -> Iterator[tuple[PlanChange, PlanCell, PlanCell]]:
        """Yield each change with the plan before it and after it."""
        for change in self.plan_changes:
            assert self.base_plans is not None
            assert self.head_plans is not None
            yield change, self.base_plans.cells[change.base_key], self.head_plans.cells[change.key]


@dataclass(frozen=True)
class Contents:
    """Everything that one report shows.

    Attributes
    ----------
    judgement
        The loaded run before the budgets; None on the page of a duet alone.
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
    crept
        What crept in over the nights, and still stands.
    crowd
        The same night's load of as many users at once as the budgets ask for.
    """

    judgement: Judgement | None = None
    compared: NightDuet | None = None
    knee_run_id: str | None = None
    rules: tuple[RuleCost, ...] = ()
    stopped: str | None = None
    notes: tuple[Caveat, ...] = ()
    unplayed: Finding | None = None
    usual: UsualAnswer = field(default_factory=UsualAnswer)
    crept: tuple[Finding, ...] = ()
    crowd: Judgement | None = None

    @property
    def run(self) -> StoredRun:
        """The run whose page it is: the loaded one, or the duet alone."""
        if self.judgement is not None:
            return self.judgement.run
        assert self.compared is not None
        assert self.compared.duel is not None
        return self.compared.duel.run

    @property
    def record(self) -> RunRecord:
        """What is recorded of that run."""
        return self.run.record

    @property
    def run_id(self) -> str:
        """The report's name."""
        return self.record.run_id

    @property
    def plans(self) -> Matrix | None:
        """The plans of the loaded run, or of head."""
        if self.judgement is not None:
            return self.judgement.plans
        return None if self.compared is None else self.compared.head_plans

    def decide(self, outcomes: list[NotebookOutcome], index: str) -> Verdict:
        """Weigh the run, the duet, the notebooks and the night's end into one verdict."""
        duet = None if self.compared is None else self.compared.verdict
        if self.judgement is None:
            assert duet is not None
            return replace(duet, report=index)
        unplayed = () if self.unplayed is None else (self.unplayed,)
        return decide(
            run_id=self.run_id,
            budgets=(*self.judgement.budgets, *self._of_the_crowd()),
            coverage=self._coverage(),
            comparisons=self.usual.comparisons if duet is None else duet.comparisons,
            findings=(
                *unplayed,
                *death_findings(self.judgement.record.load.deaths),
                *(self.usual.findings if duet is None else with_history(duet, self.crept)),
                *self._of_spans(duet),
                *budget_findings(self.judgement),
            ),
            validity=(*self.judgement.validity, *self._more_checks(outcomes)),
            calibration=None if duet is None else duet.calibration,
            report=index,
        )

    def _of_the_crowd(self) -> tuple[BudgetResult, ...]:
        """Return the budgets that only a crowd can tell; a crowd that was no such crowd tells nothing."""
        if self.crowd is None or self.judgement is None:
            return ()
        asked = {item.name for item in self.judgement.budgets}
        own = tuple(item for item in self.crowd.budgets if item.name not in asked)
        broken = [check.check for check in self.crowd.validity if not check.ok]
        if not broken:
            return own
        doubt = Caveat("crowd-invalid", f"the crowd could not be made as asked: {', '.join(broken)}")
        return tuple(replace(item, status="undecided", caveats=(*item.caveats, doubt)) for item in own)

    def _coverage(self) -> Coverage | None:
        """Return what was judged: of the duet, and the budgets that no load of this night can tell."""
        known = None if self.compared is None else self.compared.verdict.coverage
        if self.judgement is None or self.judgement.budget_file is None or self.record.purpose != "nightly":
            return known
        judged = {item.name for item in (*self.judgement.budgets, *self._of_the_crowd())}
        every = read_budgets(self.judgement.budget_file, CROWD)
        left = tuple(dict.fromkeys(item.name for item in every if item.name not in judged))
        return replace(known or Coverage(0, 0), budgets=left) if left else known

    def _of_spans(self, duet: Verdict | None) -> tuple[Finding, ...]:
        """Return what spans show by themselves, but for what a comparison names already."""
        assert self.judgement is not None
        known = self.usual.findings if duet is None else duet.findings
        named = {(one.kind, endpoint) for one in known for endpoint in one.endpoints}
        found = findings_of_spans(self.judgement)
        return tuple(one for one in found if not {(one.kind, place) for place in one.endpoints} & named)

    def caveats(self) -> list[Caveat]:
        """Return every reason to doubt the numbers, each once."""
        judgement = self.judgement
        several = [self.notes, self.record.caveats]
        if judgement is not None:
            several += [summary.caveats for summary in judgement.endpoints]
            several += [budget.caveats for budget in judgement.budgets]
            several.append(judgement.notes)
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
