"""Judge budgets: a limit is kept, broken, or can't be told yet.

A percentile is judged by the share of requests above its limit, each endpoint and each query by itself: what
is often and fast can't hide what is rare and slow. One night says nothing of the next: where nights are
known, the range in which the next one is to be expected must keep the limit, too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from scipy import stats

from adx_lab.analysis.stats.quantiles import Estimate, Percentile
from adx_lab.records.run import Caveat
from adx_lab.settings.budgets import Budget, Direction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "BETWEEN_NIGHTS",
    "METRICS",
    "NOT_MEASURED",
    "Budget",
    "BudgetResult",
    "BudgetStatus",
    "Direction",
    "Estimate",
    "judge",
    "matches",
    "next_night",
]

BudgetStatus = Literal["pass", "fail", "undecided"]

BETWEEN_NIGHTS = Caveat(
    "between-nights", "the interval is where the next night is to be expected, 9 times in 10"
)
NIGHTS_MIN = 4
_NIGHTS_LEVEL = 0.95
"""More than nine in ten, since a few nights tell their own spread too small."""

METRICS: Mapping[str, str] = {
    "endpoint.*.p95_ms": "ms of an endpoint as Locust calls it; p50_ms, p99_ms and p99.9_ms too",
    "endpoint.*.error_rate": "failed requests of an endpoint, a fraction of 1",
    "endpoint.*.statements_per_request": "statements that a request asks the database; known of nights",
    "group.*.p95_ms": "ms of a group of endpoints, where the scenario has groups",
    "query.*.p95_ms": "ms of a query that the service names in Server-Timing or in its spans",
    "statement.*.mean_ms": "mean ms of a call of a statement, by its text as tables show it; of any service",
    "error_rate": "failed requests of all, a fraction of 1",
    "throughput_per_s": "requests answered without an error, a second",
    "service.rss_mb": "the most memory that a process of the service had",
    "service.cpu_share": "what the service used of all processors, a fraction of 1",
    "database.connections": "the most connections that were open",
    "users.connected": "the most users of a crowd that were connected at once",
}
"""What a budget can limit; the asterisk stands for any text, in a budget too."""

_GUESS_LOG_SD, _GUESS_NIGHTS = 0.10, 3
"""By how much a night differs from the one before it, as far as a few nights can't tell, and how many nights
that is worth."""

_GROUP = re.compile(r"^group\.(?P<group>.+)\.(?P<percentile>p[0-9.]+_ms)$")
NOT_MEASURED = Caveat("not-measured", "not measured in this run")


@dataclass(frozen=True)
class BudgetResult:
    """What became of one budget for one metric; the fields are those of `Budget` and `Estimate`."""

    name: str
    metric: str
    limit: float
    direction: Direction
    unit: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    status: BudgetStatus
    caveats: tuple[Caveat, ...] = ()


def judge(
    budgets: Sequence[Budget],
    measured: Mapping[str, Estimate],
    *,
    nights: Mapping[str, Sequence[float]] | None = None,
) -> tuple[BudgetResult, ...]:
    """Judge each budget: passed when all of what may be keeps the limit, failed when all of it breaks it.

    A group's limit is that of each of its endpoints. A missing end of an interval bounds nothing: what has a
    lower end only can fail but never pass. What was not measured at all is undecided, never passed.

    Parameters
    ----------
    budgets
        In the order in which the results are wanted.
    measured
        Estimates by metric name, in the units of the budgets.
    nights
        What earlier nights measured of each metric, oldest first.

    Returns
    -------
    tuple of BudgetResult
        One for each budget and matching metric; metrics in the order of their names.
    """
    known = nights or {}
    return tuple(
        _result(budget, metric, estimate, known.get(metric, ()))
        for budget in budgets
        for metric, estimate in _matching(budget.metric, measured)
    )


def next_night(value: float, nights: Sequence[float]) -> tuple[float, float] | None:
    """Return the range in which the next night's value is to be expected, or None where too few are known.

    By how much each night differed from the one before it is what the next one will differ by from tonight.
    """
    logs = [math.log(one) for one in (*nights, value) if one > 0]
    if len(logs) < NIGHTS_MIN or value <= 0:
        return None
    # Tonight's own difference is left out: a night that is far off must not excuse itself.
    squares = [(after - before) ** 2 for before, after in pairwise(logs[:-1])]
    degrees = _GUESS_NIGHTS + 2 * len(squares) / 3  # neighbouring differences share a night
    seen, guess = sum(squares) / len(squares), _GUESS_LOG_SD**2
    blended = (_GUESS_NIGHTS * guess + sum(squares)) / (_GUESS_NIGHTS + len(squares))
    deviation = math.sqrt(max(seen, blended))
    half = float(stats.t.ppf((1 + _NIGHTS_LEVEL) / 2, degrees)) * deviation
    return value * math.exp(-half), value * math.exp(half)


def _matching(pattern: str, measured: Mapping[str, Estimate]) -> Iterator[tuple[str, Estimate]]:
    names = _endpoints_of(pattern, measured) or sorted(name for name in measured if matches(name, pattern))
    if not names:
        yield pattern, Estimate(None, None, None, 0, (NOT_MEASURED,))
    for name in names:
        yield name, measured[name]


def _endpoints_of(pattern: str, measured: Mapping[str, Estimate]) -> list[str]:
    """Return the endpoints' metrics that a group's limit is on."""
    asked = _GROUP.match(pattern)
    if asked is None:
        return []
    return sorted(
        name
        for name, estimate in measured.items()
        if isinstance(estimate, Percentile)
        and estimate.group is not None
        and matches(estimate.group, asked["group"])
        and name.endswith(f".{asked['percentile']}")
    )


def matches(name: str, pattern: str) -> bool:
    """Tell whether a metric's name is one that a pattern stands for."""
    # Only the asterisk means something: `GET /orders/[id]` is an endpoint, and no class of letters.
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None


def _result(budget: Budget, metric: str, estimate: Estimate, nights: Sequence[float]) -> BudgetResult:
    status = _status(budget, estimate)
    ahead = None if estimate.value is None else next_night(estimate.value, nights)
    if ahead is not None and metric.endswith("_ms"):
        low = min(ahead[0], ahead[0] if estimate.low is None else estimate.low)
        high = max(ahead[1], ahead[1] if estimate.high is None else estimate.high)
        estimate = replace(estimate, low=low, high=high, caveats=_without_run(estimate))
        if status != _interval_status(budget, estimate):
            status = "undecided"
    return BudgetResult(
        name=budget.name,
        metric=metric,
        limit=budget.limit,
        direction=budget.direction,
        unit=budget.unit,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        status=status,
        caveats=estimate.caveats,
    )


def _without_run(estimate: Estimate) -> tuple[Caveat, ...]:
    kept = (caveat for caveat in estimate.caveats if caveat.code not in {"within-run", "too-dependent"})
    return (*kept, BETWEEN_NIGHTS)


def _status(budget: Budget, estimate: Estimate) -> BudgetStatus:
    if not isinstance(estimate, Percentile) or not estimate.times.size or budget.direction != "below":
        return _interval_status(budget, estimate)
    if estimate.keeps(budget.limit):
        return "pass"
    return "fail" if estimate.breaks(budget.limit) else "undecided"


def _interval_status(budget: Budget, estimate: Estimate) -> BudgetStatus:
    sign = 1.0 if budget.direction == "below" else -1.0
    # Seen from the limit: `worst` is the end of the interval that would break it first, `best` the last.
    worst, best = (
        (estimate.high, estimate.low) if budget.direction == "below" else (estimate.low, estimate.high)
    )
    if worst is not None and sign * (worst - budget.limit) <= 0:
        return "pass"
    if best is not None and sign * (best - budget.limit) > 0:
        return "fail"
    return "undecided"
