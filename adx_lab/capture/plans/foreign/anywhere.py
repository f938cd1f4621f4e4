"""Plans of any database's statements: those that ``pg_stat_statements`` says cost most.

Nothing is executed: a statement is prepared and planned, as for any value (the generic plan) and for values
that occur (from the planner's own statistics), in one read-only transaction that waits for no lock for long
and is rolled back. Each is planned with the search path and the settings of the role that sends it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from adx_lab.analysis.plans.sql.parameters import compared_parameters
from adx_lab.capture.database.statements import connected, normal
from adx_lab.capture.plans.foreign.texts import has_plan, name_in, plannable, retyped, with_variable
from adx_lab.capture.plans.foreign.values import values_by_kind
from adx_lab.capture.plans.guarded import call_of, guarded, prepared
from adx_lab.capture.plans.planner import NEARBY, describe_planner, outline, plan_nearby
from adx_lab.errors import StackError
from adx_lab.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Sequence

_HERE = Path(__file__).parent
_OWN = load_queries(_HERE)
_STATEMENT_TIMEOUT_MS = 5_000
_PLANNED = "VERBOSE, SETTINGS, FORMAT JSON"
_TRIES_MAX = 12
_ANY = "any"
_MEND = "load it (shared_preload_libraries), CREATE EXTENSION, and grant pg_read_all_stats"
_OURS = re.compile(
    r"\b(?:PREPARE|EXECUTE|DEALLOCATE) adx_[0-9a-f]{12}\b|__asyncpg_|adx-lab"
    r"|set_config\(\$1, \$2, (?:\$3|true)\)|FROM unnest\(parameter_types\) WITH ORDINALITY"
)
_LAB_TEXTS = frozenset(
    normal(query.sql) for folder in (_HERE, _HERE.parent) for query in load_queries(folder).values()
)
_LACKS_A_NAME = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)


@dataclass(frozen=True, slots=True)
class Asking:
    """How statements are to be planned.

    ``query`` keeps those whose text or number contains it; ``role`` is taken on (row-level security, search
    path); ``settings`` are set, as an application sets them for each request.
    """

    statements_max: int = 20
    query: str | None = None
    role: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


async def capture_anywhere(
    database_url: str, asking: Asking | None = None, *, statements_max: int = 20
) -> dict[str, Any]:
    """Return the plans of a database's costliest statements, as `capture_matrix` returns a matrix.

    Each has a name made of its ``queryid`` and ``statistics``: calls, mean and total time, its share of all,
    pages a call. In place of kinds of tenants there are kinds of values: ``any`` (the generic plan), and
    ``common``, ``rare`` and ``absent`` ones. What can't be explained is in ``faults`` with the reason, and
    ``notes`` are what was not seen at all.

    Raises
    ------
    StackError
        The database can't be reached, or ``pg_stat_statements`` can't be read.
    """
    asked = asking or Asking(statements_max=statements_max)
    limit_ms = _STATEMENT_TIMEOUT_MS
    async with connected(database_url) as connection, guarded(connection, statement_timeout_ms=limit_ms):
        rows, notes = await _statements(connection, asked)
        matrix = await describe_planner(connection)
        matrix |= {"format": 1, "tenants": {}, "queries": {}, "plans": [], "faults": [], "notes": notes}
        roles: dict[int, dict[str, str]] = {}
        for row in rows:
            if row["role_id"] not in roles:
                roles[row["role_id"]] = await _settings_of(connection, row["role_id"])
            settings = roles[row["role_id"]] | dict(asked.settings)
            if asked.role is not None:
                settings["role"] = asked.role
            await _Statement(connection, row, settings, matrix).capture()
    return matrix


async def _statements(
    connection: asyncpg.Connection, asked: Asking
) -> tuple[list[dict[str, Any]], list[str]]:
    point = connection.transaction()
    await point.start()
    try:
        schema = await connection.fetchval(_OWN["anywhere.extension"].sql)
        if schema is None:
            raise StackError("this database has no extension pg_stat_statements", mend=_MEND)
        found = await connection.fetch(_OWN["anywhere.statements"].sql.format(schema=schema))
    except asyncpg.PostgresError as error:
        raise StackError(f"pg_stat_statements can't be read: {error}", mend=_MEND) from error
    finally:
        await point.rollback()
    everything = sum(row["total_ms"] for row in found) or 1.0
    rows = [_with_averages(row, everything) for row in found if row["queryid"] is not None]
    rows = [row for row in rows if not _is_ours(row["text"])]
    hidden = [row for row in found if row["queryid"] is None]
    notes = []
    if hidden:
        share = sum(row["total_ms"] for row in hidden) / everything
        notes.append(
            f"statements of other roles, {share:.0%} of the time, are hidden from this one: "
            "GRANT pg_read_all_stats to it"
        )
    if asked.query is not None:
        rows = [row for row in rows if asked.query.lower() in f"{row['queryid']} {row['text']}".lower()]
        if not rows:
            notes.append(f"no statement contains {asked.query!r}")
    planned = [row for row in rows if has_plan(row["text"])][: asked.statements_max]
    least = planned[-1]["total_ms"] if planned else 0.0
    return [row for row in rows if row in planned or row["total_ms"] >= least], notes


def _with_averages(row: Any, everything_ms: float) -> dict[str, Any]:
    calls, total_ms = int(row["calls"]), float(row["total_ms"])
    return {
        **dict(row),
        "calls": calls,
        "total_ms": total_ms,
        "mean_ms": total_ms / calls,
        "share": total_ms / everything_ms,
        "rows_a_call": float(row["rows"]) / calls,
        "pages_a_call": float(row["pages"]) / calls,
    }


def _is_ours(text: str) -> bool:
    return normal(text) in _LAB_TEXTS or _OURS.search(text) is not None or "pg_stat_statements" in text


async def _settings_of(connection: asyncpg.Connection, role_id: int) -> dict[str, str]:
    """Return what is set for a role in this database, such as its search path; nothing that limits us."""
    row = await connection.fetchrow(_OWN["anywhere.role"].sql, role_id)
    listed: Sequence[str] = (row["settings"] or ()) if row is not None else ()
    settings = dict(setting.partition("=")[::2] for setting in listed)
    return {name: value for name, value in settings.items() if "timeout" not in name and name != "role"}


class _Statement:
    """One statement that is being explained."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        row: Mapping[str, Any],
        settings: Mapping[str, str],
        matrix: dict[str, Any],
    ) -> None:
        self.connection = connection
        self.row = row
        self.name = f"statement {row['queryid']}"
        self.text = plannable(row["text"])
        self.settings = dict(settings)
        self.matrix = matrix

    async def capture(self) -> None:
        """Explain it for any value and for values that occur, and put that into the matrix."""
        row = self.row
        self.matrix["queries"][self.name] = {
            "text": row["text"],
            "writes": None,
            "label": name_in(row["text"]),
            "statistics": {
                key: row[key]
                for key in ("calls", "total_ms", "mean_ms", "share", "rows_a_call", "pages_a_call")
            },
        }
        if not has_plan(row["text"]):
            self._fault("not a statement that has a plan")
            return
        try:
            plan, types = await self._generic()
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            within = "" if row["toplevel"] else "; it runs within a function, whose variables it may mention"
            self._fault(str(error).splitlines()[0] + within)
            return
        said = {"planned": self.text, "parameters": len(types), "settings": self.settings}
        self.matrix["queries"][self.name] |= said
        self._plan(_ANY, "generic", plan, [])
        await self._for_values(plan, types)

    async def _generic(self) -> tuple[dict[str, Any], list[str]]:
        """Plan it for any value; where a type or the search path is not what it was, try others."""
        try:
            return await self._explained_generic(self.text, self.settings)
        except asyncpg.PostgresError as error:
            tried = await self._tried_otherwise(error)
            if tried is None:
                raise
            return tried

    async def _tried_otherwise(self, error: asyncpg.PostgresError) -> tuple[dict[str, Any], list[str]] | None:
        if isinstance(error, _LACKS_A_NAME):
            others = [(self.text, self.settings | {"search_path": path}) for path in await self._paths()]
            if not self.row["toplevel"]:
                others.insert(0, (with_variable(self.text, str(error)), self.settings))
        else:
            others = [(text, self.settings) for text in retyped(self.text, str(error))]
        for text, settings in others[:_TRIES_MAX]:
            try:
                found = await self._explained_generic(text, settings)
            except asyncpg.PostgresError as refused:
                if str(refused) != str(error) and text != self.text and len(others) == 1:
                    self.text = text  # one parameter further
                    return await self._tried_otherwise(refused)
                continue
            self.text, self.settings = text, settings
            return found
        return None

    async def _paths(self) -> list[str]:
        """Return the search paths that an application may have set by itself: each schema in front."""
        path = self.settings.get("search_path") or await self.connection.fetchval("SHOW search_path")
        rows = await self.connection.fetch(_OWN["anywhere.schemas"].sql)
        return [f"{row['schema']}, {path}" for row in rows]

    async def _explained_generic(
        self, text: str, settings: Mapping[str, str]
    ) -> tuple[dict[str, Any], list[str]]:
        async with prepared(self.connection, text, "generic", settings) as name:
            types = await self.connection.fetchval(_OWN["anywhere.parameters"].sql, name)
            call = call_of(name, ["NULL"] * len(types))
            plan = json.loads(await self.connection.fetchval(f"EXPLAIN ({_PLANNED}) EXECUTE {call}"))[0]
        return plan, types

    async def _for_values(self, generic: Mapping[str, Any], types: Sequence[str]) -> None:
        compared = compared_parameters(generic["Plan"])
        kinds = await values_by_kind(self.connection, types, compared)
        for kind, values in kinds.items():
            try:
                async with prepared(self.connection, self.text, "custom", self.settings) as name:
                    call = call_of(name, values)
                    text = await self.connection.fetchval(f"EXPLAIN ({_PLANNED}) EXECUTE {call}")
                    near = [await plan_nearby(self.connection, call, change) for change in NEARBY]
            except (asyncpg.PostgresError, asyncpg.InterfaceError):
                continue  # a value that the planner refuses says nothing; the generic plan stands
            others = [json.loads(other)[0] for other in near if outline(other) != outline(text)]
            self._plan(kind, "custom", json.loads(text)[0], others, values)

    def _plan(
        self,
        kind: str,
        mode: str,
        plan: dict[str, Any],
        near: list[dict[str, Any]],
        values: Sequence[str] = (),
    ) -> None:
        cell = {"query": self.name, "tenant": kind, "mode": mode}
        arguments = {f"${place}": value for place, value in enumerate(values, start=1)}
        self.matrix["plans"].append(
            {**cell, "arguments": arguments, "plan": plan, "near": near, "error": None}
        )

    def _fault(self, why: str) -> None:
        cell = {"query": self.name, "tenant": _ANY, "mode": "generic", "arguments": {}}
        self.matrix["faults"].append({**cell, "error": why})
