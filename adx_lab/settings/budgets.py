"""The one reader of budgets: those of a project file, or of a file that holds nothing else."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from adx_lab.errors import UsageError, nearest
from adx_lab.settings.checking import expected_of
from adx_lab.settings.service import BudgetSettings

_TIMES = ("p50_ms", "p95_ms", "p99_ms")
_SHARES = {"error_rate": "share", "statements_per_request": "statements"}
_MEAN = "mean_ms"
_LEAVES = (
    *("p50_ms", "p95_ms", "p99_ms", "p99.9_ms", "error_rate", "statements_per_request", "throughput_per_s"),
    _MEAN,
    *("rss_mb", "cpu_share", "database.connections", "users.connected", "*"),
)
"""How the name of a metric ends."""

_KEYS = tuple(item.name for item in msgspec.structs.fields(BudgetSettings))


Direction = Literal["below", "above"]


@dataclass(frozen=True)
class Budget:
    """A limit on a metric.

    Attributes
    ----------
    name : str
        What it is called in reports.
    metric : str
        The metric's name, such as `group.auth.p95_ms`. `*` stands for any text, and then every metric that
        matches is judged on its own: `query.*.p95_ms`. Everything else is literal.
    limit : float
        In `unit`. A metric that equals its limit keeps it.
    direction : {"below", "above"}
        On which side of the limit the metric must stay.
    unit : str
        Printed beside the numbers.
    """

    name: str
    metric: str
    limit: float
    direction: Direction = "below"
    unit: str = ""


def read_budgets(path: Path | None, scenario: str) -> tuple[Budget, ...]:
    """Return the budgets of a file that a load of this scenario can judge; none where there is no file.

    Raises
    ------
    UsageError
        The file isn't TOML, or holds what isn't a budget's: named with its place and the nearest known key.
    """
    if path is None:
        return ()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise UsageError(f"there are no budgets at {path}", mend="restore the file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    return tuple(
        read
        for place, entry in enumerate(document.get("budget", []), start=1)
        for budget in [_checked(entry, f"budget {place} of {path}")]
        if not budget.scenarios or scenario in budget.scenarios
        for read in _expanded(budget, f"budget {place} of {path}")
    )


def _checked(entry: object, where: str) -> BudgetSettings:
    if isinstance(entry, dict):
        for key in entry:
            if key not in _KEYS:
                raise UsageError(f"{where} has the unknown key {key}", mend=nearest(key, _KEYS))
    try:
        return msgspec.convert(entry, BudgetSettings, strict=False)
    except msgspec.ValidationError as error:
        place = str(error).rpartition("$.")[2].rstrip("`")
        raise UsageError(f"{where} has a wrong {place}: {expected_of(str(error))}") from error


def _expanded(budget: BudgetSettings, where: str) -> Iterator[Budget]:
    named = [kind for kind in ("metric", "endpoint", "statement") if getattr(budget, kind)]
    if len(named) != 1:
        raise UsageError(f"{where} limits {' and '.join(named) or 'nothing'}", mend="name one endpoint")
    if budget.metric:
        if budget.limit is None:
            raise UsageError(f"{where} has no limit", mend=f"give {budget.metric} one")
        if not budget.metric.endswith(_LEAVES):
            raise UsageError(
                f"{where} limits {budget.metric}, which nothing measures",
                mend="adx-lab doctor --metrics lists what there is",
            )
        name = budget.name or budget.metric
        yield Budget(name, budget.metric, budget.limit, budget.direction, budget.unit)
        return
    if budget.mean_ms is not None and not budget.statement:
        raise UsageError(
            f"{where} limits the mean of an endpoint", mend="give it a p50_ms, or name a statement"
        )
    if budget.mean_ms is not None:
        # Of a statement that no service names the database knows the mean, and none of its calls.
        metric = f"statement.{budget.statement}.{_MEAN}"
        yield Budget(budget.name or f"{budget.statement} {_MEAN}", metric, budget.mean_ms, "below", "ms")
    prefix = f"endpoint.{budget.endpoint}" if budget.endpoint else f"query.{budget.statement}"
    limits = [(key, getattr(budget, key)) for key in (*_TIMES, *_SHARES) if getattr(budget, key) is not None]
    if not limits and budget.mean_ms is None:
        raise UsageError(f"{where} has no limit", mend="give it a p95_ms or an error_rate")
    for key, limit in limits:
        name = budget.name or f"{budget.endpoint or budget.statement} {key}"
        # Of all endpoints together there are enough requests to tell a small share; of each there are not.
        whole = budget.endpoint == "*" and key == "error_rate"
        yield Budget(name, key if whole else f"{prefix}.{key}", limit, "below", _SHARES.get(key, "ms"))
