"""What the database was asked during a run: each statement, how often, for how much, and by whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from adx_lab.analysis.plans.captures.matrix import PlanCell
from adx_lab.capture.database.statements import is_asked, normal, statement_name
from adx_lab.errors import UsageError
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import Cell as TableCell
from adx_lab.report.parts.table import Column, Table
from adx_lab.report.run.judged_run import Judgement

_ASKERS = 2
_TEXT_MAX = 90


@dataclass(frozen=True, slots=True)
class StatementCost:
    """What one statement was during a run.

    Attributes
    ----------
    number
        Its place, the dearest first, from 1 on.
    name
        A named query of the service, or its text.
    calls_per_request
        Over all requests of the run.
    pages, rows
        Of a call.
    share
        Of the database's time.
    asked_by
        Calls in a request of each endpoint that is known to ask it, the most first.
    """

    number: int
    name: str
    text: str
    calls: int
    calls_per_request: float
    mean_ms: float
    total_ms: float
    share: float
    pages: float
    rows: float
    asked_by: Mapping[str, float]


def statement_costs(judgement: Judgement) -> tuple[StatementCost, ...]:
    """Return what the service asked its database during a run, the dearest first.

    Transactions and the lab's own looks at the statistics are no asking, and what has no name is the lab's
    own where the service names its queries.
    """
    database = judgement.database
    named = database[database["query"].notna()] if len(database) else database
    told = (named if len(named) else database).to_dict("records")
    rows = [row for row in told if row["calls"] and is_asked(str(row["text"]))]
    whole_ms = sum(row["total_ms"] for row in rows) or 1.0
    requests = max(1, len(judgement.times))
    askers = _askers(judgement)
    return tuple(
        StatementCost(
            number=place,
            name=row["query"] if isinstance(row["query"], str) else statement_name(str(row["text"])),
            text=str(row["text"]).strip(),
            calls=int(row["calls"]),
            calls_per_request=row["calls"] / requests,
            mean_ms=row["mean_ms"],
            total_ms=row["total_ms"],
            share=row["total_ms"] / whole_ms,
            pages=(row["shared_hit"] + row["shared_read"]) / row["calls"],
            rows=row["rows"] / row["calls"],
            asked_by=askers.get(_key(row), {}),
        )
        for place, row in enumerate(rows, start=1)
    )


def statement_table(costs: tuple[StatementCost, ...]) -> Table:
    """Return the statements as a table."""
    columns = (
        *(Column("#", kind="number", key="number"), Column("statement", kind="code")),
        Column("calls a request", kind="number", key="calls_per_request"),
        *(Column("calls", kind="number"), Column("mean", "ms", "number"), Column("total", "ms", "number")),
        Column("share of the time", kind="share", bar=True, key="share"),
        Column("pages a call", kind="number", key="pages"),
        Column("rows a call", kind="number", key="rows"),
        Column("asked by", words="calls in a request of the endpoint"),
        Column("text", seen="machines"),
    )
    rows = (
        (
            *(one.number, TableCell(one.name, _cut(one.name)), one.calls_per_request, one.calls),
            *(one.mean_ms, one.total_ms, one.share, one.pages, one.rows, _by_whom(one.asked_by), one.text),
        )
        for one in costs
    )
    return Table(columns, tuple(rows))


def cell_of(judgement: Judgement, costs: tuple[StatementCost, ...], place: int) -> PlanCell:
    """Return the captured plan of the statement with this number: for any value, where there is one.

    Raises
    ------
    UsageError
        There is no such statement, or its plan was not captured.
    """
    chosen = next((one for one in costs if one.number == place), None)
    if chosen is None:
        raise UsageError(f"there is no statement {place}", mend=f"the run has 1 to {len(costs)}")
    known = {normal(str(facts.get("text", ""))): name for name, facts in judgement.plans.queries.items()}
    name = chosen.name if chosen.name in judgement.plans.queries else known.get(normal(chosen.text))
    cells = [cell for cell in judgement.plans.cells.values() if cell.query == name]
    if not cells:
        raise UsageError(
            f"the plan of statement {place} was not captured",
            mend="only the dearest are; adx-lab plans --database URL --query TEXT captures one",
        )
    return next((cell for cell in cells if cell.mode == "generic"), cells[0])


def _askers(judgement: Judgement) -> dict[str, dict[str, float]]:
    """Return who asks each statement, by its name or its text: as the service told, or as one user saw."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for endpoint, told in judgement.run.asked().items():
        for text, one in told["statements"].items():
            found[normal(text)][endpoint] = float(one["calls"])
    queries = judgement.queries
    if len(queries):
        asked_by = judgement.samples["endpoint"].astype("string").reset_index(drop=True)
        requests = asked_by.value_counts()
        pairs = pd.DataFrame(
            {
                "query": queries["query"].astype("string"),
                "endpoint": asked_by.reindex(queries["sample"]).values,
            }
        )
        for row in pairs.value_counts().reset_index().to_dict("records"):
            calls = float(row["count"]) / float(requests[row["endpoint"]])
            found[str(row["query"])][str(row["endpoint"])] = calls
    return {text: dict(sorted(of.items(), key=lambda item: -item[1])) for text, of in found.items()}


def _key(row: Mapping[Any, Any]) -> str:
    return row["query"] if isinstance(row["query"], str) else normal(str(row["text"]))


def _by_whom(asked_by: Mapping[str, float]) -> str:
    told = [f"{endpoint} ({number(calls)})" for endpoint, calls in list(asked_by.items())[:_ASKERS]]
    more = len(asked_by) - _ASKERS
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else f"{text[: _TEXT_MAX - 1]}…"
