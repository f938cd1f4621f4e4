"""A night beside the last valid ones of its key: what is read of each, and which they are."""

from __future__ import annotations

from typing import Any

from adx_lab.analysis.nights.usual import (
    EndpointFigures,
    NightFigures,
    StatementFigures,
    UsualAnswer,
    compare_with_usual,
)
from adx_lab.capture.database.statements import is_asked, normal
from adx_lab.conduct.baseline import read_baseline
from adx_lab.conduct.run.statements import asked_of, index_definitions, plans_by_text
from adx_lab.errors import StoreError, UsageError
from adx_lab.report.run.judged_run import Judgement
from adx_lab.settings import Settings
from adx_lab.store.folders import StoredRun
from adx_lab.store.rows import list_runs
from adx_lab.store.shared import find_run

_NIGHTS_KNOWN = 30
_VALID = frozenset({"pass", "undecided"})
"""A regressed night is not what is usual; ``adx-lab baseline set`` begins anew with what is accepted."""


def compare_night(settings: Settings, judgement: Judgement) -> UsualAnswer:
    """Compare a night with the last valid ones of the same service, environment and scenario."""
    earlier = [figures_of_night(judge_again(settings, run)) for run in usual_nights(settings, judgement.run)]
    return compare_with_usual(figures_of_night(judgement), earlier)


def nights_before(settings: Settings, tonight: StoredRun) -> dict[str, list[float]]:
    """Return what the nights before one measured of each time, oldest first."""
    known: dict[str, list[float]] = {}
    for row in _rows_before(settings, tonight)[-_NIGHTS_KNOWN:]:
        for metric, value in row["figures"].items():
            if value is not None and metric.endswith("_ms"):
                known.setdefault(metric, []).append(float(value))
    return known


def usual_nights(settings: Settings, tonight: StoredRun) -> list[StoredRun]:
    """Return the nights that one is compared with, oldest first, since the baseline was set."""
    rows = _rows_before(settings, tonight)
    found: list[StoredRun] = []
    for row in reversed(rows):
        if len(found) >= max(1, settings.baseline.nights):
            break
        try:
            found.append(find_run(settings, row["run_id"]))
        except (StoreError, UsageError):  # pruned, damaged or out of reach: the one before it is as good
            continue
    return found[::-1]


def _rows_before(settings: Settings, tonight: StoredRun) -> list[dict[str, Any]]:
    """Return the rows of the valid nights of the same key, oldest first, since the baseline was set."""
    record, baseline = tonight.record, read_baseline(settings)
    since = "" if baseline is None or settings.baseline.ref else baseline.set_at
    key = (record.service, record.environment, record.scenario)
    return [
        row
        for row in list_runs(settings).rows
        if row["kind"] == record.kind
        and row["status"] in _VALID
        and row["run_id"] < record.run_id
        and (row["service"], row["environment"], row["scenario"]) == key
        and row["started_at"] >= since
    ]


def judge_again(settings: Settings, run: StoredRun) -> Judgement:
    """Put a stored run before the budgets of today."""
    return Judgement(run, settings.budgets_file)


def figures_of_night(judgement: Judgement) -> NightFigures:
    """Return what of a stored run is compared with others."""
    run = judgement.run
    table = run.table("database")
    statements = {}
    for row in table.to_dict("records"):
        if not is_asked(row["text"]) or not row["calls"]:
            continue
        pages = (row["shared_hit"] + row["shared_read"]) / row["calls"]
        statements[normal(row["text"])] = StatementFigures(row["calls"], row["mean_ms"], pages)
    return NightFigures(
        run_id=run.record.run_id,
        endpoints={
            row.subject: EndpointFigures(row.count, row.errors, float(row.p50_ms.value), row.p95_ms.value)
            for row in judgement.endpoints
            if row.p50_ms.value is not None
        },
        statements=statements,
        asked=asked_of(run.asked()),
        plans=plans_by_text(judgement.plans),
        indexes=index_definitions(judgement.plans),
    )


def compare_runs(settings: Settings, base: str, head: str) -> UsualAnswer:
    """Compare any two stored runs: what differs, and no verdict of cause."""
    both = [judge_again(settings, find_run(settings, run_id)) for run_id in (base, head)]
    return compare_with_usual(figures_of_night(both[1]), [figures_of_night(both[0])])
