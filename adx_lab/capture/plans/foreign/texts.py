"""Statements as ``pg_stat_statements`` keeps them: what they are called, and how they can be planned.

Every constant became a parameter there, also where the grammar wants a constant: ``interval $1``.
"""

from __future__ import annotations

import re

_COMMENT = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*"
_EXPLAINABLE = re.compile(
    rf"{_COMMENT}\(*{_COMMENT}(select|with|insert|update|delete|merge|values|table)\b",
    re.IGNORECASE | re.DOTALL,
)
_LEADING = re.compile(r"\s*(?:--[ \t]*([^\n]*)|/\*(.*?)\*/)", re.DOTALL)
_NAMED = re.compile(r"(?:^|\b)(?:name|query_?name|action)\s*[:=]\s*'?([\w.:/#-]+)'?", re.IGNORECASE)
_TYPED = (
    r"interval|date|timestamptz|timetz|time\s+with(?:out)?\s+time\s+zone|time|"
    r"timestamp\s+with(?:out)?\s+time\s+zone|timestamp|numeric|bit|uuid|inet|cidr|jsonb|json|point|box|"
    r"int4range|int8range|numrange|daterange|tsrange|tstzrange|regclass|bytea|xml|money"
)
_LITERAL = re.compile(rf"(?<![\w.\"$:])({_TYPED})\s+(\$\d+)(?!\d)", re.IGNORECASE)
_FIELDS = re.compile(r"\bextract\s*\(\s*(\$\d+)\s+from\b", re.IGNORECASE)
_VARIABLE = re.compile(r'column "([^".]+)" does not exist')
_UNKNOWN = re.compile(r"could not determine data type of parameter (\$\d+)")


def has_plan(text: str) -> bool:
    """Tell whether a statement is of a kind that PostgreSQL plans."""
    return _EXPLAINABLE.match(text) is not None


def plannable(text: str) -> str:
    """Return a statement with parameters where pg_stat_statements left what is no longer SQL."""
    text = _LITERAL.sub(r"\2::\1", text)
    return _FIELDS.sub(r"date_part(\1::text,", text)


def retyped(text: str, error: str) -> list[str]:
    """Return a statement with parameters of other types, where PostgreSQL can't tell or take what they are.

    A constant had a type that its parameter lost: ``generate_series(1, 3)``.
    """
    unknown = _UNKNOWN.search(error)
    if unknown is not None:
        return [_typed(text, unknown.group(1), "text")]
    if not re.search(
        r"operator does not exist|function .* (?:is not unique|does not exist)|is of type", error
    ):
        return []
    parameters = sorted(set(re.findall(r"\$\d+", text)), key=lambda parameter: int(parameter[1:]))
    every = text
    for parameter in parameters:
        every = _typed(every, parameter, "int")
    return [every, *(_typed(text, parameter, "int") for parameter in parameters)]


def with_variable(text: str, error: str) -> str:
    """Return a statement from within a function with a parameter where it mentions a variable."""
    unknown = _VARIABLE.search(error)
    if unknown is None:
        return text
    last = max((int(number) for number in re.findall(r"\$(\d+)", text)), default=0)
    return re.sub(rf"(?<![\w.\"$']){re.escape(unknown.group(1))}(?![\w\"'])", f"${last + 1}", text)


def _typed(text: str, parameter: str, type_name: str) -> str:
    return re.sub(rf"\{parameter}(?!\d)(?!::)", f"{parameter}::{type_name}", text)


def name_in(text: str) -> str | None:
    """Return the name that a statement has in its comment, or None."""
    match = _LEADING.match(text)
    comment = (match.group(1) or match.group(2) or "").strip() if match else ""
    if not comment:
        trailing = re.search(r"/\*(.*?)\*/\s*;?\s*\Z", text, re.DOTALL)
        comment = trailing.group(1).strip() if trailing else ""
    named = _NAMED.search(comment)
    if named:
        return named.group(1)
    return comment if comment and re.fullmatch(r"[\w.:/ -]{1,60}", comment) else None
