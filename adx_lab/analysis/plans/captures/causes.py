"""Why a plan changed: what to change back, one thing at a time, and what it means when the old plan returns.

Here is what to try and how to judge it; `capture.plans.experiments.causes` tries it, in transactions that are
rolled back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.plans.analyse import analyse
from adx_lab.analysis.plans.captures.compare import PlanChange, compare_cells
from adx_lab.analysis.plans.captures.matrix import Matrix, PlanCell
from adx_lab.analysis.plans.records import PlanAnalysis, PlanDocument

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ROWS_RATIO_MIN = 1.25
_NOT_SETTABLE = frozenset({"server_version", "shared_buffers", "max_parallel_workers"})
_ORDER = ("query", "index", "setting", "settings", "statistics", "rows")


@dataclass(frozen=True, slots=True)
class Reversal:
    """One thing to change back. ``details`` is what `capture.plans.experiments.causes` needs to do it."""

    kind: str
    subject: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return it as the capture takes it."""
        return {"kind": self.kind, "subject": self.subject, **self.details}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a plan changed. ``kind`` is unknown where nothing that was tried brought the old plan back."""

    kind: str
    subject: str
    words: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


def plan_trials(base: Matrix, head: Matrix, change: PlanChange) -> tuple[Reversal, ...]:
    """Return what to change back for one change, that which leaves no trace first."""
    relations = _relations(base.cells[change.base_key].analysis) | _relations(head.cells[change.key].analysis)
    return (
        *_query_trials(base, head, change),
        *_setting_trials(base, head),
        *_index_trials(base, head, relations),
        *(
            [Reversal("statistics", ", ".join(sorted(relations)), {"tables": sorted(relations)})]
            if relations
            else ()
        ),
        *_rows_trials(base, head, change, relations),
    )


def name_cause(base: Matrix, head: Matrix, change: PlanChange, tried: Sequence[Mapping[str, Any]]) -> Cause:
    """Return the cause of a change.

    Parameters
    ----------
    tried
        What came of the trials: ``kind``, ``subject``, and ``plan``, or ``error`` where it could not be
        tried.
    """
    target = base.cells[change.base_key]
    brought_back = [item for item in tried if item.get("plan") is not None and _restores(target, item)]
    brought_back.sort(key=lambda item: _ORDER.index(str(item["kind"])))
    if brought_back:
        first = brought_back[0]
        also = [str(item["subject"]) for item in brought_back[1:]]
        evidence = {"change": change.words, "also": also, "tried": len(tried)}
        return Cause(str(first["kind"]), str(first["subject"]), _words(first, base, head), evidence)
    other = (
        _dead_space(base, head, change) or _growth(base, head, change) or _role_setting(base, head, change)
    )
    return other or Cause(
        "unknown",
        change.query,
        f"none of {len(tried)} things that differ brings the old plan back",
        {"change": change.words, "tried": [str(item["subject"]) for item in tried]},
    )


def read_cause(base: Matrix, head: Matrix, change: PlanChange) -> Cause | None:
    """Return the cause that two captures tell by themselves, where nothing can be tried."""
    old = base.cells[change.base_key].analysis
    used = {str(node.details["Index Name"]) for node in old.nodes if "Index Name" in node.details}
    evidence = {"change": change.words, "tried": 0}
    for rewritten in _query_trials(base, head, change):
        words = f"the query {rewritten.subject} was rewritten; not tried"
        return Cause("query", rewritten.subject, words, evidence)
    for name in base.indexes:
        if name.rpartition(".")[2] in used and _usable(head.indexes.get(name)) is None:
            lost = "is no longer valid" if name in head.indexes else "is gone"
            words = f"the index {name}, which the old plan reads, {lost}; not tried"
            return Cause("index", name, words, evidence)
    for trial in _setting_trials(base, head):
        was, now = base.settings.get(trial.subject), head.settings.get(trial.subject)
        return Cause(
            "setting", trial.subject, f"{trial.subject} went from {was} to {now}; not tried", evidence
        )
    return (
        _dead_space(base, head, change)
        or _role_setting(base, head, change)
        or _statistics(base, head, change)
        or _growth(base, head, change)
    )


def _statistics(base: Matrix, head: Matrix, change: PlanChange) -> Cause | None:
    """Name a column that is analysed less finely or more so than it was."""
    for table in sorted(_relations(head.cells[change.key].analysis)):
        was, now = (set(filter(None, matrix.targets.get(table, ()))) for matrix in (base, head))
        if was != now:
            told = ", ".join(sorted(now - was)) or f"no longer {', '.join(sorted(was - now))}"
            words = f"{table} is analysed otherwise (statistics target: {told}); not tried"
            return Cause("statistics", table, words, {"change": change.words})
    return None


def _query_trials(base: Matrix, head: Matrix, change: PlanChange) -> Iterator[Reversal]:
    old = base.queries.get(change.base_key[0], {}).get("text")
    new = head.queries.get(change.query, {}).get("text")
    if old and new and _squeezed(old) != _squeezed(new):
        yield Reversal("query", change.query, {"text": old})


def _setting_trials(base: Matrix, head: Matrix) -> Iterator[Reversal]:
    changed = {
        name: value
        for name, value in base.settings.items()
        if head.settings.get(name, value) != value and name not in _NOT_SETTABLE
    }
    for name, value in changed.items():
        yield Reversal("setting", name, {"settings": {name: value}})
    if len(changed) > 1:
        yield Reversal("settings", ", ".join(changed), {"settings": changed})


def _index_trials(base: Matrix, head: Matrix, relations: frozenset[str]) -> Iterator[Reversal]:
    for name in dict.fromkeys([*base.indexes, *head.indexes]):
        old, new = base.indexes.get(name), head.indexes.get(name)
        table = (old or new or {}).get("table")
        if table in relations and _usable(old) != _usable(new):
            details = {"drop": name if new else None, "create": old["definition"] if old else None}
            yield Reversal("index", name, details)


def _usable(index: Mapping[str, Any] | None) -> str | None:
    """Return what an index offers the planner: its definition, or nothing where it is gone or invalid."""
    return None if index is None or index.get("valid") is False else str(index["definition"])


def _rows_trials(
    base: Matrix, head: Matrix, change: PlanChange, relations: frozenset[str]
) -> Iterator[Reversal]:
    tenant = head.tenants.get(change.tenant, {}).get("id")
    grown = {
        table: (was, now)
        for table, (was, now) in _sizes(base, head, change.tenant).items()
        if table in relations and now >= was * _ROWS_RATIO_MIN
    }
    if "shape" in change.kinds and tenant and grown:
        excess = {table: int(now - was) for table, (was, now) in grown.items()}
        yield Reversal("rows", ", ".join(sorted(grown)), {"tenant": tenant, "excess": excess})


def _restores(target: PlanCell, item: Mapping[str, Any]) -> bool:
    """Tell whether a trial's plan is the old one again: its shape, and no more pages or files than then."""
    again = PlanCell(
        target.query, target.tenant, target.mode, target.arguments, analyse(PlanDocument(item["plan"]))
    )
    if again.analysis.shape != target.analysis.shape:
        return False
    if item["kind"] == "rows":
        return True  # deleted rows still fill their pages
    left = compare_cells(target, again)
    return left is None or not left.worse


def _growth(base: Matrix, head: Matrix, change: PlanChange) -> Cause | None:
    """Blame the number of rows, where they grew and nothing else that differs brings the old plan back."""
    relations = _relations(head.cells[change.key].analysis)
    sizes = {
        t: pair for t, pair in _sizes(base, head, change.tenant).items() if t in relations and pair[0] > 0
    }
    sizes |= {
        table: (base.tables[table].pages, head.tables[table].pages)
        for table in relations - set(sizes)
        if table in base.tables and table in head.tables and base.tables[table].pages > 0
    }
    if not sizes:
        return None
    table, (was, now) = max(sizes.items(), key=lambda item: item[1][1] / item[1][0])
    if now < was * _ROWS_RATIO_MIN:
        return None
    grew = f"the {change.tenant} tenant's rows in {table} grew from {was:,.0f} to {now:,.0f}"
    words = f"{grew}, and nothing else that differs brings the old plan back"
    return Cause("rows", table, words, {"change": change.words, "before": was, "after": now})


def _dead_space(base: Matrix, head: Matrix, change: PlanChange) -> Cause | None:
    """Blame dead rows, where a table takes more pages for no more rows."""
    for table in sorted(_relations(head.cells[change.key].analysis)):
        was, now = base.tables.get(table), head.tables.get(table)
        if was is None or now is None:
            continue
        dead = (now.dead_rows or 0.0) - (was.dead_rows or 0.0)
        rows_was, rows_now = was.live_rows or was.rows, now.live_rows or now.rows
        more_pages = now.pages >= max(was.pages, 1) * _ROWS_RATIO_MIN
        fewer_a_page = rows_now < max(rows_was, 1.0) * _ROWS_RATIO_MIN
        if fewer_a_page and (more_pages or dead >= max(rows_was, 1.0) * (_ROWS_RATIO_MIN - 1)):
            words = (
                f"{table} holds {now.dead_rows or 0:,.0f} dead rows and takes {was.pages:,} -> {now.pages:,} "
                f"pages for {rows_now:,.0f} rows: VACUUM it, and look for transactions that keep them alive"
            )
            return Cause("dead_rows", table, words, {"change": change.words, "dead_rows": now.dead_rows})
    return None


def _role_setting(base: Matrix, head: Matrix, change: PlanChange) -> Cause | None:
    """Name a setting of the database or of a role that changed, which a trial of ours does not reach."""
    for whose in sorted({*base.role_settings, *head.role_settings}):
        was, now = set(base.role_settings.get(whose, ())), set(head.role_settings.get(whose, ()))
        if was != now:
            told = ", ".join(sorted(now - was)) or f"no longer {', '.join(sorted(was - now))}"
            words = f"{whose} was set otherwise ({told}), and nothing that was tried brings the old plan back"
            return Cause("setting", whose, words, {"change": change.words})
    return None


def _sizes(base: Matrix, head: Matrix, tenant: str) -> dict[str, tuple[float, float]]:
    old, new = base.tenant_rows(tenant), head.tenant_rows(tenant)
    return {table: (float(old[table]), float(new[table])) for table in new if table in old}


def _relations(analysis: PlanAnalysis) -> frozenset[str]:
    """Return the tables that a plan reads or writes."""
    tables = [node.details for node in analysis.nodes if "Relation Name" in node.details]
    return frozenset(
        f"{details['Schema']}.{details['Relation Name']}"
        if details.get("Schema", "public") != "public"
        else str(details["Relation Name"])
        for details in tables
    )


def _words(item: Mapping[str, Any], base: Matrix, head: Matrix) -> str:
    subject = str(item["subject"])
    was, now = base.settings.get(subject), head.settings.get(subject)
    index = "was changed; as it was" if subject in base.indexes else "was added; without it"
    if subject not in head.indexes:
        index = "is gone; with it"
    elif head.indexes[subject].get("valid") is False:
        index = "is no longer valid; made anew"
    told = {
        "query": f"the query {subject} was rewritten; with its old text",
        "index": f"the index {subject} {index}",
        "setting": f"{subject} went from {was} to {now}; set back",
        "settings": f"the settings {subject} changed; all set back",
        "statistics": f"the statistics of {subject} are stale; after ANALYZE",
        "rows": f"the tenant grew in {subject}; with as few rows as before",
    }
    return f"{told[str(item['kind'])]}, the old plan is back"


def _squeezed(text: str) -> str:
    return " ".join(text.split())
