"""Which notebooks have something to say of which kind of run."""

from __future__ import annotations

from adx_lab.records.run import RunRecord

LOAD = ("latency", "query_plans", "cache", "resources")
"""Of any load; their parameter ``run_id`` names it."""

CLIMB = ("capacity",)
"""Of a load that climbs."""

DUET = ("comparison",)
"""Of a duet."""

NIGHTS = ("trends",)
"""Of the whole run store: they have no ``run_id``."""

RULES = ("rules",)
"""Of the performance rules that have been measured: no ``run_id`` either."""


ALONE = ("regression_report",)
"""What the first page of a report says, for whoever runs notebooks and reads no report."""

MAKING = ("explore", "load_run", "duet_run")
"""These measure: an engineer or papermill runs them, and no report does."""


def is_duet(record: RunRecord) -> bool:
    """Tell whether a run compares two variants."""
    return "duet" in record.audit


def is_climb(record: RunRecord) -> bool:
    """Tell whether a run is a load that climbed step by step."""
    return bool(record.audit.get("steps"))
