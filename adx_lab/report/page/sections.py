"""The parts of a report's page, in the order in which a person asks: is it broken, why, what is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from adx_lab.analysis.run.budgets import BudgetResult
from adx_lab.analysis.verdict import Verdict
from adx_lab.records.run import LoadAudit, RunRecord
from adx_lab.report.duet import comparison_tables, functions
from adx_lab.report.duet.comparison_figures import forest, moved_parts
from adx_lab.report.duet.source_change import SourceChange
from adx_lab.report.duet.stored_duet import Duel
from adx_lab.report.page.answer import FirstScreen
from adx_lab.report.page.blocks.block import Drawable, Folded, Link, Section, Words
from adx_lab.report.page.blocks.endpoints import link_endpoints
from adx_lab.report.page.blocks.queries import changed_plan, link_queries
from adx_lab.report.page.measured_night import Contents
from adx_lab.report.page.verdict_words import calibration_line
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import Column, Table
from adx_lab.report.parts.table import change as change_words
from adx_lab.report.parts.words import sentence_case
from adx_lab.report.plans.tables import headroom_table, notable_table, slow_table
from adx_lab.report.run import figures, tables
from adx_lab.report.run.judged_run import Judgement
from adx_lab.report.switches.worth_figure import worth_of_rules
from adx_lab.report.switches.worth_table import rules_table

_COMPARISONS_MAX = 10
"""Rows of the first page."""

_ROWS_MAX = 12
"""Endpoints of a picture on the first page."""

COMPARISONS = "comparisons.html#all-comparisons"

_MEASURABLE = 0.005
"""A share: less is what two measurements of the same differ by."""


def sections_of(contents: Contents, verdict: Verdict, answer: FirstScreen) -> list[Section]:
    """Return the sections that have something to show."""
    parts = [
        *_compared(contents, answer),
        *_budgets(verdict.budgets),
        *(() if contents.judgement is None else _measured(contents.judgement)),
        *_plans(contents),
        *(() if contents.judgement is None else _database(contents, contents.judgement)),
        *_rules(contents),
        *_trust(verdict),
    ]
    return [part for part in parts if not part.empty]


def observing_note(record: RunRecord) -> str:
    """Say what the observing itself cost."""
    cost = record.load.observing if isinstance(record.audit, LoadAudit) else None
    return "What observing cost was not measured." if cost is None else observing_words(cost)


def observing_words(cost: Mapping[str, float]) -> str:
    """Say what the shortest query takes, observed and not."""
    bare_ms, observed_ms, timed_ms = cost["bare_ms"], cost["observed_ms"], cost["timed_ms"]
    timed = f"with a clock on every plan node the shortest query would take {number(timed_ms)} ms"
    if observed_ms < bare_ms * (1 + _MEASURABLE):
        return f"Observing the database has no measurable cost ({number(bare_ms)} ms a query); {timed}."
    return (
        f"Observing the database makes the shortest query take {number(observed_ms)} ms instead of "
        f"{number(bare_ms)} ms ({change_words(observed_ms / bare_ms - 1)}); {timed}."
    )


def calibration_note(verdict: Verdict) -> str:
    """Say what this machine's verdicts are worth."""
    return f"This machine: {calibration_line(verdict.calibration)}."


def _compared(contents: Contents, answer: FirstScreen) -> Iterator[Section]:
    compared = contents.compared
    if compared is None:
        yield from _usual(contents)
        return
    if compared.duel is not None:
        drawn = forest(compared.duel, metric="pair_ms", rows_max=_ROWS_MAX)
        yield Section("forest", "Every endpoint against the baseline", (drawn,))
    picture = _cause(contents, answer)
    if picture is not None:
        trusted = answer.status != "invalid"
        yield Section(
            "cause", "The cause" if trusted else "What looks like it", (picture,), folded=not trusted
        )
    if compared.duel is not None:
        yield from _functions(compared.duel)
    if compared.change:
        yield Section("change", "What changed", tuple(_change(compared.change)), folded=True)
    found = compared.verdict.comparisons
    telling = [one for one in comparison_tables.telling(found) if one.status != "same"][:_COMPARISONS_MAX]
    closest = sorted(comparison_tables.telling(found), key=lambda one: -(one.high or 0.0))
    telling = telling or closest[:_COMPARISONS_MAX]
    shown: list[Drawable] = [link_endpoints(comparison_tables.comparisons(telling), "subject")]
    if len(telling) < len(found):
        shown.append(Link(f"All {len(found)} comparisons, with those that found nothing", COMPARISONS))
    note = (
        f"{sentence_case(compared.head_words)} over {compared.base_words}, both up at once. {_COMPARED_NOTE}"
    )
    yield Section("comparisons", "Compared with the baseline", tuple(shown), note)


def _functions(duel: Duel) -> Iterator[Section]:
    graph = functions.flame(duel)
    if graph is not None:
        shown = (functions.functions_table(duel), graph, functions.sampling_table(duel))
        yield Section("functions", "Which functions", shown, _FUNCTIONS_NOTE, folded=True)


def comparison_blocks(contents: Contents) -> list[Section]:
    """Return every comparison, the times first: what the first page has no room for."""
    compared = contents.compared
    if compared is None or len(compared.verdict.comparisons) <= _COMPARISONS_MAX:
        return []
    found = sorted(compared.verdict.comparisons, key=lambda one: one.metric not in comparison_tables.TIMES)
    table = link_endpoints(comparison_tables.comparisons(found), "subject")
    return [Section("all-comparisons", f"All {len(found)} comparisons", (table,), _COMPARED_NOTE)]


def _usual(contents: Contents) -> Iterator[Section]:
    if not contents.usual.comparisons:
        return
    table = link_endpoints(comparison_tables.comparisons(contents.usual.comparisons), "subject")
    nights = len(contents.usual.nights)
    note = f"Tonight over the last {nights} valid night{'s' if nights > 1 else ''}. {_USUAL_NOTE}"
    yield Section("comparisons", "Compared with the last nights", (table,), note)


def _cause(contents: Contents, answer: FirstScreen) -> Drawable | None:
    """Return the one picture that shows the cause: the plan that changed, or which part of the time grew."""
    first = answer.told[0] if answer.told else None
    if first is None or contents.compared is None:
        return None
    picture = None if first.query is None else changed_plan(contents, first.query)
    if picture is not None:
        return picture
    duel = contents.compared.duel
    return (
        None
        if duel is None or first.endpoint is None
        else moved_parts(duel, only=(first.endpoint, *(name for name, _ in first.others)))
    )


def _change(change: SourceChange) -> Iterator[Drawable]:
    if change.commits:
        yield Words("\n".join(change.commits), "pre")
    if change.settings:
        columns = (Column("setting", kind="code"), Column("base"), Column("head"))
        yield Table(columns, change.settings)
    if change.statements:
        yield Words(change.statements.strip(), "pre")
    if change.lines:
        yield Words(change.lines.strip(), "pre")


def _budgets(results: Sequence[BudgetResult]) -> Iterator[Section]:
    kept = [item for item in results if item.status == "pass"]
    rest = [item for item in results if item.status != "pass"]
    shown: list[Drawable] = [tables.budgets(rest)] if rest else []
    if kept:
        closest = max(tables.limit_used(item) or 0.0 for item in kept)
        words = f"{len(kept)} budgets are kept; the closest uses {closest:.0%} of its limit"
        shown.append(
            Folded(words, (tables.budgets(sorted(kept, key=lambda item: -(tables.limit_used(item) or 0))),))
        )
    if shown:
        yield Section("budgets", "Budgets", tuple(shown), _BUDGET_NOTE)


def _measured(judgement: Judgement) -> Iterator[Section]:
    # The slowest are looked for; a long list of the others would push away what stands below.
    rows = sorted(judgement.endpoints, key=lambda row: -(row.p95_ms.value or row.max_ms or 0.0))
    first, rest = (link_endpoints(tables.endpoints(part)) for part in (rows[:_ROWS_MAX], rows[_ROWS_MAX:]))
    more = (Folded(f"{len(rest.rows)} more", (rest,)),) if rest.rows else ()
    yield Section("endpoints", "Endpoints", (first, *more))
    yield _failed(judgement.record)
    audit = judgement.record.audit
    if isinstance(audit, LoadAudit) and audit.streams:
        yield Section("streams", "When streams ended", (tables.streams(audit),), folded=True)
    distribution = figures.latency_distribution(judgement.samples, by="endpoint")
    yield Section("distribution", "Latency distribution", (distribution,), folded=True)
    yield Section("timeline", "Over time", (figures.latency_over_time(judgement.samples),), folded=True)
    yield Section("heatmap", "Every request", (figures.latency_heat_map(judgement.samples),), folded=True)
    tails = link_endpoints(tables.tails(judgement.tails))
    yield Section("tails", "Where the slowest 5% spend their time", (tails,), folded=True)
    if len(judgement.cache):
        yield Section("cache", "Cache", (figures.cache_over_time(judgement.cache),), folded=True)
    if len(judgement.resources):
        shown = (figures.resources_over_time(judgement.resources), tables.capacity(judgement.part_costs))
        yield Section("resources", "Resources and capacity", shown, _CAPACITY_NOTE, folded=True)


def _failed(record: RunRecord) -> Section:
    audit = record.audit
    found = (tables.failures(audit), tables.exceptions(audit)) if isinstance(audit, LoadAudit) else ()
    return Section("failures", "What failed", tuple(table for table in found if table.rows), folded=True)


def _plans(contents: Contents) -> Iterator[Section]:
    if contents.compared is not None:
        changed = link_queries(contents, comparison_tables.plan_changes(contents.compared.plan_changes))
        title = f"Plans that changed ({len(changed.rows)})"
        yield Section("plan-changes", title, (changed,), _CHANGED_NOTE, folded=True)
    plans = contents.plans
    if plans is not None:
        notable = link_queries(contents, notable_table(plans))
        yield Section("notable", f"Plans that deserve a look ({len(notable.rows)})", (notable,), folded=True)
        room = link_queries(contents, headroom_table(plans))
        yield Section("headroom", "How long queries keep 10 ms", (room,), _HEADROOM_NOTE, folded=True)


def _database(contents: Contents, judgement: Judgement) -> Iterator[Section]:
    slow = link_queries(contents, slow_table(judgement))
    yield Section(
        "slow", f"Queries above 10 ms under load ({len(slow.rows)})", (slow,), _SLOW_NOTE, folded=True
    )
    waits = tables.waits(judgement.record)
    yield Section("waits", "What the database waited for", (waits,), _WAITS_NOTE, folded=True)
    dearest = link_queries(contents, tables.statements(judgement.database))
    yield Section("statements", "Dearest statements", (dearest,), folded=True)


def _rules(contents: Contents) -> Iterator[Section]:
    if contents.rules:
        shown = (worth_of_rules(contents.rules), rules_table(contents.rules))
        yield Section("rules", "What the performance rules are worth", shown, _RULES_NOTE, folded=True)


def _trust(verdict: Verdict) -> Iterator[Section]:
    passed = [check for check in verdict.validity if check.ok]
    failed = [check for check in verdict.validity if not check.ok]
    shown: list[Drawable] = [tables.validity(failed)] if failed else []
    if passed:
        shown.append(Folded(f"{len(passed)} checks pass", (tables.validity(passed),)))
    yield Section("validity", "Can this be trusted?", tuple(shown))


_RULES_NOTE = (
    "The core against itself with one rule off, over what shows it. «blind»: no slower without, but nobody "
    "sees any more what goes on; the figure is the price of keeping the rule. Measured by adx-lab rules."
)
_USUAL_NOTE = (
    "Slower means slower than usual, beyond what nights differ by; the two were not measured side by side: "
    "this is no verdict of cause."
)
_BUDGET_NOTE = (
    "A budget passes when its whole interval keeps the limit, fails when all of it breaks it, and is "
    "undecided between. Intervals within one run cover that run only."
)
_COMPARED_NOTE = (
    "Slower needs the whole interval above zero and an estimate beyond the smallest effect that matters; "
    "«could see» is the smallest slowdown that would have been found."
)
_FUNCTIONS_NOTE = (
    "Sampled after all that was timed, in blocks of their own, while only these endpoints were asked: the "
    "processor's time in a function's own lines and in libraries that it calls. Below what the sampling cost."
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
