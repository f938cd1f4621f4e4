"""Which notebooks have something to say of which kind of run."""

from __future__ import annotations

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
