"""Tables that psql writes for LaTeX, troff and AsciiDoc, as the values that they hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ROW = re.compile(r"^(?:.*QUERY PLAN\}? & )?(?:\\raggedright\{(.*)\}|(.*?)) (?:\\\\|\\tabularnewline)$")
_SIGNS = {
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textbackslash{}": "\\",
    r"\^{}": "^",
    r"\~{}": "~",
    r"\\": "\n",
} | {f"\\{sign}": sign for sign in "#$%&_{}"}
_SIGN = re.compile("|".join(re.escape(sign) for sign in _SIGNS))
_LATEX_FRAME = re.compile(r"\{QUERY PLAN\}+ \\\\$|^\\multicolumn|^\\noindent")
_TROFF_FRAME = re.compile(r"\.(?:TS|TE|T&|LP|DS|DE)(?: |$)|\\fI|_$|center(?: box)?;|[cl]( \|)? ?[cls]*\.$")
_ASCIIDOC_FRAME = re.compile(r"\|====$|\.\.\.\.$|\[options=|\[cols=|[.^<>\d+]*l?\|(?:QUERY PLAN|Record \d+)$")
_ASCIIDOC_CELL = re.compile(r"^(?:[.^<>\d+]*l?\|QUERY PLAN )?(?:<l)?\|")


def plain(text: str) -> str:
    """Return a text without what typesetting has around its plans, a plan's lines below their header."""
    if "\\begin{tabular}" in text or "\\begin{longtable}" in text:
        return "\n".join(_of_latex(text))
    lines = text.split("\n")
    if ".TS" in lines:
        values = (line.removeprefix("QUERY PLAN\t").replace("\\(rs", "\\") for line in lines)
        return "\n".join(_headed(lines, values, _TROFF_FRAME))
    if "|====" in lines:
        values = (_ASCIIDOC_CELL.sub("", line).replace("\\|", "|") for line in lines)
        return "\n".join(_headed(lines, values, _ASCIIDOC_FRAME))
    return text


def _headed(lines: list[str], values: Iterable[str], frame: re.Pattern[str]) -> Iterator[str]:
    yield "QUERY PLAN"
    for line, value in zip(lines, values, strict=True):
        if not frame.match(line):
            yield value
        elif line in {".TE", "|===="}:
            yield ""  # two tables are two plans


def _of_latex(text: str) -> Iterator[str]:
    yield "QUERY PLAN"
    for line in text.split("\n"):
        row = _ROW.match(line)
        if row is not None and not _LATEX_FRAME.search(line):
            value = row.group(2) if row.group(1) is None else row.group(1)
            yield _SIGN.sub(lambda sign: _SIGNS[sign.group()], value)
        elif line.startswith("\\end{"):
            yield ""
