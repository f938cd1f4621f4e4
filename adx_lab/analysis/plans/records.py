"""What the plan analysis yields: frozen, and plain enough to be written as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RawNode = Mapping[str, Any]
"""One object of ``EXPLAIN (FORMAT JSON)`` with a ``Node Type``."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value that PostgreSQL rounded before it printed it: what was computed, and where the truth lies."""

    value: float
    low: float
    high: float

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.value + other.value, self.low + other.low, self.high + other.high)

    def __sub__(self, other: Interval) -> Interval:
        return Interval(self.value - other.value, self.low - other.high, self.high - other.low)

    def scaled(self, factor: float) -> Interval:
        """Return the interval times a factor that is not negative."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)


ZERO = Interval(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class PlanDocument:
    """One explained statement as it was found.

    ``body`` is the object that holds ``Plan``; ``line`` is where it began in its file; ``duration_ms`` is
    what the log says the statement took (auto_explain prints no ``Execution Time``); ``facts`` is what the
    log line or the wrapping object said beside it (time, process, query text).
    """

    body: Mapping[str, Any]
    line: int = 1
    duration_ms: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> RawNode:
        """The plan's top node."""
        plan: RawNode = self.body["Plan"]
        return plan

    @property
    def query_text(self) -> str | None:
        """The statement, where the document holds it."""
        text = self.body.get("Query Text", self.facts.get("query_text"))
        return text if isinstance(text, str) else None


@dataclass(frozen=True, slots=True)
class PlanFinding:
    """One thing about a plan that will cost somebody time, why, and what mends it."""

    kind: str
    path: str
    subject: str
    reason: str
    mend: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanNode:
    """One node, its figures in totals over all loops and processes but where it says otherwise.

    ``rows`` and ``planned_rows`` are a loop's, as PostgreSQL prints them, so that they can be compared with
    each other; ``rows_total`` is over all loops. ``inclusive_ms`` and ``self_ms`` are None where the plan
    was not executed or not timed. ``estimate_factor`` is rows over planned rows, None where that would judge
    nothing: never executed, stopped early, pruned. ``cpu_ms`` is the inclusive time summed over every
    parallel process.
    """

    path: str
    type: str
    relation: str | None
    index: str | None
    loops: float | None
    inclusive_ms: float | None
    self_ms: float | None
    self_ms_low: float | None
    self_ms_high: float | None
    rows: float | None
    planned_rows: float | None
    estimate_factor: float | None
    shared_hit: int | None
    shared_read: int | None
    temp_written: int | None
    rows_removed: float | None
    findings: tuple[PlanFinding, ...]
    label: str = ""
    parent: int | None = None
    depth: int = 0
    relationship: str | None = None
    alias: str | None = None
    known: bool = True
    never_executed: bool = False
    stopped_early: bool = False
    rows_total: float | None = None
    cpu_ms: float | None = None
    workers: int = 0
    shared_dirtied: int | None = None
    shared_written: int | None = None
    local_hit: int | None = None
    local_read: int | None = None
    temp_read: int | None = None
    io_ms: float | None = None
    self_shared_hit: int | None = None
    self_shared_read: int | None = None
    self_temp_written: int | None = None
    cost: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def self_pages(self) -> int | None:
        """Shared pages that this node itself touched, found in memory or read."""
        if self.self_shared_hit is None:
            return None
        return self.self_shared_hit + (self.self_shared_read or 0)

    @property
    def pages(self) -> int | None:
        """Shared pages touched by this node and everything below it."""
        if self.shared_hit is None:
            return None
        return self.shared_hit + (self.shared_read or 0)


@dataclass(frozen=True, slots=True)
class Certificate:
    """The proof that no time was lost or counted twice.

    ``sum_ms`` is the self times of all nodes, the triggers, the serialization and the rest, added up afresh;
    ``target_ms`` is what PostgreSQL says the whole took (``Execution Time``, the log's duration, or the root
    where there is neither). ``holds`` says that they agree within the rounding interval and that nothing is
    negative beyond it. ``text`` is one printable line.
    """

    holds: bool
    sum_ms: float | None
    target_ms: float | None
    tolerance_ms: float | None
    target: str
    negative: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger's time; ``inside`` where it ran within a node (BEFORE) and is counted there.

    ``is_constraint`` is true of those that keep a constraint; ``name`` is then the constraint's.
    """

    name: str
    relation: str | None
    calls: float
    ms: float
    inside: bool
    is_constraint: bool = False


@dataclass(frozen=True, slots=True)
class PlanAnalysis:
    """One analysed plan; ``nodes`` in the order in which EXPLAIN prints them, the root first.

    ``jit_ms`` is what compiling took in each process, on average over the leader and its workers.
    """

    shape: str
    execution_ms: float | None
    planning_ms: float | None
    unattributed_ms: float | None
    certificate: Certificate
    nodes: tuple[PlanNode, ...]
    findings: tuple[PlanFinding, ...]
    query_text: str | None = None
    query_id: int | None = None
    triggers: tuple[Trigger, ...] = ()
    serialization_ms: float | None = None
    jit_ms: float | None = None
    planning_pages: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    hit_ratio: float | None = None
    analysed: bool = False
    timed: bool = False
    buffered: bool = False
    line: int = 1
    facts: Mapping[str, Any] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()

    @property
    def root(self) -> PlanNode:
        """The top node."""
        return self.nodes[0]

    @property
    def pages(self) -> int | None:
        """Shared pages the statement touched, found in memory or read."""
        return self.root.pages


def children_of(parents: Sequence[int | None]) -> tuple[tuple[int, ...], ...]:
    """Turn each node's parent into each node's children, in order."""
    children: list[list[int]] = [[] for _ in parents]
    for index, parent in enumerate(parents):
        if parent is not None:
            children[parent].append(index)
    return tuple(tuple(found) for found in children)
