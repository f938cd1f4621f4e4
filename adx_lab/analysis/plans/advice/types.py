"""What types and functions allow: which method serves an operator, which expressions never change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from adx_lab.analysis.plans.sql.expression import (
    Call,
    Cast,
    ColumnName,
    Constant,
    Expression,
    Operation,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_RANGES = re.compile(r"(?:int4|int8|num|ts|tstz|date)(?:multi)?range$")
_GEOMETRY = frozenset({"box", "point", "circle", "polygon", "geometry", "geography"})
_NETWORKS = frozenset({"inet", "cidr"})
_IN_RANGES = ("timestamp", "date", "integer", "bigint", "numeric", "int4", "int8")
_STEADY = """lower upper abs md5 substr substring left right length char_length btrim ltrim rtrim trim reverse
coalesce round floor ceil trunc replace split_part strpos initcap mod jsonb_extract_path_text translate sign
jsonb_extract_path json_extract_path_text greatest least nullif lpad rpad encode decode jsonb_array_length
array_length cardinality hashtext bit_length octet_length position overlay regexp_replace repeat ascii chr
to_hex sqrt power div jsonb_typeof array_position array_upper"""
_UNCHANGING = frozenset(_STEADY.split())
_TIMELY = frozenset({"date_trunc", "date_part", "extract", "timezone", "date"})
_TEXTS = ("character varying", "varchar", "character", "bpchar", "citext", "text", "name")
_NUMERIC_OR_ID = re.compile(r"'(?:-?\d+(?:\.\d+)?|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27})'$")
_ID_LIKE = re.compile(r"(?:^|_)(?:id|ids|no|num|number|count|qty|quantity|amount|year|age|uuid)$")


def literal_type(expression: Expression) -> str:
    """Return the type that a value is said to have, empty where it isn't said."""
    return expression.type if isinstance(expression, Cast) else ""


def method_for(operator: str, type_name: str, left: Expression) -> tuple[str, str, str] | None:
    """Return method, operator class and extension of the index that serves an operator; None for none."""
    in_path = ("gin", "jsonb_path_ops", "")
    if operator in {"@@", "@?"}:
        return in_path if "json" in type_name or operator == "@?" else ("gin", "", "")
    if operator == "%":
        return ("gin", "gin_trgm_ops", "pg_trgm") if type_name in {"text", "citext"} else None
    if type_name == "jsonb" or operator in {"?", "?|", "?&"}:
        return in_path if operator == "@>" and type_name == "jsonb" else ("gin", "", "")
    return _by_type(operator, type_name, left)


def _by_type(operator: str, type_name: str, left: Expression) -> tuple[str, str, str] | None:
    held = operator in {"@>", "<<", ">>", "-|-"} and type_name.startswith(_IN_RANGES)  # a value in a range
    if held or _RANGES.match(type_name) or type_name in _GEOMETRY or type_name == "ltree":
        found = "gist", ""
    elif type_name in _NETWORKS:
        found = "gist", "inet_ops"
    elif (type_name.endswith("[]") and operator in {"@>", "<@", "&&"}) or (
        operator in {"@>", "&&"} and (type_name in {"hstore", ""} or isinstance(left, Call))
    ):
        found = "gin", ""
    else:
        return None
    return (*found, "")


def relabelled(cast: Expression, column: ColumnName, right: Expression, types: Mapping[str, str]) -> bool:
    """Tell whether a cast says only what PostgreSQL says of every varchar, so that an index still serves."""
    if not isinstance(cast, Cast) or cast.type not in {"text", "bpchar", "character varying"}:
        return False
    own = types.get(column.name)
    if own is not None:
        return own.startswith(_TEXTS)
    value = right.operand if isinstance(right, Cast) else right
    suspicious = isinstance(value, Constant) and _NUMERIC_OR_ID.match(value.value) is not None
    return not (suspicious and _ID_LIKE.search(column.name.lower()))


def is_unchanging(expression: Expression, right: Expression, types: Mapping[str, str]) -> bool:
    """Tell whether an expression depends on nothing but its row, so that an index may hold it."""
    zoned = any("with time zone" in types.get(item.name, "") for item in _columns(expression))
    zoned = zoned or "with time zone" in literal_type(right) or "timestamptz" in literal_type(right)
    timed = literal_type(right).startswith(("timestamp", "date"))
    return all(
        _keeps(item, types, zoned=zoned, known=timed or _knows(expression, types))
        for item in walk(expression)
    )


def has_unknown(expression: Expression) -> bool:
    """Tell whether an expression calls a function of which only its database knows if it changes."""
    known = _UNCHANGING | _TIMELY | {"to_tsvector", "row", "array"}
    return any(isinstance(item, Call) and item.function not in known for item in walk(expression))


def _keeps(item: Expression, types: Mapping[str, str], *, zoned: bool, known: bool) -> bool:
    if isinstance(item, Call):
        if item.function in _TIMELY:
            return known and (item.function == "timezone" or not zoned)
        return item.function in _UNCHANGING or (item.function == "to_tsvector" and len(item.arguments) > 1)
    if isinstance(item, Cast):
        return isinstance(item.operand, Constant) or _steady(item, types)
    return not (isinstance(item, Operation) and zoned and item.operator in {"+", "-"})


def _steady(cast: Cast, types: Mapping[str, str]) -> bool:
    """Tell whether a cast gives the same under all settings: not to or from what depends on a time zone."""
    if re.match(r"timestamp|date|time|reg", cast.type):
        return False
    columns = list(_columns(cast.operand))
    return not any(re.match(r"timestamp|date|interval", types.get(column.name, "")) for column in columns)


def _knows(expression: Expression, types: Mapping[str, str]) -> bool:
    return all(column.name in types for column in _columns(expression))


def _columns(expression: Expression) -> list[ColumnName]:
    return [item for item in walk(expression) if isinstance(item, ColumnName)]
