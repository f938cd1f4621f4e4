"""What psql draws around a plan, taken off: records one below the other, wrapped lines, HTML.

A table with its header on top is `unwrap`'s; here is what changes the order
or the breaks of the lines.
"""

from __future__ import annotations

import csv
import html
import io
import re

from adx_lab.analysis.plans.reading.wrapping.typeset import plain

_EXPANDED = re.compile(r"^[|│║]? ?QUERY PLAN( ?)([|│║,;:#~^\t])\1(.*)$")
_EXPANDED_ON = re.compile(r"^[|│║]? {8,}[|│║](?: (.*))?$")
_RECORD = re.compile(r"^[^\w\n]*\[ RECORD \d+ \]")
_FIELD = re.compile(r"^[|│║]? ?([\w ]*?) *[|│║] ?(.*)$")
_PLAN_SIGNS = ("(cost=", "(actual ", "Node Type", "Node-Type")
_CELL = re.compile(r"<td\b[^>]*>(.*?)</td>", re.DOTALL)
_RECORD_CELL = re.compile(r"Record \d+$")
_BREAK = re.compile(r"<br ?/?>\n?")
_CUT = re.compile(r"([.…])[ \t]*[|│║]?\n[ \t]*[|│║]?\1")
_BORDERS, _CONTINUED = frozenset("|│║"), frozenset("+↵¶")
_HEADER = "QUERY PLAN\n"


def untabled(text: str) -> str:
    """Return a text with the lines of its plans as the server gave them, where psql moved them."""
    if "QUERY PLAN" not in text:
        return _of_fields(text) if "[ RECORD " in text else text
    if "<td" in text and "<th" in text:
        return _HEADER + "\n".join(
            _of_cell(cell) for cell in _CELL.findall(text) if not _RECORD_CELL.match(cell)
        )
    if text.lstrip().startswith("QUERY PLAN,"):
        rows = csv.reader(io.StringIO(text))
        return _HEADER + "\n".join(row[1] for row in rows if len(row) == 2 and row[0] == "QUERY PLAN")
    text = plain(text)
    if any(_EXPANDED.match(line) for line in text.split("\n", 5)[:5]):
        return _HEADER + "\n".join(_records(text))
    return _CUT.sub(_put_together, text)


def _put_together(cut: re.Match[str]) -> str:
    """Return what was between two halves of a line: nothing, unless a terminal cut two dots apart."""
    before, after = cut.string[max(0, cut.start() - 8) : cut.start()], cut.string[cut.end() : cut.end() + 20]
    two_figures = re.search(r"\d\.\d{2,3}$", before) and re.match(r"\d+\.\d+[ )]", after)
    return ".." if two_figures else ""


def without_end(line: str) -> str:
    """Take off a table's right border and the mark of a value that goes on in the next line."""
    line = line.rstrip(" \t")
    if line[-1:] in _BORDERS:
        line = line[:-1].rstrip(" \t")
    return line[:-1].rstrip(" \t") if line[-1:] in _CONTINUED else line


def _of_cell(cell: str) -> str:
    return html.unescape(_BREAK.sub("\n", cell)).replace("\u00a0", " ")


def _of_fields(text: str) -> str:
    """Return the plans among the fields of records, as extensions that keep plans show them."""
    fields: list[list[str]] = []
    for line in text.split("\n"):
        match = _FIELD.match(line)
        if match is None or _RECORD.match(line):
            continue
        if match.group(1).strip():
            fields.append([])
        if fields:
            fields[-1].append(without_end(match.group(2)))
    found = ["\n".join(lines) for lines in fields]
    return "\n\n".join(field for field in found if any(sign in field for sign in _PLAN_SIGNS)) or text


def _records(text: str) -> list[str]:
    """Return the values of records that are printed one below the other."""
    lines = []
    for line in text.split("\n"):
        match = _EXPANDED.match(line) or _EXPANDED_ON.match(line)
        if match is not None:
            lines.append(without_end(match.group(match.lastindex or 0) if match.lastindex else ""))
        elif line.strip() and not _RECORD.match(line):
            lines.append(without_end(line))
    return lines
