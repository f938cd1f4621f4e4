"""Judge budgets by intervals: a limit is kept, broken, or can't be told yet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from adx_lab.analysis.stats.quantiles import Estimate
from adx_lab.records.run import Caveat
from adx_lab.settings.budgets import Budget, Direction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "METRICS",
    "NOT_MEASURED",
    "RARE",
    "Budget",
    "BudgetResult",
    "BudgetStatus",
    "Direction",
    "Estimate",
    "judge",
    "matches",
]

BudgetStatus = Literal["pass", "fail", "undecided"]

RARE = "(rare)"
"""The name under which queries are measured together that are too rare to be told one by one."""

METRICS: Mapping[str, str] = {
    "endpoint.*.p95_ms": "ms of an endpoint as Locust calls it; p50_ms, p99_ms and p99.9_ms too",
    "endpoint.*.error_rate": "failed requests of an endpoint, a fraction of 1",
    "endpoint.*.statements_per_request": "statements that a request asks the database; known of nights",
    "group.*.p95_ms": "ms of a group of endpoints, where the scenario has groups",
    "query.*.p95_ms": "ms of a query that the service names in Server-Timing or in its spans",
    "error_rate": "failed requests of all, a fraction of 1",
    "throughput_per_s": "requests answered without an error, a second",
    "service.rss_mb": "the most memory that a process of the service had",
    "service.cpu_share": "what the service used of all processors, a fraction of 1",
    "database.connections": "the most connections that were open",
    "users.connected": "the most users of a crowd that were connected at once",
}
"""What a budget can limit; the asterisk stands for any text, in a budget too."""

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


def judge(budgets: Sequence[Budget], measured: Mapping[str, Estimate]) -> tuple[BudgetResult, ...]:
    """Judge each budget: passed when the whole interval keeps the limit, failed when it all breaks it.

    A missing end of an interval bounds nothing: a percentile with a lower end only can fail but never pass.
    What was not measured at all is undecided, never passed.

    Parameters
    ----------
    budgets
        In the order in which the results are wanted.
    measured
        Estimates by metric name, in the units of the budgets.

    Returns
    -------
    tuple of BudgetResult
        One for each budget and matching metric; metrics in the order of their names.
    """
    return tuple(
        result
        for budget in budgets
        for result in _told(
            [_result(budget, metric, estimate) for metric, estimate in _matching(budget.metric, measured)]
        )
    )


def _told(results: list[BudgetResult]) -> Iterator[BudgetResult]:
    """Leave out what only the rare ones together can tell; one that breaks its limit alone is kept."""
    pooled = any(f".{RARE}." in result.metric for result in results)
    for result in results:
        alone = f".{RARE}." not in result.metric
        if not (pooled and alone and result.high is None and result.status == "undecided"):
            yield result


def _matching(pattern: str, measured: Mapping[str, Estimate]) -> Iterator[tuple[str, Estimate]]:
    names = sorted(name for name in measured if matches(name, pattern))
    if not names:
        yield pattern, Estimate(None, None, None, 0, (NOT_MEASURED,))
    for name in names:
        yield name, measured[name]


def matches(name: str, pattern: str) -> bool:
    """Tell whether a metric's name is one that a pattern stands for."""
    # Only the asterisk means something: `GET /orders/[id]` is an endpoint, and no class of letters.
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None


def _result(budget: Budget, metric: str, estimate: Estimate) -> BudgetResult:
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
        status=_status(budget, estimate),
        caveats=estimate.caveats,
    )


def _status(budget: Budget, estimate: Estimate) -> BudgetStatus:
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
