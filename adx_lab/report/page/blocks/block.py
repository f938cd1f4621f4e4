"""A part of a page with an address, and what it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Protocol

from adx_lab.report.parts.table import Table


class Drawable(Protocol):
    """A figure, a table, or words."""

    def html(self) -> str:
        """Return it as HTML."""


@dataclass(frozen=True, slots=True)
class Words:
    """A heading, a sentence, or lines of code."""

    text: str
    tag: str = "p"
    style: str = ""

    def html(self) -> str:
        """Return it as HTML; of a difference, lines that were added and cut have their colour."""
        style = f' class="{self.style}"' if self.style else ""
        text = escape(self.text)
        if self.tag == "pre":
            text = "\n".join(_line(line) for line in text.split("\n"))
            return f'<pre{style} tabindex="0"><code>{text}</code></pre>'
        return f"<{self.tag}{style}>{text}</{self.tag}>"


@dataclass(frozen=True, slots=True)
class Link:
    """A way to a page that has the rest."""

    text: str
    address: str

    def html(self) -> str:
        """Return it as HTML."""
        return f'<p><a href="{escape(self.address)}">{escape(self.text)}</a></p>'


@dataclass(frozen=True, slots=True)
class Folded:
    """Something that most readers pass over, behind a line that says what it is."""

    summary: str
    shown: tuple[Drawable, ...]
    address: str = ""

    def html(self) -> str:
        """Return it as HTML."""
        inner = "".join(one.html() for one in self.shown)
        address = f' id="{escape(self.address)}"' if self.address else ""
        return f"<details{address}><summary>{escape(self.summary)}</summary>{inner}</details>"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page; a folded one shows its title only."""

    anchor: str
    title: str
    shown: tuple[Drawable, ...]
    note: str = ""
    folded: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see."""
        return all(isinstance(part, Table) and not part.rows for part in self.shown)


def _line(text: str) -> str:
    if text.startswith("+"):
        return f'<span class="add">{text}</span>'
    return f'<span class="cut">{text}</span>' if text.startswith("-") else text
