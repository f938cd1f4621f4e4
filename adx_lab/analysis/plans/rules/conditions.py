"""Read the conditions that EXPLAIN prints, as far as an index could serve them.

Not a parser of SQL: the deparsed form is regular (every comparison in parentheses, casts spelled out), and a
condition that isn't recognised only means that no index is proposed for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NAME = r'(?:(?:"[^"]+"|[a-z_][\w$]*)\.)?("[^"]+"|[a-z_][\w$]*)'
_COLUMN = re.compile(rf"\(?{_NAME}\)?(?:::[\w \"]+(?:\([\d,]+\))?)?")
_CALL = re.compile(rf"[a-z_]\w*\(\(?{_NAME}\)?(?:::[\w ]+)?\)")
_FIELD = re.compile(rf"\({_NAME} ->>? '[^']*'(?:::text)?\)(?:::[\w ]+)?")
_COMPARED = re.compile(r"(.+?) (=|<|>|<=|>=|~~|~~\*|IS NULL|IS NOT NULL)(?: (.*))?", re.DOTALL)
_ROW = re.compile(r"ROW\((.+?)\) (<|>|<=|>=) ROW\(", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The columns and expressions a set of conditions asks for, by what an index can do with them."""

    equal: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Everything that narrows the search, without order."""
        return tuple(dict.fromkeys([*self.equal, *self.ranges, *self.patterns]))


def read_conditions(texts: Iterable[str]) -> Conditions:
    """Read conditions that must all hold."""
    equal: list[str] = []
    ranges: list[str] = []
    partial: list[str] = []
    patterns: list[str] = []
    for conjunct in (part for text in texts for part in _conjuncts(text)):
        row = _ROW.match(conjunct)
        if row:
            ranges += [name for item in row.group(1).split(", ") if (name := _indexable(item))]
            continue
        compared = _COMPARED.fullmatch(conjunct)
        if compared is None:
            if re.fullmatch(rf"(?:NOT )?{_NAME}", conjunct):
                partial.append(_unqualified(conjunct))
            continue
        name = _indexable(compared.group(1))
        if name is None:
            continue
        if compared.group(2).startswith("IS"):
            partial.append(f"{name} {compared.group(2)}")
        else:
            {"=": equal, "~~": patterns, "~~*": patterns}.get(compared.group(2), ranges).append(name)
    return Conditions(*(tuple(dict.fromkeys(found)) for found in (equal, ranges, partial, patterns)))


def read_sort_keys(keys: Sequence[str]) -> tuple[str, ...] | None:
    """Return sort keys as an index would have them, or None where one of them can't be indexed."""
    found = []
    for key in keys:
        match = re.fullmatch(r"(.+?)((?: DESC)?(?: NULLS (?:FIRST|LAST))?)", key)
        name = _indexable(match.group(1)) if match else None
        if match is None or name is None:
            return None
        found.append(name + match.group(2))
    return tuple(found)


def index_sql(relation: str, conditions: Conditions, order: Sequence[str] = ()) -> str | None:
    """Return the index that serves conditions and order, as SQL: equality first, then order, then ranges.

    None where nothing is known that an index could narrow by.
    """
    where = f" WHERE {' AND '.join(conditions.partial)}" if conditions.partial else ""
    in_order = {key.partition(" ")[0] for key in order}
    keys = [name for name in conditions.equal if name not in in_order]
    keys += order or conditions.ranges[:1]
    if keys:
        return f"CREATE INDEX CONCURRENTLY ON {quoted(relation)} ({', '.join(keys)}){where};"
    if conditions.patterns:
        operands = ", ".join(f"{name} gin_trgm_ops" for name in conditions.patterns)
        return (
            f"CREATE EXTENSION IF NOT EXISTS pg_trgm; "
            f"CREATE INDEX CONCURRENTLY ON {quoted(relation)} USING gin ({operands}){where};"
        )
    return None


def quoted(name: str) -> str:
    """Return an identifier as SQL needs it."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_$]*", name) else '"' + name.replace('"', '""') + '"'


def _indexable(expression: str) -> str | None:
    expression = expression.strip()
    if expression.isdigit() or expression[:1] in {"'", "$"}:
        return None
    column = _COLUMN.fullmatch(expression)
    if column:
        return column.group(1)
    if _CALL.fullmatch(expression):
        return _unqualified(expression)
    return f"({_unqualified(expression)})" if _FIELD.fullmatch(expression) else None


def _unqualified(expression: str) -> str:
    return re.sub(r'(?<![\w"\'])(?:"[^"]+"|[a-z_][\w$]*)\.(?=["a-z_])', "", expression)


def _conjuncts(text: str) -> list[str]:
    """Split at every AND that is not within parentheses or quotes, and strip what encloses a part."""
    waiting, found = [text], []
    while waiting:
        part = _strip(waiting.pop())
        pieces = _split(part)
        if len(pieces) > 1:
            waiting += reversed(pieces)
        elif not _split(part, " OR ")[1:]:
            found.append(part)
    return found


def _split(text: str, word: str = " AND ") -> list[str]:
    pieces, depth, begin, in_quotes = [], 0, 0, False
    for position, character in enumerate(text):
        if character == "'":
            in_quotes = not in_quotes
        elif not in_quotes:
            depth += (character == "(") - (character == ")")
            if depth == 0 and text.startswith(word, position):
                pieces.append(text[begin:position])
                begin = position + len(word)
    return [*pieces, text[begin:]]


def _strip(text: str) -> str:
    """Take off parentheses that enclose the whole."""
    text = text.strip()
    while text.startswith("(") and _closes(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closes(text: str) -> int:
    depth, in_quotes = 0, False
    for position, character in enumerate(text):
        if character == "'":
            in_quotes = not in_quotes
        elif not in_quotes:
            depth += (character == "(") - (character == ")")
            if depth == 0:
                return position
    return -1
