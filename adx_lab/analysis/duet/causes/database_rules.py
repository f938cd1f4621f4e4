"""The rules that name causes in the database: what is asked, what its planner knows, how it is to plan.

A query is slower for one of several reasons that leave different traces: its text is another one, an index
is gone, a setting forbids a way, rows are dead, statistics are missing, or the same plan takes longer. What
was changed by hand is asked for before what follows from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adx_lab.analysis.duet.causes.added_time import Claim, Ledger, rose
from adx_lab.records.statement_texts import short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from adx_lab.analysis.duet.causes.time_changes import EndpointChange, QueryChange

    Places = list[tuple[EndpointChange, QueryChange]]

__all__ = [
    "changed_plans",
    "changed_texts",
    "database_settings",
    "dead_rows",
    "missing_indexes",
    "slower_queries",
    "unnamed_statements",
    "unprepared",
]

STATEMENT_MS = 0.3
"""What one more statement can cost a request around its own time: the way there and back."""

DEAD_SHARE = 0.2
DEAD_MIN = 1_000
_LOUDEST = 3


def unnamed_statements(ledger: Ledger) -> Iterator[Claim]:
    """Find statements that are none of the named queries, and that an endpoint sends more often."""
    grown: dict[str, dict[str, tuple[float, float, float]]] = {}
    for change in ledger.changes:
        before, after = ledger.endpoint_facts(change.endpoint)
        for text, (calls, ms) in after.unnamed.items():
            known = before.unnamed.get(text, (0.0, 0.0))[0]
            if rose(known, calls, 1.3, 0.5):
                grown.setdefault(text, {})[change.endpoint] = (known, calls, ms)
    for text, places in sorted(grown.items()):
        own = {name: after - before for name, (before, after, _) in places.items()}
        most = {name: more * (STATEMENT_MS + places[name][2]) for name, more in own.items()}
        # Who sends it before each query counts it as that query's time.
        parts = ledger.take(sorted(places), ("database", *ledger.by_query(), "pool", "service"), most)
        worst = max(places, key=lambda name: own[name])
        before_calls, after_calls, ms = places[worst]
        cause = (
            f"{short(text, longest=60)} is sent {after_calls:.1f} times a request of {worst} instead of "
            f"{before_calls:.1f}: it is none of the named queries"
        )
        evidence = {
            "statement": text,
            "calls_per_request": {name: [pair[0], pair[1]] for name, pair in places.items()},
            "ms_per_call": ms,
        }
        yield Claim("statements", short(text, longest=60), cause, evidence, parts)


def changed_texts(ledger: Ledger) -> Iterator[Claim]:
    """Find queries that ask in other words, and take longer for it."""
    for query, places in ledger.by_query().items():
        before, after = ledger.query_facts(query)
        if before.text is None or after.text is None or before.text == after.text:
            continue
        if not (_another_plan(ledger, query) or _heavier(ledger, query)):
            continue
        parts = ledger.take([change.endpoint for change, _ in places], (query,))
        evidence = {
            **_plan_evidence(ledger, query),
            "text": [before.text, after.text],
            "indexes_no_longer_used": sorted(before.indexes - after.indexes),
        }
        lost = sorted(before.indexes - after.indexes)
        serves = f", and {', '.join(lost)} no longer serves it" if lost else ""
        cause = f"the text of {query} was changed{serves}: {', '.join(after.scans) or 'see the plans'}"
        yield Claim("query-text", query, cause, evidence, parts)


def database_settings(ledger: Ledger) -> Iterator[Claim]:
    """Find settings of the database or of the role that changed how queries are planned."""
    changed = ledger.changed_database_settings()
    if not changed:
        return
    hit = {
        query: places
        for query, places in ledger.by_query().items()
        if _another_plan(ledger, query) or _heavier(ledger, query)
    }
    if not hit:
        return
    told = ", ".join(f"{name} is {after} instead of {before}" for name, (before, after) in changed.items())
    evidence = {
        "settings": {name: list(pair) for name, pair in changed.items()},
        "queries": {query: _plan_evidence(ledger, query) for query in hit},
    }
    cause = f"{told}: {_some(sorted(hit))} planned otherwise"
    yield Claim("setting", ", ".join(changed), cause, evidence, _take(ledger, hit))


def dead_rows(ledger: Ledger) -> Iterator[Claim]:
    """Find tables that are full of dead rows, with all queries that wade through them."""
    for table, after in sorted(ledger.head.dead_rows.items()):
        before = ledger.base.dead_rows.get(table, 0.0)
        rows = ledger.head.table_rows.get(table, 0.0)
        if not rose(before, after, 2.0, max(DEAD_MIN, DEAD_SHARE * rows)):
            continue
        hit = {
            query: places
            for query, places in ledger.by_query().items()
            if table in ledger.query_facts(query)[1].tables and _heavier(ledger, query)
        }
        if not hit:
            continue
        evidence = {
            "table": table,
            "dead_rows": [before, after],
            "rows": [ledger.base.table_rows.get(table), rows],
            "queries": {query: _plan_evidence(ledger, query) for query in hit},
        }
        slowed = f"{_some(sorted(hit))} slowed down by them"
        cause = f"{table} holds {after:,.0f} dead rows beside {rows:,.0f}: {slowed}"
        yield Claim("dead-rows", table, cause, evidence, _take(ledger, hit))


def missing_indexes(ledger: Ledger) -> Iterator[Claim]:
    """Find indexes that are gone, with all queries that used them: one cause."""
    if ledger.base.indexes is None or ledger.head.indexes is None:
        return
    gone = ledger.base.indexes - ledger.head.indexes
    hit = {}
    for query, places in ledger.by_query().items():
        before, after = ledger.query_facts(query)
        if before.indexes & gone and before.shape != after.shape:
            hit[query] = places
    if not hit:
        return
    missed = sorted({index for query in hit for index in ledger.query_facts(query)[0].indexes & gone})
    parts = _take(ledger, hit)
    evidence = {"indexes": missed, "queries": {query: _plan_evidence(ledger, query) for query in hit}}
    cause = f"{', '.join(missed)} is gone: {', '.join(hit)} must read the table"
    yield Claim("index", ", ".join(missed), cause, evidence, parts)


def changed_plans(ledger: Ledger) -> Iterator[Claim]:
    """Find other plans for the same text and the same indexes: what the planner knows of the tables."""
    misled: dict[str, Places] = {}
    stale: set[str] = set()
    for query, places in ledger.by_query().items():
        before, after = ledger.query_facts(query)
        if not _another_plan(ledger, query):
            continue
        own = set(ledger.head.stale_tables) & set(after.tables or ledger.head.stale_tables)
        worse = (
            rose(before.estimate_factor or 1.0, after.estimate_factor, 3.0)
            and (after.estimate_factor or 0) >= 10
        )
        # Of two plans as good as one another it is chance which is taken.
        if (worse or own) and _heavier(ledger, query):
            misled[query] = places
            stale |= own
            continue
        cause = f"{query} has another plan: {', '.join(after.scans) or 'see the plans'}"
        parts = ledger.take([change.endpoint for change, _ in places], (query,))
        yield Claim("plan", query, cause, _plan_evidence(ledger, query), parts)
    if misled:
        evidence = {
            "queries": {query: _plan_evidence(ledger, query) for query in misled},
            "stale_tables": sorted(stale),
        }
        cause = f"the planner's statistics mislead it: {_some(sorted(misled))} planned otherwise"
        subject = ", ".join(sorted(stale)) or ", ".join(misled)
        yield Claim("statistics", subject, cause, evidence, _take(ledger, misled))


def unprepared(ledger: Ledger) -> Iterator[Claim]:
    """Find statements that are parsed and planned at each execution."""
    planned = rose(ledger.base.plans_per_call, ledger.head.plans_per_call, 1.0, 0.5)
    times = [ledger.query_facts(query) for query in ledger.by_query()]
    slower = [a for b, a in times if rose(b.plan_ms, a.plan_ms, 2.0, 0.02)]
    if not planned and (len(slower) < 2 or len(slower) < 0.6 * len(times)):
        return
    everywhere = [change.endpoint for change in ledger.changes]
    evidence = {
        "plans_per_call": [ledger.base.plans_per_call, ledger.head.plans_per_call],
        "queries_planned_longer": len(slower),
    }
    with_queries = [change.endpoint for change in ledger.changes if change.queries]
    parts = ledger.take(everywhere, (*ledger.by_query(), "database")) + ledger.take(
        with_queries, ("service", "pool")
    )
    cause = "statements are parsed and planned each time: they are no longer prepared"
    yield Claim("prepared", "statements", cause, evidence, parts)


def slower_queries(ledger: Ledger) -> Iterator[Claim]:
    """Find queries that take longer for the same plan: each by itself, or the database as a whole."""
    slow = {
        query: ledger.take([change.endpoint for change, _ in places], (query,))
        for query, places in ledger.by_query().items()
    }
    slow = {query: parts for query, parts in slow.items() if parts}
    sums = {query: sum(ms for _, _, ms in parts) for query, parts in slow.items()}
    # One query that carries most of it is the cause; a little from each means the database.
    if len(slow) >= 3 and max(sums.values()) < 0.7 * sum(sums.values()):
        parts = tuple(part for each in slow.values() for part in each)
        cause = f"the database answers later: {len(slow)} queries take longer for the same plans"
        yield Claim("dependency", "PostgreSQL", cause, {"queries": sorted(slow)}, parts)
        return
    for query, parts in slow.items():
        before, after = ledger.query_facts(query)
        pages = rose(before.buffers, after.buffers, 1.5, 5)
        why = "it reads more pages" if pages else "with the same plan and pages"
        evidence = _plan_evidence(ledger, query)
        yield Claim("buffers" if pages else "query", query, f"{query} takes longer: {why}", evidence, parts)


def _take(ledger: Ledger, hit: Mapping[str, Places]) -> tuple[tuple[str, str, float], ...]:
    """Claim what some queries, and the database around them, add wherever they are asked."""
    where = sorted({change.endpoint for places in hit.values() for change, _ in places})
    return ledger.take(where, (*hit, "database"))


def _another_plan(ledger: Ledger, query: str) -> bool:
    before, after = ledger.query_facts(query)
    return before.shape is not None and after.shape is not None and before.shape != after.shape


def _heavier(ledger: Ledger, query: str) -> bool:
    """Tell whether a query reads more pages, or is longer under way in the server itself."""
    before, after = ledger.query_facts(query)
    if before.buffers is None and before.exec_ms is None:  # nobody counted: its times must do
        return True
    pages = rose(before.buffers, after.buffers, 1.2, 2)
    return pages or rose(before.exec_ms, after.exec_ms, 1.3, 0.05)


def _plan_evidence(ledger: Ledger, query: str) -> dict[str, object]:
    before, after = ledger.query_facts(query)
    return {
        "scans": [list(before.scans), list(after.scans)],
        "buffers_per_call": [before.buffers, after.buffers],
        "estimate_factor": [before.estimate_factor, after.estimate_factor],
        "exec_ms_per_call": [before.exec_ms, after.exec_ms],
    }


def _some(names: list[str]) -> str:
    """Return a few names, and how many more there are, with their verb."""
    more = f" and {len(names) - _LOUDEST} more" if len(names) > _LOUDEST else ""
    return f"{', '.join(names[:_LOUDEST])}{more} {'is' if len(names) == 1 else 'are'}"
