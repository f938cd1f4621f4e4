"""The YAML that EXPLAIN writes: mappings and lists by indentation, texts in quotes.

Not YAML as a whole: what PostgreSQL makes has no anchors, tags, flow style or folded texts.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENTRY = re.compile(r'^(\s*)((?:- )*)(?:("(?:[^"\\]|\\.)*"|[A-Za-z][^:"]*?):(?:\s+(.*?))?|(\S.*?))\s*$')
YAML_BEGIN = re.compile(r'^[ \t]*(?:- )?(?:Plan:[ \t]*|Query Text: ".*)$', re.MULTILINE)


def read_yaml(lines: Sequence[str]) -> tuple[dict[str, Any] | None, int]:
    """Read one explained statement that begins in the first line; return it and how many lines it took."""
    first = len(lines[0]) - len(lines[0].lstrip())
    listed = lines[0].lstrip().startswith("- ")
    entries = []
    used = 0
    for used, line in enumerate(lines):
        match = _ENTRY.match(line)
        if match is None:
            break
        indent = len(match.group(1))
        ends = indent < first or (used > 0 and indent == first and (listed or match.group(3) is None))
        if ends:
            break
        entries.append((indent, match))
    else:
        used += 1
    found = _Reader(entries).value(-1)
    body = found[0] if isinstance(found, list) and found else found
    return (body if isinstance(body, dict) and "Plan" in body else None), max(1, used)


class _Reader:
    """Lines with their indentation, read from the top."""

    def __init__(self, entries: Sequence[tuple[int, re.Match[str]]]) -> None:
        self.lines: list[tuple[int, str | None, str | None]] = []
        for indent, match in entries:
            column = indent
            for _ in range(match.group(2).count("- ")):
                self.lines.append((column, None, None))  # a list's item begins
                column += 2
            key, value, bare = match.group(3), match.group(4), match.group(5)
            if bare is not None:
                self.lines.append((column, "", bare))
            else:
                self.lines.append((column, _text(key) if key.startswith('"') else key, value))
        self.place = 0

    def value(self, above: int) -> Any:
        """Read what is indented more than ``above``."""
        if self.place >= len(self.lines) or self.lines[self.place][0] <= above:
            return None
        column, key, value = self.lines[self.place]
        if key is None:
            return self.items(column)
        if key == "":
            self.place += 1
            return _scalar(value or "")
        return self.mapping(column)

    def items(self, column: int) -> list[Any]:
        found = []
        while self.place < len(self.lines) and self.lines[self.place][:2] == (column, None):
            self.place += 1
            found.append(self.value(column))
        return found

    def mapping(self, column: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.place < len(self.lines) and self.lines[self.place][0] == column:
            _, key, value = self.lines[self.place]
            if not key:
                break
            self.place += 1
            found[key] = _scalar(value) if value else self.value(column)
        return found


def _scalar(text: str) -> Any:
    if text.startswith('"'):
        return _text(text)
    if text.startswith("["):
        return _flow(text)
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if re.fullmatch(r"-?\d+\.\d+(?:e[-+]?\d+)?", text):
        return float(text)
    return {"true": True, "false": False, "null": None}.get(text, text)


def _flow(text: str) -> Any:
    """Read a list in a line, as grouping sets have it."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text(quoted: str) -> str:
    try:
        value = json.loads(quoted)
    except ValueError:
        return quoted.strip('"')
    return str(value)
