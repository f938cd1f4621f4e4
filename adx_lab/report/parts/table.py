"""A table as people read it: a header with units, three significant digits, nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

_NOTEBOOK_CSS = ".adx-table th:not(.n),.adx-table td:not(.n){text-align:left}"


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; `frame` has them as pandas does. Columns of numbers stand to the right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[str] = frozenset()
    marked: str | None = None
    """The column whose text is also a class of the style sheet: a status."""

    @property
    def frame(self) -> pd.DataFrame:
        """The same as a data frame of text."""
        return pd.DataFrame(list(self.rows), columns=list(self.header))

    def html(self) -> str:
        """Return the table as HTML that scrolls sideways on a narrow page."""
        head = "".join(f"<th{self._class(name)}>{escape(name)}</th>" for name in self.header)
        body = "".join(f"<tr>{''.join(self._cells(row))}</tr>" for row in self.rows)
        body = body or f'<tr><td class="dim" colspan="{len(self.header)}">nothing</td></tr>'
        return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'

    def _repr_html_(self) -> str:
        # JupyterLab sets every cell to the right, and takes what stands between two "$1" for mathematics.
        return f'<style>{_NOTEBOOK_CSS}</style><div class="adx-table mathjax_ignore">{self.html()}</div>'

    def _class(self, name: str) -> str:
        return ' class="n"' if name in self.numeric else ""

    def _cells(self, row: Sequence[str]) -> Iterable[str]:
        for name, text in zip(self.header, row, strict=True):
            style = f' class="{escape(text)}"' if name == self.marked else self._class(name)
            yield f"<td{style}>{escape(text)}</td>"
