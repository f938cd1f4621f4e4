"""A block a query: its text, its plans beside the baseline's, its slowest executions, who asks it."""

from __future__ import annotations

from collections.abc import Iterator

from adx_lab.analysis.plans.captures.matrix import Matrix, PlanCell, for_whom
from adx_lab.report.page.answer import endpoint_address, query_address, slug
from adx_lab.report.page.blocks.block import Drawable, Folded, Section, Words
from adx_lab.report.page.measured_night import Contents
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import Cell as TableCell
from adx_lab.report.parts.table import Column, Table
from adx_lab.report.plans.svg import PlanFigure, plan_figure
from adx_lab.report.plans.tables import findings_table, matrix_table

_NOTE = (
    "Every query that was captured, by kind of tenant or of value; custom: made for the values of a call, "
    "generic: made for any. Pages are of 8 kB."
)


def query_blocks(contents: Contents) -> list[Section]:
    """Return a block for each query, those whose plans changed first."""
    plans = contents.plans
    if plans is None:
        return []
    changed = [] if contents.compared is None else [one.query for one in contents.compared.plan_changes]
    names = dict.fromkeys([*changed, *(cell.query for cell in plans.cells.values())])
    every = link_queries(contents, matrix_table(plans))
    blocks = (Section(f"query-{slug(name)}", name, tuple(_shown(contents, plans, name))) for name in names)
    return [Section("plans", f"Every plan ({len(plans.cells)})", (every,), _NOTE, folded=True), *blocks]


def changed_plan(contents: Contents, query: str) -> PlanFigure | None:
    """Draw the plan of a query that changed the most, the baseline's beside it; None where none did."""
    if contents.compared is None:
        return None
    for change, base, head in contents.compared.plan_pairs():
        if change.query == query:
            title = f"{change.query} for {for_whom(change.tenant)}, {change.mode} plan"
            return plan_figure(head.analysis, base.analysis, title=title)
    return None


def link_queries(contents: Contents, table: Table, name: str = "query") -> Table:
    """Return a table whose queries lead to their blocks."""
    known = set() if contents.plans is None else {cell.query for cell in contents.plans.cells.values()}
    return table.linked(name, lambda text: query_address(text) if text in known else None)


def _shown(contents: Contents, plans: Matrix, name: str) -> Iterator[Drawable]:
    own = [cell for cell in plans.cells.values() if cell.query == name]
    if contents.compared is not None:
        for change in contents.compared.plan_changes:
            if change.query == name:
                yield Words(f"Changed: {change.words}.")
                break
    picture = changed_plan(contents, name)
    if picture is not None:
        yield picture
    yield _costs(contents, own)
    found = list({finding.kind: finding for cell in own for finding in cell.analysis.findings}.values())
    if found:
        yield findings_table(found)
    yield from _slow(contents, name)
    users = _users(contents, name)
    if users.rows:
        yield users
    largest = next((cell for cell in own if cell.tenant == "whale"), own[0] if own else None)
    if picture is None and largest is not None:
        title = f"{name} for {for_whom(largest.tenant)}, {largest.mode} plan"
        yield Folded("Its plan", (plan_figure(largest.analysis, title=title),))
    text = str(plans.queries.get(name, {}).get("text", "")).strip()
    if text:
        yield Folded("Its text", (Words(text, "pre"),))


def _costs(contents: Contents, own: list[PlanCell]) -> Table:
    before = None if contents.compared is None else contents.compared.base_plans
    columns = [
        *(
            Column("for", key="tenant"),
            Column("plan"),
            Column("takes", "ms", "number"),
            Column("pages", kind="number"),
        ),
        *(
            (Column("base", "ms", "number"), Column("pages, base", kind="number"))
            if before is not None
            else ()
        ),
    ]
    rows = []
    for cell in own:
        values = [cell.tenant, cell.mode, cell.analysis.execution_ms, cell.analysis.pages]
        if before is not None:
            old = before.cells.get(cell.key)
            values += [None, None] if old is None else [old.analysis.execution_ms, old.analysis.pages]
        rows.append(tuple(values))
    return Table(tuple(columns), tuple(rows))


def _slow(contents: Contents, name: str) -> Iterator[Drawable]:
    """Yield the slowest execution under load, with the plan that it really had."""
    if contents.judgement is None:
        return
    known = contents.judgement.slow_queries
    places = [place for place, item in enumerate(known) if item.query == name]
    if not places:
        return
    worst = max(places, key=lambda place: known[place].duration_ms or 0.0)
    item, row = known[worst], contents.judgement.sufferers.get(worst)
    request = "" if row is None else f", in a request to {contents.judgement.samples['endpoint'].iloc[row]}"
    title = f"{name} under load: {number(item.duration_ms)} ms{request}"
    words = f"{len(places)} executions took more than 10 ms under load; the slowest had this plan"
    yield Folded(words, (plan_figure(item.analysis, title=title),), f"query-{slug(name)}-slow")


def _users(contents: Contents, name: str) -> Table:
    columns = (Column("asked by"), Column("calls", kind="number"))
    if contents.judgement is None:
        return Table(columns, ())
    samples, queries = contents.judgement.samples, contents.judgement.queries
    rows = queries.loc[(queries["query"] == name).to_numpy(), "sample"].to_numpy()
    counts = samples["endpoint"].iloc[rows].value_counts()
    return Table(
        columns,
        tuple(
            (TableCell(str(endpoint), str(endpoint), endpoint_address(str(endpoint))), int(count))
            for endpoint, count in counts.items()
            if count
        ),
    )
