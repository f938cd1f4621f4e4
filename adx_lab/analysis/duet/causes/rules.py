"""The rules that name causes, in the order in which they claim their milliseconds.

Each rule looks for the trace that only its cause leaves behind; what it does not find it leaves to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adx_lab.analysis.duet.causes.added_time import ELSEWHERE, Claim, Ledger, rose
from adx_lab.analysis.duet.causes.database_rules import (
    changed_plans,
    changed_texts,
    database_settings,
    dead_rows,
    missing_indexes,
    slower_queries,
    unnamed_statements,
    unprepared,
)
from adx_lab.analysis.run.time_split import BASE_PARTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["CERTAIN", "RULES"]

CERTAIN = frozenset(
    {
        "index",
        "n+1",
        "new-query",
        "limit",
        "payload",
        "cache.l1",
        "cache.l2",
        "pool",
        "statistics",
        "setting",
        "statements",
    }
)
"""Kinds that rest on facts which hardly vary: told even where no time could be shown to have changed."""

COMPUTED = 0.4
"""Of the added time, spent on CPU: then it is computing, and not waiting."""

Part = tuple[str, str, float]
"""Endpoint, part of its time, milliseconds a request."""

_COMPUTES = "the service computes more for each request"

SHARE_MOVED = 0.05
SHARE_MOVED_BY_INVALIDATION = 0.01
"""Less will do where invalidations became more frequent: they are counted, and hardly vary."""

INVALIDATIONS_MOVED = 0.05
"""A request more."""

GONE = 0.1

CALL_MS, BYTE_MS, INVALIDATION_MS = 0.08, 1.5e-4, 1.0
"""What one more execution, byte or invalidation can cost the service around it: a cause claims no more."""


def _layers(ledger: Ledger) -> tuple[dict[str, float], dict[str, float]]:
    """Return the shares of look-ups that each layer answered, under base and head."""
    if ledger.base.cache_hits and ledger.head.cache_hits:
        counts = [dict(ledger.base.cache_hits), dict(ledger.head.cache_hits)]
    else:
        counts = [dict.fromkeys(("l1", "l2", "miss"), 0.0) for _ in range(2)]
        for change in ledger.changes:
            for layer, pair in change.layer_shares.items():
                for side in (0, 1):
                    if layer in counts[side]:
                        counts[side][layer] += change.requests * pair[side]
    sums = [sum(side.values()) for side in counts]
    if not all(sums):
        return {}, {}
    before, after = ({k: v / s for k, v in side.items()} for side, s in zip(counts, sums, strict=True))
    return before, after


def _cache_cause(ledger: Ledger, before: dict[str, float], after: dict[str, float]) -> tuple[str, str] | None:
    """Return the kind and the cause of a change in which layers answer, or None when there is none."""
    l1, l2 = (before.get(k, 0.0) for k in ("l1", "l2"))
    new_l1, new_l2 = (after.get(k, 0.0) for k in ("l1", "l2"))
    l1_gone = l1 >= SHARE_MOVED and new_l1 < GONE * l1
    if l1_gone:
        return "cache.l1", f"the in-process cache (L1) answers {new_l1:.0%} of look-ups instead of {l1:.0%}"
    if l2 >= 0.01 and new_l2 < GONE * l2:
        return "cache.l2", f"the shared cache (L2) answers {new_l2:.1%} of look-ups instead of {l2:.1%}"
    known = None not in (ledger.base.invalidations, ledger.head.invalidations)
    more = rose(ledger.base.invalidations, ledger.head.invalidations, 1.5, INVALIDATIONS_MOVED)
    moved = max(l1 - new_l1, after.get("miss", 0.0) - before.get("miss", 0.0))
    if moved < (SHARE_MOVED_BY_INVALIDATION if more else SHARE_MOVED):
        return None
    if more or not known:
        return (
            "invalidation",
            f"cached entries are dropped early: L1 answers {new_l1:.0%} instead of {l1:.0%}",
        )
    layer = "cache.l1" if l1 - new_l1 >= SHARE_MOVED else "cache.l2"
    return layer, f"hit ratio fell: L1 answers {new_l1:.0%} instead of {l1:.0%}, L2 {new_l2:.0%} of {l2:.0%}"


def caches(ledger: Ledger) -> Iterator[Claim]:
    """Find a cache layer that no longer answers: the change in hit ratio times what the next layer costs."""
    before, after = _layers(ledger)
    found = _cache_cause(ledger, before, after) if before else None
    if found is None:
        return
    kind, cause = found
    evidence = {
        f"{layer}_share": [round(before.get(layer, 0.0), 4), round(after.get(layer, 0.0), 4)]
        for layer in ("l1", "l2", "miss")
    }
    if ledger.head.invalidations is not None:
        evidence["invalidations_per_request"] = [ledger.base.invalidations or 0.0, ledger.head.invalidations]
    moved = [
        change.endpoint
        for change in ledger.changes
        if any(abs(b - a) >= 0.01 for a, b in change.layer_shares.values())
    ]
    # Where more look-ups go to Valkey the time there follows, within a layer too: a request may look up
    # twice. Invalidating is work of the service itself, besides.
    parts = ledger.take(moved, (ELSEWHERE,))
    # But no more of it than the look-ups that moved cost by themselves: the rest is a slower Valkey.
    again = {endpoint: ms for endpoint, _, ms in parts}
    parts += ledger.take(moved, ("valkey",), again)
    if kind == "invalidation":
        more = (ledger.head.invalidations or 0.0) - (ledger.base.invalidations or 0.0)
        parts += ledger.take(moved, ("service",), dict.fromkeys(moved, INVALIDATION_MS * max(0.0, more)))
    yield Claim(
        kind,
        {"cache.l1": "L1", "cache.l2": "L2"}.get(kind, "caches"),
        cause,
        evidence,
        parts,
    )


def _times(calls: float) -> str:
    if calls < 0.05:
        return "never"
    return "once" if abs(calls - 1) < 0.05 else f"{calls:.1f}".removesuffix(".0") + " times"


def repeated_queries(ledger: Ledger) -> Iterator[Claim]:
    """Find queries that run more often in a request, although the same cache layer answers."""
    for query, places in ledger.by_query().items():
        more = [(c, q) for c, q in places if rose(q.base_calls, q.head_calls, 1.3, 0.5)]
        if not more:
            continue
        worst = max(more, key=lambda pair: pair[1].head_calls - pair[1].base_calls)[1]
        fresh = worst.base_calls < 0.01 and worst.head_calls < 2
        cause = (
            f"{query} is new: it runs {_times(worst.head_calls)} a request"
            if fresh
            else f"{query} runs {_times(worst.head_calls)} a request instead of {_times(worst.base_calls)}"
        )
        evidence = {
            "calls_per_request": [round(worst.base_calls, 3), round(worst.head_calls, 3)],
            "ms_per_call": [round(worst.base_ms, 4), round(worst.head_ms, 4)],
        }
        where = [change.endpoint for change, _ in more]
        added = {change.endpoint: q.head_calls - q.base_calls for change, q in more}
        per_call = {change.endpoint: q.head_ms for change, q in more}
        parts = ledger.take(where, (query,), {name: calls * per_call[name] for name, calls in added.items()})
        # Each execution costs the service, the pool and the driver too, though not whatever else they do.
        around = {name: calls * CALL_MS for name, calls in added.items()}
        parts += ledger.take(where, ("database", "service", "pool"), around)
        yield Claim("new-query" if fresh else "n+1", query, cause, evidence, parts)


def more_rows(ledger: Ledger) -> Iterator[Claim]:
    """Find queries that return more rows: a LIMIT or a condition is missing."""
    for query, places in ledger.by_query().items():
        before, after = ledger.query_facts(query)
        if not rose(before.rows, after.rows, 1.5, 5):
            continue
        where = [change.endpoint for change, _ in places]
        heavier = [change.endpoint for change, _ in places if ledger.heavier(change)]
        evidence = {
            "rows_per_call": [before.rows, after.rows],
            "buffers_per_call": [before.buffers, after.buffers],
            "response_bytes": [places[0][0].base_bytes, places[0][0].head_bytes],
        }
        parts = ledger.take(where, (query,)) + ledger.take(
            heavier, ("service", "network", "database", "pool")
        )
        counts = f"{after.rows:.0f} rows instead of {before.rows:.0f}"
        cause = f"{query} returns {counts}: a LIMIT or a condition is missing"
        yield Claim("limit", query, cause, evidence, parts)


def smaller_pool(ledger: Ledger) -> Iterator[Claim]:
    """Find a pool that may open fewer connections than before."""
    before, after = ledger.base.pool_size, ledger.head.pool_size
    if before is None or after is None or after >= before:
        return
    everywhere = [change.endpoint for change in ledger.changes]
    parts = ledger.take(everywhere, ("pool",))
    waits = ": requests wait for one" if parts else ""
    cause = f"the pool may open {after:.0f} instead of {before:.0f} connections{waits}"
    yield Claim("pool", "pool", cause, {"pool_size": [before, after]}, parts)


def heavier_responses(ledger: Ledger) -> Iterator[Claim]:
    """Find responses that grew although their queries return no more rows."""
    grown = [change for change in ledger.changes if ledger.heavier(change)]
    unclaimed = [
        c
        for c in grown
        if (c.endpoint, "service") in ledger.open_ms and (c.endpoint, "network") in ledger.open_ms
    ]
    if not unclaimed:
        return
    where = [change.endpoint for change in unclaimed]
    queries = {query.query for change in unclaimed for query in change.queries}
    evidence = {change.endpoint: [round(change.base_bytes), round(change.head_bytes)] for change in unclaimed}
    sizes = {c.endpoint: ledger.bytes_of(c) for c in unclaimed}
    added = {name: BYTE_MS * max(0.0, after - before) for name, (before, after) in sizes.items()}
    parts = ledger.take(where, ("network", "service", *sorted(queries), "database"), added)
    worst = max(
        unclaimed, key=lambda change: (change.head_bytes / max(1.0, change.base_bytes), change.endpoint)
    )
    ratio = worst.head_bytes / max(1.0, worst.base_bytes)
    cause = f"responses are bigger: {worst.endpoint} sends {ratio:.1f} times as many bytes"
    yield Claim("payload", ", ".join(where), cause, {"response_bytes": evidence}, parts)


def busy_loop(ledger: Ledger) -> Iterator[Claim]:
    """Find an event loop that is late: something holds it, and everything else waits.

    What holds it without spending CPU is a blocking call; a long computation holds it too, and its CPU
    says so.
    """
    lags = [
        (ledger.base.loop_lag_ms, ledger.head.loop_lag_ms, 0.5),
        (ledger.base.loop_lag_p90_ms, ledger.head.loop_lag_p90_ms, 0.3),
    ]
    if not any(rose(before, after, 1.5, least) for before, after, least in lags):
        return
    source = max(ledger.changes, key=lambda c: (ledger.open_ms.get((c.endpoint, "service"), 0.0), c.endpoint))
    everywhere = [change.endpoint for change in ledger.changes]
    evidence = {
        "loop_lag_p99_ms": [ledger.base.loop_lag_ms, ledger.head.loop_lag_ms],
        "loop_lag_p90_ms": [ledger.base.loop_lag_p90_ms, ledger.head.loop_lag_p90_ms],
        "cpu_ms_per_request": [ledger.base.cpu_ms, ledger.head.cpu_ms],
        "ms_added_per_request": round(ledger.added_ms, 4),
    }
    # The driver's clock runs on while the loop is held: times of queries that only the service saw follow it.
    unbacked = [query for query in ledger.by_query() if not rose(*_server_side(ledger, query), 1.2)]
    parts = ledger.take(everywhere, (*BASE_PARTS, *unbacked))
    computes = _cpu_added(ledger) >= COMPUTED * ledger.added_ms
    how = "computes on" if computes else "blocks"
    late = ", ".join(
        f"{after:.1f} ms at {name} instead of {before:.1f}"
        for name, (before, after, _) in zip(("p99", "p90"), lags, strict=True)
        if before is not None and after is not None
    )
    cause = f"{source.endpoint} {how} the event loop: it is late by {late}"
    yield Claim("cpu" if computes else "blocking", source.endpoint, cause, evidence, parts)


def _cpu_added(ledger: Ledger) -> float:
    """Return the CPU added a request, milliseconds; 0 where it is not known."""
    return (ledger.head.cpu_ms or 0.0) - (ledger.base.cpu_ms or 0.0)


def _server_side(ledger: Ledger, query: str) -> tuple[float | None, float | None]:
    before, after = ledger.query_facts(query)
    return before.exec_ms, after.exec_ms


def slower_valkey(ledger: Ledger) -> Iterator[Claim]:
    """Find a Valkey that answers later, or is asked more often."""
    everywhere = [change.endpoint for change in ledger.changes]
    parts = ledger.take(everywhere, ("valkey",))
    if not parts:
        return
    before, after = ledger.base.valkey_commands, ledger.head.valkey_commands
    more = rose(before, after, 1.3, 0.2)
    evidence = {"valkey_commands_per_request": [before, after]}
    cause = "Valkey is asked more often" if more else "Valkey answers later, for the same commands"
    yield Claim("valkey-commands" if more else "dependency", "Valkey", cause, evidence, parts)


def service_itself(ledger: Ledger) -> Iterator[Claim]:
    """Explain the rest of the service: CPU of its own, its database, or waiting for what nobody sees.

    Each endpoint by what was counted around it alone, where it was; the others by the CPU of all requests.
    """
    everywhere = [change.endpoint for change in ledger.changes]
    computing: list[Part] = []
    asking: list[Part] = []
    outside: list[Part] = []
    unknown: list[Part] = []
    for part in ledger.take(everywhere, ("service",)):
        cpu_ms, database_ms = ledger.counted_ms(part[0])
        if cpu_ms is None:
            unknown.append(part)
        elif cpu_ms >= COMPUTED * part[2]:
            computing.append(part)
        else:
            (asking if cpu_ms + database_ms >= COMPUTED * part[2] else outside).append(part)
    if unknown:
        yield _service(ledger, tuple(unknown))
    if computing:
        evidence = {"cpu_ms_added": _counted(ledger, computing)}
        yield Claim("cpu", _worst(computing), _COMPUTES, evidence, tuple(computing))
    if outside:
        cause = "the service waits: for a lock, a timer or another service; it hardly computes more"
        evidence = {"cpu_ms_added": _counted(ledger, outside)}
        yield Claim("dependency", _worst(outside), cause, evidence, tuple(outside))
    if asking:
        cause = "the service waits for its database"
        yield Claim("waiting", _worst(asking), cause, {}, tuple(asking), consequence=True)


def _worst(parts: Sequence[Part]) -> str:
    return max(parts, key=lambda part: (part[2], part[0]))[0]


def _counted(ledger: Ledger, parts: Sequence[Part]) -> dict[str, float]:
    return {endpoint: round(ledger.counted_ms(endpoint)[0] or 0.0, 4) for endpoint, _, _ in parts}


def _service(ledger: Ledger, parts: tuple[tuple[str, str, float], ...]) -> Claim:
    """Explain it by the CPU of all requests."""
    requests = {change.endpoint: change.requests for change in ledger.changes}
    # Over all requests, as the CPU is: what one endpoint waits for is little beside what all of them compute.
    added = sum(requests[endpoint] * ms for endpoint, _, ms in parts) / ledger.requests
    before, after = ledger.base.cpu_ms, ledger.head.cpu_ms
    evidence = {"service_ms_added_per_request": round(added, 4), "cpu_ms_per_request": [before, after]}
    if before is None or after is None:
        return Claim("service", _worst(parts), "the service itself takes longer", evidence, parts)
    if after - before >= COMPUTED * added:
        return Claim("cpu", _worst(parts), _COMPUTES, evidence, parts)
    cause = "the service waits for something outside: neither its CPU nor its loop is busier"
    return Claim("dependency", _worst(parts), cause, evidence, parts)


def waiting(ledger: Ledger) -> Iterator[Claim]:
    """Claim waiting that has no trace of its own: a consequence, unless nothing else is found."""
    everywhere = [change.endpoint for change in ledger.changes]
    for part, subject, cause in (
        ("pool", "pool", "requests wait for a connection, although the pool is as large as before"),
        ("network", "network", "time between the client and the service grew"),
        ("database", "database", "the database's time grew outside of its named queries"),
    ):
        parts = ledger.take(everywhere, (part,))
        if parts:
            yield Claim("waiting", subject, cause, {}, parts, consequence=True)


RULES: tuple[Callable[[Ledger], Iterator[Claim]], ...] = (
    caches,
    repeated_queries,
    unnamed_statements,
    more_rows,
    missing_indexes,
    changed_texts,
    database_settings,
    dead_rows,
    changed_plans,
    smaller_pool,
    unprepared,
    heavier_responses,
    busy_loop,
    slower_valkey,
    slower_queries,
    service_itself,
    waiting,
)
