"""Rows as programs print them: a plan's lines, each in quotes or a tag, taken out again."""

from __future__ import annotations

import ast
import html
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADER = "QUERY PLAN\n"
_QUOTED = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'"
_KEY = r"(?:[\"']QUERY PLAN[\"']\s*(?::|=>|,)\s*)?"
_GO_LIST = re.compile(r"\[(?:\"(?:[^\"\\\n]|\\.)*\" ?)+\]")
_CALLED = re.compile(r"\b(?:\w*Row|OrderedDict)\((?=[\[{(])")
_DOUBLED = re.compile(r'[^\s,(\[:\\]""|""[^\s,)\]}]')
_ONE = re.compile(rf"\(?({_QUOTED}),?\)?")
_SIGNS = ("(cost=", "(actual ", "->  ", "Node Type", "Node-Type", "<explain")
_ROWS_MIN = 2
_SAMPLE = 50
_WORD = re.compile(r"\w")
_OF_JSON = re.compile(r'[\[{]\s*[\[{]?\s*"')


def unrowed(text: str) -> str:
    """Return the lines of a plan that was printed as a value or as rows of a program."""
    if not any(sign in text for sign in _SIGNS):
        return text
    value = _literal(text)
    if value is not None:
        return value
    lines = [line for line in text.split("\n") if line.strip()]
    sample = [line for line in lines[: 2 * _SAMPLE] if _WORD.search(line)][:_SAMPLE]
    for pattern, unescape, share_min in _WAYS:
        if not any(pattern.match(line) for line in sample):
            continue
        rows = [match.group(1) for line in lines if (match := pattern.match(line))]
        if len(rows) >= max(_ROWS_MIN, len(lines) * share_min):
            return _HEADER + "\n".join(map(unescape, rows))
    return text


def _unquoted(literal: str) -> str:
    try:
        return str(ast.literal_eval(literal))
    except (ValueError, SyntaxError):
        return literal[1:-1]


_WAYS = (
    (
        re.compile(rf"\s*\[?\s*(?:\w*\(?\s*[(\[{{]+)\s*{_KEY}({_QUOTED})\s*,?\s*[)\]}}]+[)\],;]*\s*$"),
        _unquoted,
        0.6,
    ),
    (re.compile(rf"\s*\[?<Record [^=\n]+=({_QUOTED})>[\],]*\s*$"), _unquoted, 0.6),
    (re.compile(rf"\s*\+?[\"']QUERY PLAN[\"']\s*(?::|=>)\s*({_QUOTED}),?\s*$"), _unquoted, 0.2),
    (
        re.compile(r"\s*insert into [^\n]*\bvalues\s*\('((?:[^'\n]|'')*)'\);?\s*$", re.IGNORECASE),
        lambda row: row.replace("''", "'"),
        0.6,
    ),
    (re.compile(r"\s*<query_plan>(.*)</query_plan>\s*$", re.IGNORECASE), html.unescape, 0.2),
)
"""How a line holds a row of a plan, what undoes its escapes, and how many of the lines must be such."""


def _literal(text: str) -> str | None:
    """Return the plan in a text that is one value of a program: a string, or a list of rows of one string."""
    stripped = text.strip()
    if stripped[:1] not in {'"', "'", "[", "("} or stripped[-1:] not in {'"', "'", "]", ")"}:
        return None
    if _OF_JSON.match(stripped) and not _GO_LIST.match(stripped):
        return None
    if _DOUBLED.search(stripped) and not _ONE.fullmatch(stripped):
        return None  # a grid's quotes; Python would put the pieces together
    if _GO_LIST.fullmatch(stripped):
        stripped = stripped.replace('" "', '", "')
    try:
        value = ast.literal_eval(_CALLED.sub("(", stripped))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    rows = [value] if isinstance(value, str) else _rows(value)
    if not rows or not any(sign in row for row in rows for sign in _SIGNS):
        return None
    return rows[0] if len(rows) == 1 else _HEADER + "\n".join(rows)


def _rows(value: Any) -> list[str]:
    """Return the only text of each row; nothing where one has more."""
    found = []
    for row in value if isinstance(value, list | tuple) else ():
        text = _only_text(row)
        if text is None:
            return []
        found.append(text)
    return found


def _only_text(row: Any) -> str | None:
    while not isinstance(row, str):
        if isinstance(row, dict) and len(row) == 1:
            row = next(iter(row.values()))
        elif isinstance(row, list | tuple) and row:
            row = _of_pair(row)
        else:
            return None
    return row


def _of_pair(row: Sequence[Any]) -> Any:
    """Return what a row holds: its only value, or what stands beside the name of its column."""
    if len(row) == 1:
        return row[0]
    return row[1] if len(row) == 2 and row[0] == "QUERY PLAN" else None
