"""Change one thing back, look at the plan, and roll back: the experiments behind the cause of a changed plan.

Run them on a clone of the database: what is tried locks tables, and ANALYZE updates a table's size in the
catalogue even where its transaction is rolled back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from adx_lab.capture.database.statements import connected
from adx_lab.capture.plans.guarded import call_of, guarded, prepared, quoted, quoted_name
from adx_lab.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OWN = load_queries(Path(__file__).parent)
_STATEMENT_TIMEOUT_MS = 60_000
_FULL = "ANALYZE, BUFFERS, VERBOSE, SETTINGS, FORMAT JSON"
_LEAVE_TRACES = frozenset({"statistics", "rows"})


@dataclass(frozen=True, slots=True)
class Statement:
    """A query to explain again and again: its text, its arguments in order, and its plan mode."""

    text: str
    arguments: tuple[str, ...]
    mode: str = "custom"


async def try_changes(
    database_url: str, statement: Statement, trials: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Explain a query after each of some changes, each by itself in a transaction that is rolled back.

    Parameters
    ----------
    trials
        `adx_lab.analysis.plans.causes.Trial.plain`: ``kind``, ``subject`` and what the kind needs: ``text``,
        ``settings``, ``create`` and ``drop`` of an index, ``tables``, ``tenant`` and ``excess`` rows.

    Returns
    -------
    list of dict
        The trials with ``plan``, or with ``error`` where one could not be tried.
    """
    # What leaves a trace even when rolled back comes last, so that nothing else is measured after it.
    ordered = sorted(trials, key=lambda trial: trial["kind"] in _LEAVE_TRACES)
    async with connected(database_url) as connection:
        return [await _try(connection, statement, trial) for trial in ordered]


async def _try(
    connection: asyncpg.Connection, statement: Statement, trial: Mapping[str, Any]
) -> dict[str, Any]:
    text = str(trial.get("text") or statement.text)
    values = [quoted(value) for value in statement.arguments]
    try:
        async with guarded(connection, statement_timeout_ms=_STATEMENT_TIMEOUT_MS, readonly=False):
            for change in _changes(trial):
                await connection.execute(change)
            async with prepared(connection, text, statement.mode) as name:
                explained = f"EXPLAIN ({_FULL}) EXECUTE {call_of(name, values)}"
                plan = json.loads(await connection.fetchval(explained))[0]
    except asyncpg.PostgresError as error:
        return {**trial, "plan": None, "error": str(error)}
    return {**trial, "plan": plan, "error": None}


def _changes(trial: Mapping[str, Any]) -> list[str]:
    """Return the statements that change one thing back."""
    changes = [f"SET LOCAL {name} = {quoted(value)}" for name, value in trial.get("settings", {}).items()]
    if trial.get("drop"):
        changes.append(f"DROP INDEX {_name(trial['drop'])}")
    if trial.get("create"):
        changes.append(trial["create"])
    for table, excess in trial.get("excess", {}).items():
        template = _OWN["causes.delete_rows"].sql
        changes.append(
            template.format(table=_name(table), tenant=quoted(trial["tenant"]), excess=int(excess))
        )
    tables = [*trial.get("tables", ()), *trial.get("excess", {})]
    return changes + [f"ANALYZE {_name(table)}" for table in tables]


def _name(key: str) -> str:
    """Return a table's or an index's key in a capture, with its schema where it has one, as SQL."""
    return ".".join(quoted_name(part) for part in key.split(".", 1))
