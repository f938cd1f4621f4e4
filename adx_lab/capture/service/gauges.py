"""What the service tells of itself over time on its metrics page: connections, waiting, a late event loop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adx_lab.capture.service.metrics import MetricSample

_GAUGES = (
    "db_connections_active",
    "db_connections_idle",
    "db_connections_waiting",
    "db_connections_max",
    "memory_usage_bytes",
)
_HISTOGRAMS = ("event_loop_lag_ms", "db_pool_wait_ms", "cache_miss_duration")
KEPT = frozenset((*_GAUGES, *(f"{name}_{part}" for name in _HISTOGRAMS for part in ("sum", "count"))))
"""Of a histogram the sum and the count are kept: their growth gives the mean of each second."""


def service_rows(samples: Iterable[MetricSample], t_s: float) -> list[dict[str, Any]]:
    """Return one row a kept series: its value now, added up over its labels."""
    rows: dict[str, float] = {}
    for sample in samples:
        if sample.name in KEPT:
            rows[sample.name] = rows.get(sample.name, 0.0) + sample.value
    return [{"t_s": t_s, "name": name, "value": value} for name, value in rows.items()]
