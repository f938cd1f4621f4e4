"""Which notebooks have something to say of which kind of run."""

from __future__ import annotations

LOAD = ("regression_report", "latency", "query_plans", "cache", "resources")
"""Of any load; their parameter ``run_id`` names it."""

CLIMB = ("capacity",)
"""Of a load that climbs."""

DUET = ("comparison",)
"""Of a duet."""

NIGHTS = ("trends",)
"""Of the whole run store: they have no ``run_id``."""

RULES = ("rules",)
"""Of the performance rules that have been measured: no ``run_id`` either."""
