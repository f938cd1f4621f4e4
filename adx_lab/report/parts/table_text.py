"""A table on a terminal: within the width given, numbers to the right, a status in its colour."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from unicodedata import combining, east_asian_width

from adx_lab.report.parts.table import Table, tone

_GAP = "  "
_LEAST = 10
"""Characters of a column of text that must give way to others."""

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
    columns = [column for _, column in table.seen()]
    rows = table.texts
    widths = [max(cells(line[place]) for line in (table.header, *rows)) for place in range(len(columns))]
    if width is not None:
        elastic = [column.kind == "text" for column in columns]
        widths = _fitted(widths, elastic, _least(table, rows), width - len(_GAP) * (len(columns) - 1))
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


def _least(table: Table, rows: Sequence[Sequence[str]]) -> list[int]:
    """Return how narrow each column may get: its longest word, within reason."""
    return [
        min(
            max(cells(word) for line in (table.header, *rows) for word in (line[place].split() or [""])),
            _LEAST,
        )
        for place in range(len(table.header))
    ]


def _fitted(widths: list[int], elastic: list[bool], least: list[int], room: int) -> list[int]:
    """Take from the widest columns of text until all fit; what can't be taken runs over."""
    fitted = list(widths)
    while sum(fitted) > room:
        able = [i for i, own in enumerate(fitted) if elastic[i] and own > least[i]]
        # Numbers stay whole; only the words above them may be broken.
        able = able or [i for i, own in enumerate(fitted) if own > least[i] and not elastic[i]]
        if not able:
            break
        fitted[max(able, key=lambda i: fitted[i])] -= 1
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
    if cells(text) <= width:
        return [text]
    return textwrap.wrap(text, max(1, width), break_on_hyphens=False) or [""]
