"""A table on a terminal: within the width given, numbers to the right, a status in its colour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import combining, east_asian_width

from adx_lab.errors import on_a_terminal
from adx_lab.report.parts.table import Table, tone

_GAP = "  "
_LEAST = 10
"""Characters of a column of text that must give way to others, where whole words do not fit."""

_PIECES = re.compile(r"\s+|[^\s/_,]*[/_,]+|[^\s/_,]+")
"""Where a text may be broken: between words, and after what joins them in a path or a name."""

_INK = {"good": "32", "bad": "31;1", "maybe": "33"}


def table_text(table: Table, *, width: int | None, colour: bool = False) -> str:
    """Return a table as lines.

    Parameters
    ----------
    width
        Of the terminal; None where nobody looks at one: nothing is wrapped there.
    colour
        Whether a status has its colour.
    """
    table = table if width is None else _without_spare(table, width)
    columns = [column for _, column in table.seen()]
    rows = [[on_a_terminal(text) for text in row] for row in table.texts]
    widths = [max(cells(line[place]) for line in (table.header, *rows)) for place in range(len(columns))]
    if width is not None:
        widths = _fitted(widths, *_limits(table), width - len(_GAP) * (len(columns) - 1))
    lines = _lines(table.header, widths, [column.numeric for column in columns])
    lines.append(_GAP.join("-" * one for one in widths).rstrip())
    for row in rows:
        inks = [
            tone(text) if column.kind == "status" else "" for text, column in zip(row, columns, strict=True)
        ]
        lines += _lines(row, widths, [column.numeric for column in columns], inks if colour else ())
    return "\n".join(lines)


def inked(status: str) -> str:
    """Return a status in the colour of what it means."""
    ink = _INK.get(tone(status))
    return status if ink is None else f"\x1b[{ink}m{status}\x1b[0m"


def cells(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def _without_spare(table: Table, width: int) -> Table:
    """Leave out columns that a narrow terminal does without, the last first, until whole words fit."""
    spare = [place for place, column in table.seen() if column.spare]
    kept = list(range(len(table.columns)))
    shown = table
    while spare and sum(_limits(shown)[0]) + len(_GAP) * (len(shown.header) - 1) > width:
        kept.remove(spare.pop())
        rows = tuple(tuple(row[place] for place in kept) for row in table.rows)
        shown = Table(tuple(table.columns[place] for place in kept), rows)
    return shown


def _limits(table: Table) -> tuple[list[int], list[int], list[bool]]:
    """Return how narrow each column gets with whole words, and with broken ones, and which holds text.

    What is no text stays whole; only the words above it stand below one another.
    """
    texts, rows = [column.kind == "text" for _, column in table.seen()], table.texts
    whole = []
    for place, text in enumerate(texts):
        told = [line[place] for line in rows]
        pieces = [piece for one in (table.header[place], *told * text) for piece in _PIECES.findall(one)]
        whole.append(max(map(cells, (*pieces, *([] if text else told))), default=1))
    broken = [min(own, _LEAST) if text else own for own, text in zip(whole, texts, strict=True)]
    return whole, broken, texts


def _fitted(
    widths: list[int], whole: list[int], broken: list[int], texts: list[bool], room: int
) -> list[int]:
    """Take from the widest columns until all fit, of text first, and of words last; the rest runs over."""
    fitted = list(widths)
    for least, may in ((whole, texts), (whole, [True] * len(texts)), (broken, texts)):
        while sum(fitted) > room and (
            wide := [i for i, own in enumerate(fitted) if may[i] and own > least[i]]
        ):
            fitted[max(wide, key=lambda i: fitted[i])] -= 1
    return fitted


def _lines(
    row: Sequence[str], widths: Sequence[int], right: Sequence[bool], inks: Sequence[str] = ()
) -> list[str]:
    wrapped = [_wrap(text, width) for text, width in zip(row, widths, strict=True)]
    lines = []
    for level in range(max(len(parts) for parts in wrapped)):
        shown = []
        for place, (parts, width) in enumerate(zip(wrapped, widths, strict=True)):
            text = parts[level] if level < len(parts) else ""
            space = " " * max(0, width - cells(text))
            text = inked(text) if inks and inks[place] else text
            shown.append(space + text if right[place] else text + space)
        lines.append(_GAP.join(shown).rstrip())
    return lines


def _wrap(text: str, width: int) -> list[str]:
    """Break a text between its words, in a name after what joins them, and else where it must be."""
    if cells(text) <= width:
        return [text]
    lines, line = list[str](), ""
    for piece in _PIECES.findall(text):
        if cells((line + piece).rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += "" if not line and piece.isspace() else piece
        while cells(line.rstrip()) > width:
            cut = max(1, width)
            lines.append(line[:cut])
            line = line[cut:]
    return [one for one in (*lines, line.rstrip()) if one] or [""]
