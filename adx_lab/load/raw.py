"""What a Locust process writes while it runs: one Arrow stream of these columns."""

from __future__ import annotations

import pyarrow as pa

RAW_SCHEMA = pa.schema(
    [
        ("t_intended", pa.float64()),  # seconds since the epoch, as all clocks here
        ("t_sent", pa.float64()),
        ("service_ms", pa.float64()),
        ("endpoint", pa.string()),
        ("group", pa.string()),
        ("tenant", pa.string()),
        ("status", pa.int16()),
        ("bytes", pa.int64()),
        ("variant", pa.string()),
        ("pair", pa.int64()),
        ("timing", pa.string()),
        ("error", pa.string()),
    ]
)
"""What a Locust process writes; `adx_lab.load.collect` makes the run's tables of it."""
