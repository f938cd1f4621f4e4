"""What stands in front of every line of a text, taken off: where logs are gathered, where people quote."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_KINDS = (
    re.compile(r"[\w.-]+ +\| ?"),  # docker compose
    re.compile(r"\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-]\d\d:?\d\d) (?:std(?:err|out) [FP] )?"),  # Kubernetes
    re.compile(r"[A-Z][a-z]{2} [ \d]\d [\d:]{8} \S+ [\w./-]+\[\d+\]: (?:\[[\d-]+\] )?"),  # journald
    re.compile(r" *\d+ ?[:|.)](?: |$)"),  # line numbers
    re.compile(r"\s*(?:--|#|//)(?!>)(?: |$)"),  # comments
    re.compile(r" \*(?: |$)"),
    re.compile(r"\+(?=[ \t\w])"),  # what a change adds
)
_TOLD_APART = re.compile(r"\d{4}-\d\d|[A-Z][a-z]{2} [ \d]\d |QUERY ")  # times, and a header's name
_NUMBERED = re.compile(r" *(\d+)(?= )")
_SHARE_MIN = 0.9
_LINES_MIN = 2
_TOGETHER_MAX = 3
_LINE_OF_LOG = '{"log":'
_ROW_OF_RUBY = re.compile(r'"(QUERY PLAN)"\s*=>\s*')
_ROW_OF_PHP = re.compile(r"^\s*\[QUERY PLAN\] => (.*)$", re.MULTILINE)
_ON_A_PAGE = re.compile(r"-&gt;|&quot;Node Type|&lt;explain|<pre\b|<br ?/?>[^<\n]*<br ?/?>")
_PAGE_TAG = re.compile(r"</?(?:pre|code|p|div|span)\b[^>]*>")
_PAGE_BREAK = re.compile(r"<br ?/?>\n?")
_ESCAPED_ALREADY = re.compile(r"\s*[{\[\"]|.*\b(?:msg|message)=\"")
_FIGURES = re.compile(r"\((?:cost|actual)[^()\n]*,\d{3}[^()\n]*\)")
_DASH = re.compile(r"[\u2012-\u2015\u2212]>|-&gt;|=&gt;")


def without_prefixes(text: str) -> str:
    """Return a text without what each of its lines begins with; one without plans passes unchanged."""
    if not any(sign in text for sign in ("(cost=", "(actual ", "Node Type", "->", "Node-Type", "&gt;", "=>")):
        return text
    text = _as_typed(text)
    if text.lstrip().startswith(_LINE_OF_LOG):
        text = _joined(text)
    for _ in range(_TOGETHER_MAX):
        shorter = _shorter(text) or _without_common(text) or _without_numbers(text)
        if shorter is None:
            break
        text = shorter
    return text


def _as_typed(text: str) -> str:
    """Undo what a page, a word processor or a language's way to print made of signs."""
    if not ("<explain" in text or "<th" in text) and _ON_A_PAGE.search(text):
        text = html.unescape(_PAGE_TAG.sub("", _PAGE_BREAK.sub("\n", text))).replace("\u00a0", " ")
    text = _DASH.sub("->", text)
    if "“Node Type" in text:
        text = re.sub("[“”]", '"', text)
    text = _ROW_OF_RUBY.sub(r'"\1": ', text)
    if rows := _ROW_OF_PHP.findall(text):
        text = "QUERY PLAN\n" + "\n".join(rows)
    if "\n" not in text.strip() and "\\n" in text and not _ESCAPED_ALREADY.match(text):
        text = text.replace("\\n", "\n").replace("\\t", "\t")
    return _FIGURES.sub(lambda figures: re.sub(r"(?<=\d),(?=\d{3})", "", figures.group()), text)


def _joined(text: str) -> str:
    """Put the lines together that a container's log holds one by one."""
    parts = []
    for line in text.splitlines():
        try:
            record = json.loads(line) if line.strip() else {"log": ""}
        except ValueError:
            return text
        if not isinstance(record, dict) or not isinstance(record.get("log"), str):
            return text
        parts.append(record["log"])
    return "".join(part if part.endswith("\n") else f"{part}\n" for part in parts)


def _shorter(text: str) -> str | None:
    lines = text.split("\n")
    filled = [line for line in lines if line.strip()]
    if len(filled) < _LINES_MIN:
        return None
    for kind in _KINDS:
        sample = filled[:: max(1, len(filled) // 200)]
        if sum(kind.match(line) is not None for line in sample) < len(sample) * _SHARE_MIN:
            continue
        return "\n".join(kind.sub("", line, count=1) if kind.match(line) else line for line in lines)
    return None


def _without_common(text: str) -> str | None:
    """Take off what every line begins with, such as the name of a container or a bullet; None if nothing."""
    lines = text.split("\n")
    filled = [line for line in lines if line.strip()]
    common = re.match(r"[^\s{<\"'(\[]\S*(?: \S+)* |\[[\w/.:-]+\] ", common_start(filled))
    if len(filled) <= _LINES_MIN or common is None or _TOLD_APART.match(common.group()):
        return None
    return "\n".join(line[common.end() :] for line in lines)


def common_start(lines: Sequence[str]) -> str:
    """Return what all lines begin with."""
    if not lines:
        return ""
    first, last = min(lines), max(lines)  # whatever these share, those between share as well
    differs = (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differs, len(first))]


def _without_numbers(text: str) -> str | None:
    """Take off the numbers of rows, as a data frame prints them; None where the lines aren't numbered."""
    lines = text.split("\n")
    if sum(_NUMBERED.match(line) is not None for line in lines[:4]) < _LINES_MIN:
        return None
    numbers = [match for line in lines if (match := _NUMBERED.match(line))]
    counted = [int(match.group(1)) for match in numbers]
    filled = sum(bool(line.strip()) for line in lines)
    if len(counted) <= max(_LINES_MIN, filled * _SHARE_MIN) or counted != list(
        range(counted[0], counted[0] + len(counted))
    ):
        return None
    width = max(len(match.group()) for match in numbers)
    return "\n".join(line[width:] if _NUMBERED.match(line) else line for line in lines)
