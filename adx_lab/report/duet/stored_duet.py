"""A stored duet as people read it: its verdict as it was given, and what stands behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from adx_lab.analysis.duet.block_ratios import ALL, BASE, HEAD, BlockSeries, block_quantiles
from adx_lab.analysis.duet.causes.read_traits import facts_of
from adx_lab.analysis.duet.causes.time_changes import EndpointChange, split_changes
from adx_lab.analysis.duet.causes.variant_traits import VariantFacts
from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.duet.gates import OPEN, SERIAL, movement_of
from adx_lab.analysis.duet.pair_ratios import MOVEMENT_METRICS, pairs_of, ratio_series, whole_pairs
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.run.audit import ValidityCheck
from adx_lab.errors import StoreError
from adx_lab.records.run import RunRecord
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import Column, Table, facts
from adx_lab.store.folders import StoredRun

_QUERIES_MAX = 15
_PAGES_RATIO, _PAGES_MIN = 1.25, 16.0
"""Two runs never send quite the same arguments: less than this is no difference."""


@dataclass(frozen=True)
class Duel:
    """One stored duet, read once; nothing is judged anew here.

    Attributes
    ----------
    run
        Its folder.
    judged
        The verdict as plain fields, where whoever opened it has judged it again.
    """

    run: StoredRun
    judged: Mapping[str, Any] | None = None

    @property
    def record(self) -> RunRecord:
        """What ``run.json`` holds."""
        return self.run.record

    @cached_property
    def verdict(self) -> Mapping[str, Any]:
        """The verdict as it was given.

        Raises
        ------
        StoreError
            There is none.
        """
        document = self.judged or self.run.verdict()
        if document is None:
            raise StoreError(f"run {self.record.run_id} has no verdict", mend="adx-lab verdict computes it")
        return document

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """What the duet says of each endpoint and metric."""
        return msgspec.convert(self.verdict["comparisons"], tuple[Comparison, ...])

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The causes that the verdict names, the largest first."""
        told = self.verdict["findings"]
        return tuple(Finding(**{**one, "endpoints": tuple(one["endpoints"])}) for one in told)

    @cached_property
    def validity(self) -> tuple[ValidityCheck, ...]:
        """Whether it can be trusted."""
        return msgspec.convert(self.verdict["validity"], tuple[ValidityCheck, ...])

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row a request, of both variants."""
        return self.run.table("samples")

    @cached_property
    def blocks(self) -> tuple[BlockSeries, ...]:
        """What each block says: a log ratio for each endpoint and metric."""
        pairs, numbers = whole_pairs(self.samples), self.samples["block"].unique().tolist()
        told: list[BlockSeries] = []
        for movement, metric in MOVEMENT_METRICS.items():
            own = pairs[(pairs["movement"] == movement).to_numpy()]
            if len(own):
                told += ratio_series(pairs_of(own, blocks=numbers), metric=metric)
        return (*told, *block_quantiles(self.loaded))

    @property
    def loaded(self) -> pd.DataFrame:
        """The requests of the load, without those that were asked one at a time or in bursts."""
        return movement_of(self.samples, OPEN)

    @property
    def alone(self) -> pd.DataFrame:
        """The requests that were sent one at a time."""
        return movement_of(self.samples, SERIAL)

    @cached_property
    def changes(self) -> tuple[EndpointChange, ...]:
        """Where each endpoint's time went, part by part: asked one at a time, where it was."""
        samples, queries = self.samples, self.run.table("queries")
        alone = self.alone
        if not len(alone):
            return split_changes(samples, queries)
        # Queries name their request by its place among all.
        rows = np.flatnonzero((samples["movement"] == SERIAL).to_numpy())
        asked = queries[np.isin(queries["sample"].to_numpy(), rows)]
        places = np.searchsorted(rows, asked["sample"].to_numpy())
        return split_changes(alone.reset_index(drop=True), asked.assign(sample=places))

    @cached_property
    def sides(self) -> tuple[VariantFacts, VariantFacts]:
        """What was captured of base and head besides their times."""
        companions, variants = self.run.companions(), self.record.duet.variants
        return facts_of(companions, variants[BASE], BASE), facts_of(companions, variants[HEAD], HEAD)


def verdict_table(duel: Duel) -> Table:
    """Return the answer and what was compared."""
    known = duel.verdict
    seen = [
        one.could_see
        for one in duel.comparisons
        if one.gate and one.subject != ALL and one.could_see is not None
    ]
    base, head = duel.record.variants
    return facts(
        {
            "verdict": str(known["status"]),
            "base": base,
            "head": head,
            "scenario": duel.record.scenario,
            "blocks": len(duel.record.duet.blocks),
            "pairs a second": number(duel.record.duet.rate_per_s),
            "smallest slowdown it would have seen": f"{sorted(seen)[len(seen) // 2]:.1%}" if seen else "–",
            "run": duel.record.run_id,
        }
    )


def companions_table(duel: Duel) -> Table:
    """Return what the variants did besides taking time, a request."""
    base, head = duel.sides
    columns = (
        Column("a request"),
        *(Column("base", kind="number"), Column("head", kind="number"), Column("change", kind="change")),
    )
    rows = [
        ("CPU of the service [ms]", base.cpu_ms, head.cpu_ms),
        ("event loop late, p99 [ms]", base.loop_lag_ms, head.loop_lag_ms),
        ("Valkey commands", base.valkey_commands, head.valkey_commands),
        ("plans a database call", base.plans_per_call, head.plans_per_call),
        ("connections of the pool, in all", base.pool_size, head.pool_size),
        *(
            (f"look-ups answered by {layer}", base.cache_hits.get(layer), head.cache_hits.get(layer))
            for layer in sorted({*base.cache_hits, *head.cache_hits})
        ),
    ]
    shown = (
        (name, before, after, after / before - 1 if before and after is not None else None)
        for name, before, after in rows
        if before is not None or after is not None
    )
    return Table(columns, tuple(shown))


def queries_table(duel: Duel) -> Table:
    """Return the queries that do not cost the same in both variants, those that differ the most first."""
    columns = (
        Column("query", kind="code"),
        *(Column("pages base", kind="number"), Column("pages head", kind="number")),
        *(Column("base", "ms", "number"), Column("head", "ms", "number"), Column("plan")),
    )
    rows = sorted(_differing(*duel.sides), key=lambda row: -row[0])[:_QUERIES_MAX]
    return Table(columns, tuple(row[1] for row in rows))


def _differing(base: VariantFacts, head: VariantFacts) -> Iterator[tuple[float, tuple[Any, ...]]]:
    for name in sorted({*base.queries} & {*head.queries}):
        before, after = base.queries[name], head.queries[name]
        pages = (before.buffers or 0.0, after.buffers or 0.0)
        apart = max(pages) - min(pages)
        alike = apart < _PAGES_MIN or max(pages) < _PAGES_RATIO * min(pages)
        if before.shape == after.shape and alike:
            continue
        gone, new = set(before.scans) - set(after.scans), set(after.scans) - set(before.scans)
        plan = f"{', '.join(sorted(gone))} → {', '.join(sorted(new))}" if gone or new else "as before"
        yield apart, (name, *pages, before.exec_ms, after.exec_ms, plan)
