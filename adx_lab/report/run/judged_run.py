"""Put a stored run before the analysis: what its page, notebook and verdict are made from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import msgspec
import pandas as pd
from scipy import stats

from adx_lab.analysis.plans import scan_plans
from adx_lab.analysis.plans.captures.matrix import Matrix, read_matrix
from adx_lab.analysis.plans.captures.slow import SlowQuery, requests_that_waited, slow_queries
from adx_lab.analysis.run.audit import ValidityCheck, audit_generator
from adx_lab.analysis.run.budgets import BudgetResult, judge
from adx_lab.analysis.run.deaths import death_checks
from adx_lab.analysis.run.latency import LatencySummary, summarise
from adx_lab.analysis.run.measured import measure
from adx_lab.analysis.run.process_costs import PartCost, part_costs
from adx_lab.analysis.run.tail import TailAttribution, tail_attribution
from adx_lab.analysis.stats.quantiles import LEVEL, Estimate
from adx_lab.capture.database.statements import is_asked, normal
from adx_lab.records.run import Caveat, RunRecord
from adx_lab.report.run.large_run import DRAWN, LARGE, LargeRun, drawn_note
from adx_lab.settings import read_budgets
from adx_lab.store.folders import StoredRun

_TIMES = ("t_intended_s", "latency_ms", "endpoint", "group", "error", "kind")


@dataclass(frozen=True)
class Judgement:
    """One stored run, read once, with what the analysis says of it."""

    run: StoredRun
    budget_file: Path | None
    nights: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """What earlier nights measured of each metric, oldest first; empty where none is known."""

    @property
    def record(self) -> RunRecord:
        """What ``run.json`` holds."""
        return self.run.record

    @cached_property
    def one_in(self) -> int:
        """Of a run that is too large for a data frame, which share of the requests `samples` holds."""
        requests = self.run.count("samples")
        return 1 if requests <= LARGE else math.ceil(requests / DRAWN)

    @property
    def notes(self) -> tuple[Caveat, ...]:
        """Reasons to doubt what is drawn of the run."""
        return () if self.one_in == 1 else (drawn_note(self.one_in),)

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row a request."""
        return self.run.table("samples", one_in=self.one_in)

    @cached_property
    def times(self) -> pd.DataFrame:
        """The same rows with only what latencies are judged by: a fifth of the memory."""
        if "samples" in self.__dict__ or self.one_in > 1:  # read already, for something that needs it all
            return self.samples
        return self.run.table("samples", columns=list(_TIMES))

    @cached_property
    def queries(self) -> pd.DataFrame:
        """One row a query execution."""
        return self.run.table("queries", one_in=self.one_in)

    @cached_property
    def cache(self) -> pd.DataFrame:
        """Cache counters over time."""
        return self.run.table("cache")

    @cached_property
    def resources(self) -> pd.DataFrame:
        """Processes over time."""
        return self.run.table("resources")

    @cached_property
    def cache_trace(self) -> pd.DataFrame:
        """What was looked up in the core's L1."""
        return self.run.table("cache_trace")

    @cached_property
    def service(self) -> pd.DataFrame:
        """What the service said of itself over time."""
        return self.run.table("service")

    @cached_property
    def database(self) -> pd.DataFrame:
        """What each statement cost."""
        return self.run.table("database")

    @cached_property
    def plans(self) -> Matrix:
        """The captured plans, analysed."""
        return read_matrix(self.run.plans())

    @cached_property
    def slow_queries(self) -> tuple[SlowQuery, ...]:
        """The queries above 10 ms, with the plans that they really had under load."""
        known = {name: str(facts["text"]) for name, facts in self.plans.queries.items() if "text" in facts}
        tenants = self.record.target.get("tenants", {})
        found = slow_queries(scan_plans(self.run.server_log()).documents, known, tenants)
        # The lab's own statements (captures) are in the log too; they have no name.
        return tuple(item for item in found if item.query is not None)

    @cached_property
    def sufferers(self) -> dict[int, int]:
        """For each slow query, the row of the request that waited for it."""
        if self.one_in > 1:  # of most requests nobody could tell whether it was them
            return {}
        began = datetime.fromtimestamp(self.record.load.began, UTC)
        return requests_that_waited(self.slow_queries, self.samples, self.queries, began)

    @cached_property
    def endpoints(self) -> tuple[LatencySummary, ...]:
        """Latency by endpoint."""
        if self.one_in > 1:
            return self._large.summaries("endpoint")
        return summarise(self.times, by="endpoint", lasted_s=self.record.duration_s)

    @cached_property
    def tails(self) -> tuple[TailAttribution, ...]:
        """Where each endpoint's slowest requests spend their time."""
        return tail_attribution(self.samples, self.queries)

    @cached_property
    def part_costs(self) -> tuple[PartCost, ...]:
        """What a request costs each part of the stack."""
        return part_costs(
            self.resources,
            requests=self.run.count("samples"),
            duration_s=self.record.duration_s,
            cores=int(self.record.machine["cores_usable"]),
        )

    @cached_property
    def measured(self) -> dict[str, Estimate]:
        """Every metric that a budget can name."""
        if self.one_in > 1:
            found = self._large.measured()
        else:
            found = measure(self.times, self.queries, lasted_s=self.record.duration_s)
        return found | self._observed() | self._asked()

    @cached_property
    def budgets(self) -> tuple[BudgetResult, ...]:
        """Each budget, judged."""
        limits = read_budgets(self.budget_file, self.record.scenario)
        return judge(limits, self.measured, nights=self.nights)

    @cached_property
    def validity(self) -> tuple[ValidityCheck, ...]:
        """The load generator's audit."""
        audit = self.record.load
        return (*audit_generator(msgspec.to_builtins(audit)), *death_checks(audit.deaths))

    @cached_property
    def _large(self) -> LargeRun:
        return LargeRun(self.run)

    def _asked(self) -> dict[str, Estimate]:
        """Return what each endpoint asks the database, how often it failed, and what statements take."""
        found = {
            f"endpoint.{row.subject}.error_rate": _share(row.errors, row.count) for row in self.endpoints
        }
        for endpoint, told in self.run.asked().items():
            calls = sum(float(one["calls"]) for one in told["statements"].values())
            found[f"endpoint.{endpoint}.statements_per_request"] = _exactly(calls, int(told["requests"]))
        return found | {
            f"statement.{normal(row['text'])}.mean_ms": _exactly(float(row["mean_ms"]), int(row["calls"]))
            for row in self.run.table("database").to_dict("records")
            if row["calls"] and is_asked(row["text"])
        }

    def _observed(self) -> dict[str, Estimate]:
        # Seen at every sample of the run, so that the interval is the value itself.
        found = {}
        core = self.resources[self.resources["process"].isin(("service", "core"))]  # core: its older name
        if len(core):
            found["service.rss_mb"] = _exactly(float(core["rss_mb"].max()), len(core))
            by_pid = core.groupby("pid")
            used_s = float((by_pid["cpu_s"].max() - by_pid["cpu_s"].min()).sum())
            span_s = float(core["t_s"].max() - core["t_s"].min())
            if span_s > 0:
                share = used_s / span_s / self.record.machine["cores_usable"]
                found["service.cpu_share"] = _exactly(share, len(core))
        counts = {
            "database.connections": self.record.load.connections_max,
            "users.connected": self.record.load.users_connected,
        }
        found |= {name: _exactly(float(count), 1) for name, count in counts.items() if count is not None}
        return found


def _share(hits: int, n: int) -> Estimate:
    """Return a share with Clopper and Pearson's interval."""
    tail = (1 - LEVEL) / 2
    low = float(stats.beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return Estimate(hits / n, low, high, n, ())


def _exactly(value: float, n: int) -> Estimate:
    return Estimate(value, value, value, n, ())


def figures_of(judgement: Judgement) -> dict[str, float | None]:
    """Return the run's figures for its row in the run store; of statements those that a budget limits."""
    limited = {one.metric for one in judgement.budgets}
    return {
        name: estimate.value
        for name, estimate in judgement.measured.items()
        if name in limited or not name.startswith("statement.")
    }
