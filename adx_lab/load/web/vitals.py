"""What a companion sees of the service while a test runs: one small file, for the web page's tab."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_LAYERS = ("l1", "l2", "database")
_POINTS_MAX = 300


def write_vitals(
    raw_dir: Path,
    cache: Sequence[Mapping[str, Any]],
    resources: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, float],
) -> None:
    """Write ``vitals.json``.

    Parameters
    ----------
    raw_dir
        The test's raw record.
    cache, resources
        The rows of the run's tables so far, times on the wall clock.
    metrics
        The service's gauges by name.
    """
    document = {
        "hits": _hit_shares(cache),
        "memory_mb": _latest(resources),
        "pool": {
            name.removeprefix("db_connections_"): value
            for name, value in metrics.items()
            if name.startswith("db_connections_")
        },
    }
    partial = raw_dir / "vitals.partial"
    partial.write_text(json.dumps(document), encoding="utf-8")
    partial.replace(raw_dir / "vitals.json")


def read_vitals(raw_dir: Path) -> dict[str, Any]:
    """Return what was written last; nothing where nothing was."""
    try:
        document: dict[str, Any] = json.loads((raw_dir / "vitals.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"hits": [], "memory_mb": {}, "pool": {}}
    return document


def _hit_shares(cache: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each stretch between two readings, which share of the look-ups each layer answered."""
    totals: dict[float, dict[str, int]] = {}
    for row in cache:
        at = totals.setdefault(row["t_s"], dict.fromkeys(_LAYERS, 0))
        at[row["layer"]] = at.get(row["layer"], 0) + row["hits"]
    moments = sorted(totals)
    step = max(1, len(moments) // _POINTS_MAX)
    moments = moments[::step]
    points = []
    for before, after in itertools.pairwise(moments):
        grown = {layer: totals[after][layer] - totals[before][layer] for layer in _LAYERS}
        lookups = sum(grown.values())
        shares = {layer: count / lookups for layer, count in grown.items()} if lookups > 0 else None
        points.append({"t": after, "shares": shares})
    return points


def _latest(resources: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the memory of each role just now."""
    if not resources:
        return {}
    latest = resources[-1]["t_s"]
    memory: dict[str, float] = {}
    for row in resources[::-1]:
        if row["t_s"] != latest:
            break
        memory[row["process"]] = memory.get(row["process"], 0.0) + row["rss_mb"]
    return memory


def write_stored(raw_dir: Path, run_id: str) -> None:
    """Leave word of the run that a test became, for the page that still shows the test."""
    path = _stored(raw_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(run_id, encoding="utf-8")


def read_stored(raw_dir: Path) -> str | None:
    """Return the id of the run that a test became, or None as long as it is none."""
    try:
        return _stored(raw_dir).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _stored(raw_dir: Path) -> Path:
    # Beside the raw records, which are gone by then, and not among them.
    return raw_dir.parent.parent / "logs" / f"stored-{raw_dir.name}"
