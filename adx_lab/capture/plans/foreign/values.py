"""Values for a statement's parameters, as they occur: the commonest, a rare one, and an absent one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adx_lab.capture.plans.guarded import quoted
from adx_lab.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

    from adx_lab.analysis.plans.sql.parameters import ComparedParameter

_OWN = load_queries(Path(__file__).parent)
KINDS = ("common", "rare", "absent")
_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision", "oid")
_ABSENT = {
    **dict.fromkeys(_NUMBERS, "-1"),
    "uuid": "00000000-0000-4000-8000-000000000000",
    "date": "1900-01-01",
    "timestamp with time zone": "1900-01-01 00:00:00+00",
    "timestamp without time zone": "1900-01-01 00:00:00",
}
_ANY = _ABSENT | dict.fromkeys(_NUMBERS, "10") | {
    "boolean": "true",
    "interval": "1 day",
    "jsonb": "{}",
    "json": "{}",
    "bytea": "",
    "inet": "127.0.0.1",
}  # fmt: skip
_NOBODY = "adx: nobody has this"
_TEXTS = frozenset({"text", "character varying", "character", "citext", "name"})
_ANYTHING = "10"
"""A text that is a number as well, for functions that read one."""


async def values_by_kind(
    connection: asyncpg.Connection, types: Sequence[str], compared: Mapping[int, ComparedParameter]
) -> dict[str, list[str]]:
    """Return the arguments of each kind, as SQL; a kind that is the same as an earlier one is left out.

    Nothing but the planner's statistics is read.

    Parameters
    ----------
    types
        The parameters' types, in order.
    compared
        The columns that parameters are compared with.
    """
    known = {number: await _statistics(connection, column) for number, column in compared.items()}
    if not any(known.values()):
        return {}
    found: dict[str, list[str]] = {}
    for kind in KINDS:
        values = [
            _value(kind, type_name, known.get(place) or {}, compared.get(place))
            for place, type_name in enumerate(types, start=1)
        ]
        if values not in found.values():
            found[kind] = values
    return found


async def _statistics(connection: asyncpg.Connection, column: ComparedParameter) -> dict[str, str | None]:
    row = await connection.fetchrow(_OWN["anywhere.values"].sql, column.schema, column.table, column.column)
    return (
        {} if row is None else {"common": row["common"] or row["rare"], "rare": row["rare"] or row["common"]}
    )


def _value(
    kind: str, type_name: str, known: Mapping[str, str | None], column: ComparedParameter | None
) -> str:
    many = type_name.endswith("[]")
    one = type_name.removesuffix("[]")
    value = known.get(kind)
    if kind == "absent" and column is not None and column.operator in {"=", "= ANY"}:
        value = _NOBODY if one in _TEXTS else _ABSENT.get(one) or known.get("rare")
    elif kind == "absent":
        value = known.get("rare")
    if value is None:
        value = _ANY.get(one, _ANYTHING if one in _TEXTS else None)
    if value is None:
        return "NULL"
    return quoted("{" + '"' + value.replace("\\", r"\\").replace('"', r"\"") + '"' + "}" if many else value)
