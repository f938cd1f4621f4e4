"""What the findings know beside the plan, and from where on they speak."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adx_lab.analysis.plans.advice.indexes import Existing


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What the catalogue says of a table; ``rows`` is what the planner believes, -1 where never analysed."""

    rows: float
    pages: int
    modified: float = 0.0
    live_rows: float | None = None
    dead_rows: float | None = None
    partition_of: str | None = None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key: which table's columns refer to another table's rows; tables by name as in `Context`."""

    name: str
    table: str
    columns: tuple[str, ...]
    references: str


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on something costs a noticeable part of 10 ms.

    A row that is looked at costs about 0.1 to 1 µs, a page in memory about 1 to 5 µs, a page from disk 50 µs
    and more: a thousand rows or a few hundred pages are a tenth of the budget. Nothing here is a time but
    for JIT and triggers, since one execution's time says little.
    """

    rows_read_min: float = 1000.0
    kept_share_max: float = 0.1
    removed_per_kept_min: float = 10.0
    misestimate_min: float = 10.0
    misestimate_rows_min: float = 200.0
    loops_min: float = 1000.0
    loop_pages_min: int = 1000
    heap_fetches_min: float = 100.0
    heap_fetches_share_min: float = 0.1
    lossy_blocks_min: int = 10
    sorted_rows_min: float = 5000.0
    thrown_away_min: float = 500.0
    modified_share_min: float = 0.2
    modified_min: float = 500.0
    jit_share_min: float = 0.1
    jit_ms_min: float = 1.0
    trigger_ms_min: float = 2.0
    trigger_call_ms_min: float = 0.5
    scattered_share_max: float = 0.02
    pages_kept_share_max: float = 0.5
    planning_ms_min: float = 2.0
    pages_a_row_min: float = 10.0
    dead_pages_min: int = 500
    pairs_min: float = 10_000.0
    foreign_rows_min: float = 500.0
    io_share_min: float = 0.3
    io_ms_min: float = 5.0
    block_ranges_pages_min: int = 2000
    block_ranges_share_min: float = 0.005
    covered_width_max: float = 100.0
    covered_rows_min: float = 10.0
    minor_share_max: float = 0.05
    disabled_cost: float = 1e10


@dataclass(frozen=True, slots=True)
class Context:
    """What is known beside a plan.

    ``tables``, their ``columns`` (name and type) and their ``indexes`` are by name, with the schema where
    that is not ``public``; ``in_order`` are a table's columns in whose order its rows lie, as in a table that
    is only added to. ``memory_mb`` is what the database's machine has.
    """

    tables: Mapping[str, TableFacts] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    indexes: Mapping[str, Sequence[Existing]] = field(default_factory=dict)
    in_order: Mapping[str, Sequence[str]] = field(default_factory=dict)
    foreign_keys: Sequence[ForeignKey] = ()
    memory_mb: float | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
