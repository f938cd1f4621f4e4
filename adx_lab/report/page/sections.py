"""The parts of a report's page, in the order in which a person asks: is it broken, why, what is left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from adx_lab.analysis.verdict import Verdict
from adx_lab.records.run import RunRecord
from adx_lab.report.duet import comparison_tables
from adx_lab.report.page.measured_night import Compared, Contents
from adx_lab.report.page.verdict_words import calibration_line
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import Table
from adx_lab.report.plans.svg import plan_figure
from adx_lab.report.plans.tables import headroom_table, matrix_table, notable_table, slow_table
from adx_lab.report.run import figures, tables
from adx_lab.report.switches.worth_figure import worth_of_rules
from adx_lab.report.switches.worth_table import rules_table

_PICTURES_MAX = 4
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Shown(Protocol):
    """A figure or a table."""

    def html(self) -> str:
        """Return it as HTML."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; a table may be folded."""

    anchor: str
    title: str
    shown: tuple[Shown, ...]
    note: str = ""
    folded: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see."""
        return all(isinstance(part, Table) and not part.rows for part in self.shown)


def sections_of(contents: Contents, verdict: Verdict) -> list[Section]:
    """Return the sections that have something to show."""
    parts = [
        *_judged(contents, verdict),
        *_measured(contents),
        *_database(contents),
        *_rules(contents),
        *_trust(verdict),
    ]
    return [part for part in parts if not part.empty]


def observing_note(record: RunRecord) -> str:
    """Say what the observing itself cost."""
    cost = record.load.observing
    if cost is None:
        return "What observing cost was not measured."
    bare_ms, observed_ms, timed_ms = cost["bare_ms"], cost["observed_ms"], cost["timed_ms"]
    return (
        f"Observing the database makes the shortest query take {number(observed_ms)} ms instead of "
        f"{number(bare_ms)} ms ({observed_ms / bare_ms - 1:+.0%}); with a clock on every plan node it would "
        f"be {number(timed_ms)} ms."
    )


def calibration_note(verdict: Verdict) -> str:
    """Say what this machine's verdicts are worth."""
    return f"This machine: {calibration_line(verdict.calibration)}."


def _judged(contents: Contents, verdict: Verdict) -> Iterator[Section]:
    causes = comparison_tables.findings(verdict.findings)
    yield Section("causes", "Causes", (causes,), _CAUSES_NOTE)
    yield Section("budgets", "Budgets", (tables.budgets(verdict.budgets),), _BUDGET_NOTE)
    if contents.compared is not None:
        yield from _compared(contents.compared)
    elif contents.usual.comparisons:
        table = comparison_tables.comparisons(contents.usual.comparisons)
        nights = len(contents.usual.nights)
        note = f"Tonight over the last {nights} valid night{'s' if nights > 1 else ''}. {_USUAL_NOTE}"
        yield Section("comparisons", "Compared with the last nights", (table,), note)


def _compared(compared: Compared) -> Iterator[Section]:
    table = comparison_tables.comparisons(compared.verdict.comparisons)
    note = f"{_variant(compared.head)} over {_variant(compared.base)}, both up at once. {_COMPARED_NOTE}"
    yield Section("comparisons", "Compared with the baseline", (table,), note)
    changed = comparison_tables.plan_changes(compared.plan_changes)
    pictures = [
        plan_figure(head.analysis, base.analysis, title=f"{change.query} · {change.tenant} · {change.mode}")
        for change, base, head in list(compared.plan_pairs())[:_PICTURES_MAX]
    ]
    if changed.rows:
        yield Section("plan-changes", "Plans that changed", (changed, *pictures), _CHANGED_NOTE)


def _variant(words: str) -> str:
    """Return how a variant is called in a sentence."""
    if words == ".":
        return "The working tree"
    return words[:10] if _COMMIT.fullmatch(words) else words


def _measured(contents: Contents) -> Iterator[Section]:
    judgement = contents.judgement
    yield Section("endpoints", "Endpoints", (tables.endpoints(judgement.endpoints),))
    distribution = figures.latency_distribution(judgement.samples)
    yield Section("distribution", "Latency distribution", (distribution,))
    yield Section("timeline", "Over time", (figures.latency_over_time(judgement.samples),))
    yield Section("heatmap", "Every request", (figures.latency_heat_map(judgement.samples),))
    yield Section("tails", "Where the slowest 5% spend their time", (tables.tails(judgement.tails),))
    if len(judgement.cache):
        yield Section("cache", "Cache", (figures.cache_over_time(judgement.cache),))
    if len(judgement.resources):
        shown = (figures.resources_over_time(judgement.resources), tables.capacity(judgement.part_costs))
        yield Section("resources", "Resources and capacity", shown, _CAPACITY_NOTE)


def _database(contents: Contents) -> Iterator[Section]:
    judgement, plans = contents.judgement, contents.judgement.plans
    yield Section("slow", "Queries above 10 ms under load", (slow_table(judgement),), _SLOW_NOTE)
    waits = tables.waits(judgement.record)
    yield Section("waits", "What the database waited for", (waits,), _WAITS_NOTE)
    yield Section("notable", "Plans that deserve a look", (notable_table(plans),))
    yield Section("headroom", "How long queries keep 10 ms", (headroom_table(plans),), _HEADROOM_NOTE)
    yield Section("plans", "Every query plan", (matrix_table(plans),), _PLANS_NOTE, folded=True)
    yield Section("statements", "Dearest statements", (tables.statements(judgement.database),))


def _rules(contents: Contents) -> Iterator[Section]:
    if contents.rules:
        shown = (worth_of_rules(contents.rules), rules_table(contents.rules))
        yield Section("rules", "What the performance rules are worth", shown, _RULES_NOTE)


def _trust(verdict: Verdict) -> Iterator[Section]:
    yield Section("validity", "Can this be trusted?", (tables.validity(verdict.validity),))


_RULES_NOTE = (
    "The core against itself with one rule off, over what shows it. «blind»: no slower without, but nobody "
    "sees any more what goes on; the figure is the price of keeping the rule. Measured by adx-lab rules."
)
_USUAL_NOTE = (
    "Slower means slower than usual, beyond what nights differ by; the two were not measured side by side: "
    "this is no verdict of cause."
)
_CAUSES_NOTE = "One row a cause, whatever the number of endpoints that suffer from it; the largest first."
_BUDGET_NOTE = (
    "A budget passes when its whole interval keeps the limit, fails when all of it breaks it, and is "
    "undecided between. Intervals within one run cover that run only."
)
_COMPARED_NOTE = (
    "Slower needs the whole interval above zero and an estimate beyond the smallest effect that matters; "
    "«would have seen» is the smallest slowdown that would have been found."
)
_CHANGED_NOTE = (
    "Captured on fresh clones of the same data. On the left the baseline's plan, on the right this one."
)
_CAPACITY_NOTE = (
    "From the processor time of a request: when the event loops of each part would be full, if a core were "
    "theirs alone. Where the machine really gives in is measured by a run of the steps scenario."
)
_SLOW_NOTE = (
    "The slowest executions with the plans they really had (auto_explain), and the requests that "
    "suffered (– for a workflow's query, or one of the warm-up). A good plan in a slow execution means that "
    "the query waited: for a processor, a lock or a disk."
)
_WAITS_NOTE = "Samples of the database's active clients, five a second; CPU: running waits for nothing."
_HEADROOM_NOTE = (
    "From the measured time a page: how many times today's rows fit before the query leaves its 10 ms."
)
_PLANS_NOTE = (
    "Every named query as PostgreSQL executed it, by kind of tenant and plan mode (custom: made for the "
    "values; generic: made for any). Pages are of 8 kB."
)
