"""Which measurement shows which rule: the load or the probe, the figure, and what it is held against.

A rule without which the service does something worse has a *cost*. A rule without which it only tells nothing
any more makes blind, which no figure of the service can show: there a real signal has to be seen with the
rule on, and to be gone with it off; and what is measured in time is the *price* of keeping the rule.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from adx_lab.analysis.switches.worth import Effect
from adx_lab.conduct.switches import probes
from adx_lab.conduct.switches.probes import STALE_CUT_MS, Figures, Ground
from adx_lab.conduct.switches.signals import Signal
from adx_lab.errors import UsageError
from adx_lab.records.run import Caveat
from adx_lab.store.rule_costs import RuleKind

Probe = Callable[[Ground], Awaitable[Figures]]

_REPLICAS = "+token_secret=known-to-both-replicas-of-a-probe"
_ALERTS = "+alerts.every_s=0.2+alerts.memory_bytes=1000000"
_CUT = Caveat("cut", f"watched for {STALE_CUT_MS:g} ms only: it lasts until L1's time is over, 300 s")
_PRICE_S = Caveat("price", "the figure is the price of keeping the rule: what breaking it costs is blindness")
_STEADY = Caveat(
    "steady", "the rule works by the clock, not by the request: at another rate its share is another"
)
_SCALE = Caveat("scale", "grows with the size of the tenant, and the data set's largest is small")


@dataclass(frozen=True, slots=True)
class EvidenceFigure:
    """A figure that stands in the evidence: ``words`` before its two values, kept and broken."""

    figure: str
    words: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Against:
    """What a rule is held against: a budget of ``data/budgets.toml`` by its metric, or a promise of its own.

    Attributes
    ----------
    figure
        Which figure has to keep it.
    metric
        The budget's, or None.
    name, limit
        Of a promise that is no budget.
    """

    figure: str
    metric: str | None = None
    name: str = ""
    limit: float = 0.0


@dataclass(frozen=True, slots=True)
class Measure:
    """How one rule is measured.

    Attributes
    ----------
    scenario
        The locustfile that loads both, or, with a `probe`, what it is called.
    subject
        The endpoint, or what is asked.
    figure, metric, unit
        The figure that shows the rule, and how it is called in the table.
    options
        Settings that both variants get besides.
    shows
        What else goes into the evidence.
    rate_per_s
        Pairs of requests, under load.
    signal, signal_options
        What the rule makes visible, and the settings under which it is looked for.
    """

    rule: str
    scenario: str
    subject: str
    figure: str
    metric: str
    unit: str = "ms"
    effect: Effect = "ratio"
    probe: Probe | None = None
    against: Against | None = None
    shows: tuple[EvidenceFigure, ...] = ()
    options: str = ""
    rate_per_s: float = 60.0
    signal: Signal | None = None
    signal_options: str = ""
    caveats: tuple[Caveat, ...] = ()

    @property
    def kind(self) -> RuleKind:
        """Whether breaking it costs something, or makes blind."""
        return "cost" if self.signal is None else "blindness"


_PRICE_RATE_PER_S = 120.0
"""A price is a few microseconds: it takes many requests to see it, and these cost little."""

_QUERIES = EvidenceFigure("queries", "database queries a request")
_QUERY_BUDGET = "query.*.p95_ms"


def _price(
    rule: str, scenario: str, signal: Signal, *, signal_options: str = "", caveats: tuple[Caveat, ...] = ()
) -> Measure:
    return Measure(
        rule,
        scenario,
        "all",
        "cpu_us",
        "CPU a request, the rule's price",
        "µs",
        signal=signal,
        signal_options=signal_options,
        rate_per_s=_PRICE_RATE_PER_S,
        caveats=(_PRICE_S, *caveats),
    )


_ALL = (
    Measure(
        "db.indexes",
        "uncached",
        "GET /files",
        "p50_ms",
        "p50 of pairs",
        against=Against("query_p95_ms", _QUERY_BUDGET),
        shows=(EvidenceFigure("query_p95_ms", "p95 of its queries", "ms"),),
        caveats=(_SCALE,),
    ),
    Measure(
        "db.pagination",
        "paging",
        "GET /users (deep)",
        "p50_ms",
        "p50 of pairs",
        against=Against("p95_ms GET /users (greedy)", "group.users.p95_ms"),
        shows=(
            EvidenceFigure("p50_ms GET /users (greedy)", "who asks for 100,000 users waits", "ms"),
            EvidenceFigure("bytes GET /users (greedy)", "and gets", "bytes"),
        ),
        caveats=(_SCALE,),
    ),
    Measure(
        "db.prepared",
        "uncached",
        "GET /files/{id}",
        "p50_ms",
        "p50 of pairs",
        against=Against("query_p95_ms", _QUERY_BUDGET),
        shows=(
            EvidenceFigure("query_p95_ms", "p95 of its queries", "ms"),
            EvidenceFigure("cpu_us", "CPU a request", "µs"),
        ),
    ),
    _price("db.slow_log", "uncached", Signal("log", "slow query", slow_query=True)),
    Measure(
        "pool.config",
        "eight clients hold an export",
        "GET /files",
        "p95_ms",
        "p95 of everybody else",
        probe=probes.slow_readers,
        against=Against("p95_ms", "group.files.p95_ms"),
        shows=(EvidenceFigure("pool_ms", "longest wait for a connection", "ms"),),
    ),
    _price("pool.monitor", "uncached", Signal("series", "db_connections"), caveats=(_STEADY,)),
    Measure(
        "cache.l1",
        "cached",
        "GET /auth/me",
        "p50_ms",
        "p50 of pairs",
        against=Against("p95_ms", "group.auth.p95_ms"),
        shows=(
            EvidenceFigure("valkey_ms", "waiting for Valkey", "ms"),
            EvidenceFigure("cpu_us", "CPU a request", "µs"),
        ),
    ),
    Measure(
        "cache.l2",
        "a second replica starts",
        "GET /users/{id}",
        "p50_ms",
        "p50 of its first requests",
        probe=probes.second_replica,
        against=Against("p95_ms", "group.users.p95_ms"),
        shows=(_QUERIES,),
        options=_REPLICAS,
    ),
    Measure(
        "cache.invalidation",
        "a role is taken away",
        "GET /users",
        "stale_ms",
        "granted at another replica after it was taken",
        effect="difference",
        probe=probes.taken_permission,
        shows=(EvidenceFigure("let_in", "requests let in after it was taken from two people"),),
        against=Against("stale_ms", name="Stale permission", limit=100.0),
        options=_REPLICAS,
        caveats=(_CUT,),
    ),
    Measure(
        "cache.warming",
        "people come in after a warming",
        "GET /auth/me",
        "queries",
        "database queries of their first request",
        "queries",
        probe=probes.after_warming,
        against=Against("p95_ms", "group.auth.p95_ms"),
        shows=(EvidenceFigure("p50_ms", "p50 of it", "ms"), EvidenceFigure("p95_ms", "p95", "ms")),
        options="+warming.every_s=4",
    ),
    Measure(
        "async.bounded",
        "a batch of 50 users is added",
        "POST /auth/login",
        "login_ms",
        "wait of a login meanwhile",
        probe=probes.batches,
        against=Against("login_ms", "group.auth.p95_ms"),
        shows=(EvidenceFigure("lost", "of a batch of 100 fail"),),
    ),
    Measure(
        "async.streaming",
        "the largest tenant's events are exported",
        "GET /events",
        "first_byte_ms",
        "time to the first byte",
        probe=probes.export,
        against=Against("first_byte_ms", "group.users.p95_ms"),
        shows=(
            EvidenceFigure("grown_mb", "memory of 4 at once grows by", "MB"),
            EvidenceFigure("bytes_mb", "each", "MB"),
        ),
        caveats=(_SCALE,),
    ),
    Measure(
        "json.streaming",
        "the largest tenant's events are exported",
        "GET /events",
        "grown_mb",
        "memory that 4 at once take",
        "MB",
        effect="difference",
        probe=probes.export,
        against=Against("grown_mb", name="Memory that streams add", limit=50.0),
        shows=(EvidenceFigure("first_byte_ms", "first byte", "ms"), EvidenceFigure("bytes_mb", "each", "MB")),
        caveats=(_SCALE,),
    ),
    Measure(
        "files.chunked",
        "4 files of 48 MB go in and out at once",
        "POST /files, GET /files/{id}/content",
        "grown_mb",
        "memory that they take",
        "MB",
        effect="difference",
        probe=probes.large_files,
        against=Against("peak_mb", "service.rss_mb"),
        shows=(
            EvidenceFigure("peak_mb", "peak of the core", "MB"),
            EvidenceFigure("whole_ms", "all of it takes", "ms"),
        ),
    ),
    _price("metrics.http", "cached", Signal("series", "http_request_duration_ms")),
    _price("metrics.db", "uncached", Signal("series", "db_query_duration_ms")),
    _price("metrics.memory", "cached", Signal("series", "memory_usage_bytes"), caveats=(_STEADY,)),
    _price(
        "alerts.thresholds",
        "cached",
        Signal("log", "alert firing"),
        signal_options=_ALERTS,
        caveats=(_STEADY,),
    ),
)

MEASURES: Mapping[str, Measure] = {measure.rule: measure for measure in _ALL}
"""Every rule of the core, in the order of its own table."""


def measures_of(names: tuple[str, ...]) -> tuple[Measure, ...]:
    """Return how these rules are measured, each once; all of them where none is named.

    Raises
    ------
    UsageError
        There is no such rule; the message names the nearest.
    """
    for name in names:
        if name not in MEASURES:
            near = difflib.get_close_matches(name, MEASURES, n=1, cutoff=0.0)
            raise UsageError(f"no rule is called {name}", mend=f"did you mean {near[0]}?")
    return tuple(MEASURES[name] for name in dict.fromkeys(names or MEASURES))
