"""What the lab's verbs return: each shows itself in a notebook, and has a data frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from adx_lab.analysis.plans.captures.matrix import Matrix
from adx_lab.analysis.verdict import Verdict
from adx_lab.records.run import Caveat
from adx_lab.report.duet import comparison_tables
from adx_lab.report.page.verdict_words import verdict_line
from adx_lab.report.parts.table import Table
from adx_lab.report.plans.tables import cells_table, matrix_table, notable_table
from adx_lab.report.run import figures, tables
from adx_lab.report.run.judged_run import Judgement


@dataclass(frozen=True)
class Result:
    """Something measured.

    Attributes
    ----------
    frame
        The numbers, not rounded, units in the columns' names.
    shown
        The pictures and tables that a notebook draws, one below the other.
    caveats
        Reasons to doubt the numbers.
    """

    frame: pd.DataFrame
    shown: tuple[Any, ...] = ()
    caveats: tuple[Caveat, ...] = ()

    @staticmethod
    def of(table: Table) -> Result:
        """Return a table as a result."""
        return Result(table.frame, (table,))

    def _ipython_display_(self) -> None:
        from IPython.display import display  # noqa: PLC0415  # only a notebook calls this

        for part in self.shown or (self.frame,):
            display(part)
        for caveat in self.caveats:
            display({"text/plain": f"caveat: {caveat.text}"}, raw=True)

    def __repr__(self) -> str:
        return repr(self.frame)


@dataclass(frozen=True)
class Run:
    """A stored run, read when it is asked.

    Attributes
    ----------
    judgement
        The run before the budgets: everything that the analysis knows of it.
    """

    judgement: Judgement

    @property
    def id(self) -> str:
        """The run's id."""
        return self.judgement.record.run_id

    @property
    def folder(self) -> Path:
        """Where it is stored."""
        return self.judgement.run.folder

    @property
    def samples(self) -> pd.DataFrame:
        """One row a request; the columns are described in `adx_lab.records.run`."""
        return self.judgement.samples

    @property
    def valid(self) -> bool:
        """Whether the load generator's audit found nothing."""
        return all(check.ok for check in self.judgement.validity)

    def latency(self, by: str = "endpoint") -> Result:
        """Return latency percentiles with intervals, by endpoint, group, tenant or cache layer."""
        from adx_lab.analysis.run.latency import summarise  # noqa: PLC0415  # SciPy takes its time

        known = self.judgement.endpoints if by == "endpoint" else summarise(self.samples, by=by)
        caveats = {caveat.text: caveat for summary in known for caveat in summary.caveats}
        return Result(
            tables.endpoints(known).frame,
            (figures.latency_distribution(self.samples, by=by), tables.endpoints(known)),
            tuple(caveats.values()),
        )

    def timeline(self) -> Result:
        """Return percentiles and throughput in each slice of the run."""
        return Result(
            tables.timeline(self.samples).frame,
            (figures.latency_over_time(self.samples), figures.latency_heat_map(self.samples)),
        )

    def tails(self) -> Result:
        """Return where each endpoint's slowest requests spend their time."""
        return Result(tables.tail_parts(self.judgement.tails).frame, (tables.tails(self.judgement.tails),))

    def failures(self) -> Result:
        """Return which requests failed and why, and what the users' tasks raised."""
        failed, raised = (
            tables.failures(self.judgement.record.load),
            tables.exceptions(self.judgement.record.load),
        )
        return Result(failed.frame, tuple(table for table in (failed, raised) if table.rows) or (failed,))

    def budgets(self) -> Result:
        """Return each budget with its interval and what became of it."""
        return Result.of(tables.budgets(self.judgement.budgets))

    def cache(self) -> Result:
        """Return which layer answered the cache look-ups, over time."""
        return Result(self.judgement.cache, (figures.cache_over_time(self.judgement.cache),))

    def resources(self) -> Result:
        """Return CPU and memory of every process, over time."""
        return Result(self.judgement.resources, (figures.resources_over_time(self.judgement.resources),))

    def plans(self) -> Result:
        """Return every query's plan for each kind of tenant, custom and generic."""
        return plans_result(self.judgement.plans)

    def statements(self) -> Result:
        """Return what each statement cost the database."""
        return Result(self.judgement.database, (tables.statements(self.judgement.database),))

    def validity(self) -> Result:
        """Return the load generator's audit."""
        return Result.of(tables.validity(self.judgement.validity))

    def _ipython_display_(self) -> None:
        from IPython.display import display  # noqa: PLC0415  # only a notebook calls this

        display(tables.facts(self.judgement.record))
        display(tables.endpoints(self.judgement.endpoints))

    def __repr__(self) -> str:
        record = self.judgement.record
        requests = record.load.requests
        return f"<Run {record.run_id}: {record.kind} of {record.scenario}, {requests:,} requests>"


@dataclass(frozen=True)
class Duet:
    """Two variants, compared."""

    verdict: Verdict
    caveats: tuple[Caveat, ...] = ()

    @property
    def status(self) -> str:
        """The verdict: pass, regressed, undecided or invalid."""
        return self.verdict.status

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Return one row a comparison: ratio of head to base with its interval."""
        return comparison_tables.comparisons(self.verdict.comparisons).frame

    def findings(self) -> Result:
        """Return the causes, the largest first."""
        return Result.of(comparison_tables.findings(self.verdict.findings))

    def _ipython_display_(self) -> None:
        from IPython.display import display  # noqa: PLC0415  # only a notebook calls this

        told = comparison_tables.telling(self.verdict.comparisons)
        differing = [one for one in told if one.status in {"slower", "faster"}]
        parts = (
            verdict_line(self.verdict),
            comparison_tables.findings(self.verdict.findings),
            comparison_tables.comparisons(differing),
            comparison_tables.comparisons(told[len(differing) :]),
        )
        for part in parts:
            if part.rows:
                display(part)
        for caveat in self.caveats:
            display({"text/plain": f"caveat: {caveat.text}"}, raw=True)

    def __repr__(self) -> str:
        return f"<Duet {self.verdict.run_id}: {self.status}>"


def plans_result(matrix: Matrix) -> Result:
    """Return a captured matrix of plans as a result."""
    return Result(cells_table(matrix).frame, (notable_table(matrix), matrix_table(matrix)))
