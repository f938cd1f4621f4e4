"""Which layer answered: the service's cache counters, by layer and family, over time."""

from __future__ import annotations

from typing import Any

from adx_lab.capture.service.metrics import MetricSample

LAYERS = {"memory": "l1", "redis": "l2", "valkey": "l2", "l1": "l1", "l2": "l2"}
"""The rules call the layers by what they are made of; the lab by their order."""


def cache_rows(samples: list[MetricSample], t_s: float) -> list[dict[str, Any]]:
    """Return one row a layer and family: how often it answered, since the service began.

    A miss of both layers is the database's hit: the layers of one family add up to its look-ups.
    """
    rows: dict[tuple[str, str], float] = {}
    for sample in samples:
        name = sample.name.removesuffix("_total")
        if name == "cache_hits":
            layer = LAYERS.get(sample.labels.get("layer", ""), sample.labels.get("layer", ""))
        elif name == "cache_misses":
            layer = "database"
        else:
            continue
        key = (layer, sample.labels.get("family", "all"))
        rows[key] = rows.get(key, 0.0) + sample.value
    return [
        {"t_s": t_s, "layer": layer, "family": family, "hits": int(hits)}
        for (layer, family), hits in rows.items()
    ]
