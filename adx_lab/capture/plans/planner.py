"""What the planner knows and what it would do: settings, sizes, statistics, indexes, near misses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adx_lab.capture.plans.guarded import set_local
from adx_lab.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Mapping

    import asyncpg

_OWN = load_queries(Path(__file__).parent)
_PLANNED = "VERBOSE, SETTINGS, FORMAT JSON"
NEARBY = ({"random_page_cost": 1.15}, {"cpu_tuple_cost": 1.15, "cpu_index_tuple_cost": 1.15})
"""Costs a little off: a plan that changes with them is a tie, and the next ANALYZE may turn it over."""
_DECISION = re.compile(r'"(?:Node Type|Index Name|Relation Name|Join Type|Strategy)": "[^"]*"')


async def describe_planner(connection: asyncpg.Connection) -> dict[str, Any]:
    """Return what the planner knows: settings, the tables' sizes, columns, statistics, indexes, foreign keys.

    Tables and indexes outside the schema ``public`` are keyed with their schema.
    """
    settings = await connection.fetch(_OWN["plans.settings"].sql)
    tables = await connection.fetch(_OWN["plans.tables"].sql)
    indexes = await connection.fetch(_OWN["plans.indexes"].sql)
    columns = await connection.fetch(_OWN["plans.columns"].sql)
    of_roles = await connection.fetch(_OWN["plans.role_settings"].sql)
    foreign_keys = await connection.fetch(_OWN["plans.foreign_keys"].sql)
    return {
        "settings": {row["name"]: row["value"] for row in settings},
        "role_settings": {row["whose"]: list(row["settings"]) for row in of_roles},
        "tables": {row["name"]: _without_name(row) for row in tables},
        "columns": {row["name"]: dict(zip(row["columns"], row["types"], strict=True)) for row in columns},
        "statistics_targets": {row["name"]: row["targets"] for row in columns if any(row["targets"])},
        "in_order": {
            row["name"]: sorted(filter(None, row["in_order"])) for row in columns if any(row["in_order"])
        },
        "indexes": {row["name"]: _without_name(row) for row in indexes},
        "foreign_keys": [dict(row) for row in foreign_keys],
    }


def _without_name(row: Any) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "name"}


async def plan_nearby(connection: asyncpg.Connection, call: str, change: Mapping[str, float]) -> str:
    """Return the plan of a prepared statement under slightly different costs."""
    point = connection.transaction()
    await point.start()
    try:
        for name, factor in change.items():
            value = float(await connection.fetchval(f"SHOW {name}"))
            await set_local(connection, {name: f"{value * factor:g}"})
        text = await connection.fetchval(f"EXPLAIN ({_PLANNED}) EXECUTE {call}")
    finally:
        await point.rollback()
    return str(text)


def outline(plan: str) -> list[str]:
    """Return what a plan's document says was decided, to tell cheaply whether two differ."""
    return _DECISION.findall(plan)
