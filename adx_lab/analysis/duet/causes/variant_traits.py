"""What the captures know of a variant beside its times: the companions that name a cause.

Companions hardly vary from run to run, so that they settle what times can't. All figures are per request or
per call, so that two variants compare whatever their load; None (or an absent key) says that it was not
captured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["EndpointFacts", "QueryFacts", "VariantFacts"]


@dataclass(frozen=True)
class QueryFacts:
    """One named query under one variant.

    Attributes
    ----------
    shape : str or None
        The plan's fingerprint.
    scans : tuple of str
        What a person reads of it: `Seq Scan on users`, `Index Scan using users_email on users`.
    indexes : frozenset of str
        The indexes that the plan uses.
    estimate_factor : float or None
        By how much the planner misjudged rows at its worst node, at least 1.
    buffers, rows : float or None
        Shared buffers touched and rows returned, a call.
    exec_ms, plan_ms : float or None
        What the server itself measured a call, without the way there and back.
    text : str or None
        What it asks, white space aside.
    tables : frozenset of str
        The tables that its plan reads.
    """

    shape: str | None = None
    scans: tuple[str, ...] = ()
    indexes: frozenset[str] = frozenset()
    estimate_factor: float | None = None
    buffers: float | None = None
    rows: float | None = None
    exec_ms: float | None = None
    plan_ms: float | None = None
    text: str | None = None
    tables: frozenset[str] = frozenset()


@dataclass(frozen=True)
class EndpointFacts:
    """One endpoint under one variant; what is None is taken from the samples where they have it.

    Attributes
    ----------
    response_bytes, valkey_commands, cpu_ms, database_ms : float or None
        A request; the last two are what the service's own processes compute for it, and what its statements
        take.
    unnamed : mapping of text to (calls a request, milliseconds a call)
        The statements that it sends beside the named queries.
    """

    response_bytes: float | None = None
    valkey_commands: float | None = None
    cpu_ms: float | None = None
    database_ms: float | None = None
    unnamed: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class VariantFacts:
    """Everything captured of one variant.

    Attributes
    ----------
    queries, endpoints : mapping
        By name.
    indexes : frozenset of str or None
        All indexes of the database.
    stale_tables : tuple of str
        Tables whose statistics are missing, or much older than their last changes.
    table_rows, dead_rows : mapping
        By table.
    database_settings : mapping
        What the database, the role and the server were told that has to do with planning.
    plans_per_call : float or None
        How often a call was planned: near 0 with prepared statements, 1 without.
    cpu_ms : float or None
        CPU of the service a request.
    capacity_per_s : float or None
        Requests a second that its processes could answer at that price, if only their CPU held them up.
    memory_bytes : float or None
        By how much the service's memory grew, a request.
    loop_lag_ms, loop_lag_p90_ms : float or None
        The event loop's lateness, p99 and p90: what rarely holds it for long shows in the one, what often
        holds it a little in the other.
    pool_size : float or None
        Connections that the pool may open.
    cache_hits : mapping
        Look-ups a request by the layer that answered: `l1`, `l2`, `miss`.
    invalidations, valkey_commands : float or None
        A request.
    settings : mapping
        As resolved, dotted names.
    commit : str or None
    """

    queries: Mapping[str, QueryFacts] = field(default_factory=dict)
    endpoints: Mapping[str, EndpointFacts] = field(default_factory=dict)
    indexes: frozenset[str] | None = None
    stale_tables: tuple[str, ...] = ()
    table_rows: Mapping[str, float] = field(default_factory=dict)
    dead_rows: Mapping[str, float] = field(default_factory=dict)
    database_settings: Mapping[str, str] = field(default_factory=dict)
    plans_per_call: float | None = None
    cpu_ms: float | None = None
    capacity_per_s: float | None = None
    memory_bytes: float | None = None
    loop_lag_ms: float | None = None
    loop_lag_p90_ms: float | None = None
    pool_size: float | None = None
    cache_hits: Mapping[str, float] = field(default_factory=dict)
    invalidations: float | None = None
    valkey_commands: float | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
