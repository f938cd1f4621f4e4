"""Budgets while the load runs: good enough to watch, and to stop a climbing load.

The stored run is judged anew, from every request and with intervals that allow for dependence; here requests
count as independent, so that an interval is a little too narrow.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from adx_lab.load.recording.rows import RAW_SCHEMA, Row
from adx_lab.settings import read_budgets

_Z = 1.96
_KEPT = 20_000
COLUMN = {name: place for place, name in enumerate(RAW_SCHEMA.names)}


@dataclass(frozen=True, slots=True)
class LiveBudget:
    """A budget that can be told from requests alone."""

    name: str
    metric: str
    limit: float
    direction: str
    unit: str


@dataclass(frozen=True, slots=True)
class LiveResult:
    """How a budget stands just now."""

    name: str
    metric: str
    limit: float
    unit: str
    value: float | None
    low: float | None
    high: float | None
    status: str


class Window:
    """The requests of a stretch of time, as far as budgets ask about them."""

    def __init__(self) -> None:
        self.by_group: dict[str, list[float]] = defaultdict(list)
        self.by_query: dict[str, list[float]] = defaultdict(list)
        self.count = 0
        self.errors = 0

    def add(self, rows: Iterable[Row]) -> None:
        """Count finished requests; failed ones count as errors only."""
        sent, intended, service = COLUMN["t_sent"], COLUMN["t_intended"], COLUMN["service_ms"]
        group, error = COLUMN["group"], COLUMN["error"]
        for row in rows:
            self.count += 1
            if row[error]:
                self.errors += 1
            else:
                _keep(self.by_group[row[group]], (row[sent] - row[intended]) * 1000 + row[service])

    def add_queries(self, queries: Iterable[tuple[str, float]]) -> None:
        """Count query executions."""
        for name, ms in queries:
            _keep(self.by_query[name], ms)

    def judge(self, budgets: Sequence[LiveBudget]) -> list[LiveResult]:
        """Judge the budgets that requests alone can tell."""
        results = []
        for budget in budgets:
            results += [_result(budget, *measured) for measured in self._measure(budget.metric)]
        return results

    def _measure(self, metric: str) -> list[tuple[str, float | None, float | None, float | None]]:
        if metric == "error_rate":
            return [(metric, *_share(self.errors, self.count))]
        kind, _, rest = metric.partition(".")
        name, _, figure = rest.rpartition(".")
        values = {"group": self.by_group, "query": self.by_query}.get(kind)
        if values is None or not figure.startswith("p"):
            return []
        p = float(figure[1:].removesuffix("_ms")) / 100
        if name == "*":
            # One line for all queries: the worst.
            judged = [(f"{kind}.{key}.{figure}", *quantile(times, p)) for key, times in values.items()]
            return [max(judged, key=lambda item: item[1] or 0.0)] if judged else []
        return [(metric, *quantile(values.get(name, []), p))]


def live_budgets(path: str | None, scenario: str) -> tuple[LiveBudget, ...]:
    """Return the budgets of a file that apply to a scenario; none where there is no file."""
    if path is None or not Path(path).exists():
        return ()
    read = read_budgets(Path(path), scenario)
    return tuple(LiveBudget(one.name, one.metric, one.limit, one.direction, one.unit) for one in read)


def quantile(times: Sequence[float], p: float) -> tuple[float | None, float | None, float | None]:
    """Return a quantile with the order statistics around it (normal approximation of the binomial count)."""
    n = len(times)
    if not n:
        return None, None, None
    ordered = sorted(times)
    half = _Z * math.sqrt(n * p * (1 - p))
    low, high = math.floor(n * p - half), math.ceil(n * p + half)
    value = ordered[min(n - 1, int(n * p))]
    return value, (ordered[low] if low >= 0 else None), (ordered[high] if high < n else None)


def _share(hits: int, n: int) -> tuple[float | None, float | None, float | None]:
    """Return a share with Wilson's interval."""
    if not n:
        return None, None, None
    share, spread = hits / n, _Z * _Z / n
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return share, max(0.0, centre - half) if hits else 0.0, centre + half


def _result(
    budget: LiveBudget, metric: str, value: float | None, low: float | None, high: float | None
) -> LiveResult:
    sign = 1.0 if budget.direction == "below" else -1.0
    worst, best = (high, low) if sign > 0 else (low, high)
    status = "undecided"
    if worst is not None and sign * (worst - budget.limit) <= 0:
        status = "pass"
    elif best is not None and sign * (best - budget.limit) > 0:
        status = "fail"
    return LiveResult(budget.name, metric, budget.limit, budget.unit, value, low, high, status)


def _keep(values: list[float], value: float) -> None:
    """Append; of a long load every other one of the older half goes, so that memory stays bounded."""
    if len(values) >= _KEPT:
        del values[: _KEPT // 2 : 2]
    values.append(value)
