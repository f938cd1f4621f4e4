"""What stands in front of every line of a text, taken off: where logs are gathered, where people quote."""

from __future__ import annotations

import html
import json
import re

_KINDS = (
    re.compile(r"[\w.-]+ +\| ?"),  # docker compose
    re.compile(r"\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-]\d\d:?\d\d) (?:std(?:err|out) [FP] )?"),  # Kubernetes
    re.compile(r"[A-Z][a-z]{2} [ \d]\d [\d:]{8} \S+ [\w./-]+\[\d+\]: (?:\[[\d-]+\] )?"),  # journald
    re.compile(r" *\d+ ?[:|.)](?: |$)"),  # line numbers
    re.compile(r"\s*(?:--|#|//)(?!>)(?: |$)"),  # comments
    re.compile(r" \*(?: |$)"),
    re.compile(r"\+(?=[ \t\w])"),  # what a change adds
)
_SHARE_MIN = 0.9
_LINES_MIN = 2
_TOGETHER_MAX = 3
_LINE_OF_LOG = '{"log":'
_ROW_OF_RUBY = re.compile(r'"(QUERY PLAN)"\s*=>\s*')
_ROW_OF_PHP = re.compile(r"^\s*\[QUERY PLAN\] => (.*)$", re.MULTILINE)
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
        shorter = _shorter(text)
        if shorter is None:
            break
        text = shorter
    return text


def _as_typed(text: str) -> str:
    """Undo what a page, a word processor or a language's way to print made of signs."""
    if "-&gt;" in text:
        text = html.unescape(re.sub(r"</?(?:pre|code)\b[^>]*>", "", text))
    text = _DASH.sub("->", text)
    if "“Node Type" in text:
        text = re.sub("[“”]", '"', text)
    text = _ROW_OF_RUBY.sub(r'"\1": ', text)
    if rows := _ROW_OF_PHP.findall(text):
        text = "QUERY PLAN\n" + "\n".join(rows)
    if "\n" not in text.strip() and "\\n" in text and not text.lstrip().startswith(("{", "[", '"')):
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
