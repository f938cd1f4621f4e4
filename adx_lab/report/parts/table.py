"""A table once: columns with units and rows of raw values, for a page, a terminal, a data frame and CSV.

A value stays what was measured until somebody looks: people see three significant digits, machines all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from adx_lab.report.parts.escapes import for_csv
from adx_lab.report.parts.numbers import number

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["text", "code", "number", "share", "change", "ratio", "status"]
"""A ``share`` is a fraction of 1, shown as a percentage; a ``change`` is one around 0, with its sign; a
``ratio`` is shown as the change from 1."""

_NUMERIC = frozenset({"number", "share", "change", "ratio"})
_GOOD = frozenset({"pass", "kept", "faster", "same", "completed", "costs", "ok"})
_BAD = frozenset({"fail", "broken", "slower", "regressed", "invalid", "failed", "missing"})
_FILTER_FROM = 12
"""Rows: fewer are seen at a glance."""

NOTEBOOK_CSS = (
    ".adx-table th:not(.n),.adx-table td:not(.n){text-align:left!important}"
    ".adx-table td.n,.adx-table th.n{text-align:right!important;font-variant-numeric:tabular-nums}"
    ".adx-table .scroll{overflow-x:auto}"
    ".adx-table td{white-space:pre-wrap;overflow-wrap:break-word;max-width:60em}"
    "@media screen{.adx-table :is(td.n,td.good,td.bad,td.maybe){white-space:nowrap}"
    ".adx-table td.wide{min-width:12em}}.adx-table summary{cursor:pointer}"
    ".adx-table .good{color:#0a7a4b;font-weight:600}.adx-table .bad{color:#c0392b;font-weight:600}"
    ".adx-table .maybe{color:#8a5b00;font-weight:600}"
    "[data-jp-theme-light=false] .adx-table .good{color:#5dc793}"
    "[data-jp-theme-light=false] .adx-table .bad{color:#ff9a91}"
    "[data-jp-theme-light=false] .adx-table .maybe{color:#e6bb5c}"
)
_FOLDED_FROM = 40
"""Rows: a notebook shows more only to whoever asks, so that what stands below is found."""
_WIDE_CHARACTERS = 28
_LONG_CHARACTERS = 12
"""Of a word: shorter ones are never broken, however narrow the page."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes
    ----------
    name, unit
        As people read them.
    kind
        How a value is shown, and to which side it stands.
    key
        What a data frame calls it; made of name and unit where left out. Of an interval ``{}`` is its end.
    interval
        Whether a value is a pair: low and high.
    seen
        By people, by machines (data frame and CSV), or by all.
    words
        What it means, for whoever points at it.
    bar
        Whether a share is drawn as a bar, too.
    spare
        Whether a narrow terminal, or a phone, does without it.
    """

    name: str
    unit: str = ""
    kind: Kind = "text"
    key: str = ""
    interval: bool = False
    seen: Literal["all", "people", "machines"] = "all"
    words: str = ""
    bar: bool = False
    spare: bool = False

    @property
    def title(self) -> str:
        """The name with its unit."""
        return f"{self.name} {self.unit}".rstrip()

    @property
    def numeric(self) -> bool:
        """Whether its values stand to the right."""
        return self.kind in _NUMERIC

    @property
    def keys(self) -> tuple[str, ...]:
        """The names in a data frame: two of an interval."""
        stem = self.key or _identifier(f"{self.name} {{}} {self.unit}" if self.interval else self.title)
        return tuple(stem.format(end) for end in ("low", "high")) if self.interval else (stem,)

    def text(self, value: Any) -> str:
        """Return a value as people read it."""
        if isinstance(value, Cell):
            return value.text
        if self.interval:
            return self._ends(value)
        if value is None:
            return "–"
        if isinstance(value, bool):
            return "yes" if value else "no"
        return _FORMS.get(self.kind, str)(value)

    def _ends(self, value: Any) -> str:
        low, high = value if value is not None else (None, None)
        if low is None and high is None:
            return "–"
        if low == high:
            return "exact"
        plain = Column(self.name, self.unit, self.kind)
        return f"{'…' if low is None else plain.text(low)} to {'…' if high is None else plain.text(high)}"


@dataclass(frozen=True, slots=True)
class Cell:
    """A value that is shown in other words than its column's, or leads somewhere."""

    value: Any
    text: str
    address: str = ""


@dataclass(frozen=True, repr=False)
class Table:
    """Rows of raw values under columns; a value may be a `Cell`."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    address: str = ""
    """What a link to it ends with."""

    @property
    def header(self) -> tuple[str, ...]:
        """What people read above each column."""
        return tuple(column.title for _, column in self.seen())

    @property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        """The rows as people read them."""
        seen = self.seen()
        return tuple(tuple(column.text(row[place]) for place, column in seen) for row in self.rows)

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers as they are, units in the columns' names."""
        import pandas as pd  # noqa: PLC0415  # a verb that prints a table need not wait for it

        kept = [(place, column) for place, column in enumerate(self.columns) if column.seen != "people"]
        names = [key for _, column in kept for key in column.keys]
        rows = [[value for place, column in kept for value in _raw(column, row[place])] for row in self.rows]
        frame = pd.DataFrame(rows, columns=names)
        numbers = [key for _, column in kept if column.numeric for key in column.keys]
        # A column of which nothing is known is one of numbers, too.
        return frame.assign(**{key: pd.to_numeric(frame[key]) for key in numbers})

    def csv(self) -> str:
        """Return the data frame as CSV; no text of it is a formula to a spreadsheet."""
        rows = tuple(tuple(map(_harmless, row)) for row in self.rows)
        return str(Table(self.columns, rows).frame.to_csv(index=False, lineterminator="\n"))

    def take(self, places: Sequence[int]) -> Table:
        """Return the table of some rows."""
        return Table(self.columns, tuple(self.rows[place] for place in places))

    def linked(self, name: str, address_of: Callable[[str], str | None]) -> Table:
        """Return the table with a column whose texts lead somewhere, where there is something to lead to."""
        place = next(i for i, column in enumerate(self.columns) if column.name == name)
        rows = []
        for row in self.rows:
            value, text = row[place], self.columns[place].text(row[place])
            plain = value.value if isinstance(value, Cell) else value
            cell = Cell(plain, text, address_of(str(plain)) or "")
            rows.append((*row[:place], cell, *row[place + 1 :]))
        return Table(self.columns, tuple(rows), self.address)

    def html(self) -> str:
        """Return the table as HTML; a page's script makes it sortable, and long ones filterable."""
        seen = self.seen()
        if not self.rows:
            return '<p class="dim">Nothing.</p>'
        filtered = " data-filter" if len(self.rows) >= _FILTER_FROM else ""
        address = f' id="{escape(self.address)}"' if self.address else ""
        head = "".join(_head(column) for _, column in seen)
        body = "".join(
            f"<tr>{''.join(_html(column, row[place]) for place, column in seen)}</tr>" for row in self.rows
        )
        return (
            f'<div class="scroll" tabindex="0" role="group" aria-label="table"{address}><table{filtered}>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def _repr_html_(self) -> str:
        # JupyterLab sets every cell to the right, and takes what stands between two "$1" for mathematics.
        shown = self.html()
        if len(self.rows) >= _FOLDED_FROM:
            named = escape(", ".join(self.header))
            shown = f"<details><summary>{len(self.rows)} rows: {named}</summary>{shown}</details>"
        return f'<style>{NOTEBOOK_CSS}</style><div class="adx-table mathjax_ignore">{shown}</div>'

    def __repr__(self) -> str:
        return f"<Table of {len(self.rows)} rows: {', '.join(self.header)}>"

    def seen(self) -> list[tuple[int, Column]]:
        """Return what people see: not what only machines want, and no column of which nothing is known."""
        return [
            (place, column)
            for place, column in enumerate(self.columns)
            if column.seen != "machines"
            and (not self.rows or any(row[place] is not None for row in self.rows))
        ]


def facts(pairs: dict[str, Any]) -> Table:
    """Return names and values as a table of two columns."""
    return Table((Column("fact"), Column("value")), tuple(pairs.items()))


def tone(word: str) -> str:
    """Return what a status means: good, bad, maybe, or nothing."""
    if word in _GOOD:
        return "good"
    if word in _BAD:
        return "bad"
    return "maybe" if word in {"undecided", "not judged", "timed out"} else ""


def percentage(share: float) -> str:
    """Return a fraction as a percentage that is neither 0% nor 100% where it is not."""
    if 0 < share < 0.001:
        return "< 0.1%"
    if -0.0005 < share < 0:
        return "0%"
    digits = 0 if share == 0 or share >= 0.1 else 1
    if 0.995 <= share < 1:
        digits = 1 if share < 0.9985 else 2
    return f"{share:.{digits}%}".replace("-", "−")


def change(fraction: float) -> str:
    """Return a change with its sign; a multiple where a percentage would be hard to read."""
    if fraction >= 1:
        return f"×{number(1 + fraction)}"
    return f"{'+' if fraction >= 0 else '−'}{abs(fraction):.1%}"


_FORMS: dict[str, Callable[[Any], str]] = {
    "number": lambda value: number(float(value)),
    "share": percentage,
    "change": change,
    "ratio": lambda value: change(value - 1),
}


def _identifier(text: str) -> str:
    plain = re.sub(r"[^\w{}]+", "_", text.replace("%", "percent").replace("/s", "per_s"))
    return plain.strip("_").lower()


def _raw(column: Column, value: Any) -> Iterator[Any]:
    if isinstance(value, Cell):
        value = value.value
    if column.interval:
        yield from value if value is not None else (None, None)
    else:
        yield value


def _head(column: Column) -> str:
    style = ' class="n"' if column.numeric else ""
    words = f' title="{escape(column.words)}"' if column.words else ""
    return f'<th scope="col"{style}{words}>{escape(column.title)}</th>'


def _html(column: Column, value: Any) -> str:
    text = column.text(value)
    inner = escape(text)
    if column.kind == "code":
        inner = f"<code>{inner}</code>"
    if isinstance(value, Cell) and value.address:
        inner = f'<a href="{escape(value.address)}">{inner}</a>'
    raw = next(_raw(column, value))
    styles, more = [], ""
    if column.numeric:
        styles.append("n")
        more = f' data-v="{raw:.6g}"' if isinstance(raw, float) else ""
    elif column.kind == "status":
        styles.append(tone(text))
    else:
        if len(text) > _WIDE_CHARACTERS:
            styles.append("wide")
        if any(len(word) > _LONG_CHARACTERS for word in text.split()):
            styles.append("long")
    if column.spare:
        styles.append("spare")
    if column.bar and raw is not None:
        inner = f'<span class="bar" style="--used:{min(float(raw), 1):.0%}">{inner}</span>'
    style = f' class="{" ".join(styles)}"' if any(styles) else ""
    return f'<td data-label="{escape(column.title)}"{style}{more}>{inner}</td>'


def _harmless(value: Any) -> Any:
    if isinstance(value, Cell):
        return Cell(_harmless(value.value), value.text, value.address)
    return for_csv(value) if isinstance(value, str) else value
