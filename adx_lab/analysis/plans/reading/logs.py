"""Server logs cut into messages: csvlog, jsonlog, and lines with any prefix."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.plans.reading.json_text import DecodeError, decode_at
from adx_lab.analysis.plans.reading.wrapping.prefixes import common_start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DURATION = re.compile(r"duration: (\d+(?:\.\d+)?) ms\s+plan:\s*")
_STAMP_TEXT = r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:[A-Z]{2,5}|Z|[+-]\d\d(?::?\d\d)?))?"
STAMP = re.compile(_STAMP_TEXT)
_PROCESS = re.compile(r"\[(\d+)\]")
MESSAGE_KEYS = ("message", "log", "textPayload", "msg", "MESSAGE", "line", "body", "event", "content")
_JSON_LINE = re.compile(rf'^\{{.*"(?:timestamp|{"|".join(MESSAGE_KEYS)})".*$', re.MULTILINE)
_LOGFMT = re.compile(
    r'^[^\n"]*?\b(?:msg|message)=("(?:[^"\\\n]|\\.)*plan:\\n(?:[^"\\\n]|\\.)*")', re.MULTILINE
)
_CSV_LINE = re.compile(
    rf"^{_STAMP_TEXT},(?:\"[^\"\n]*\"|[^,\n]*),(?:\"[^\"\n]*\"|[^,\n]*),\d+,", re.MULTILINE
)
_CSV_FIELD = re.compile(r'(?:^|,)"((?:[^"]|"")*)"(?=,|$)', re.MULTILINE)
_ENTRY = re.compile(
    rf"^(?:{_STAMP_TEXT}|[^\n\t]{{0,200}}?\b"
    r"(?:LOG|ERROR|WARNING|FATAL|STATEMENT|DETAIL|CONTEXT|HINT|NOTICE):  )",
    re.MULTILINE,
)
_BLANK = {" ", "\t"}
_CSV_MESSAGE, _CSV_FIELDS_MIN = 13, 22


@dataclass(frozen=True, slots=True)
class Message:
    """A stretch of a text that stands for itself, what is known of it, and the line where it begins.

    ``line`` counts in the file; within a message that was escaped (csv, json) its own lines don't.
    """

    text: str
    line: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    duration_ms: float | None = None
    escaped: bool = False


def messages_of(text: str) -> Iterator[Message]:
    """Yield the messages of a log, and what stands between them, in order."""
    position, line, counted = 0, 1, 0

    def line_at(place: int) -> int:
        nonlocal line, counted
        line += text.count("\n", counted, place)
        counted = place
        return line

    for begin, end, message in _escaped(text):
        if text[position:begin].strip():
            yield from _plain(text[position:begin], line_at(position))
        found = _dated(message[0])
        yield Message(found[0], line_at(begin), message[1], found[1], escaped=True)
        position = end
    if text[position:].strip():
        yield from _plain(text[position:], line_at(position))


def _escaped(text: str) -> Iterator[tuple[int, int, tuple[str, Mapping[str, Any]]]]:
    """Yield jsonlog's lines and csvlog's records: where they begin and end, their message and facts."""
    found = [*_json_lines(text), *_csv_records(text), *_logfmt_lines(text)]
    found = found or list(_csv_fields(text))
    yield from sorted(found, key=lambda item: item[0])


def _json_lines(text: str) -> Iterator[tuple[int, int, tuple[str, Mapping[str, Any]]]]:
    for match in _JSON_LINE.finditer(text):
        try:
            record, _ = decode_at(match.group())
        except DecodeError:
            continue
        message = _message_in(record) if isinstance(record, dict) else None
        if message is not None:
            yield match.start(), match.end(), message


def _message_in(record: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """Return a record's message, however deep those who pass logs on have put it, and what is said beside."""
    without, first = set(MESSAGE_KEYS), None
    waiting: list[tuple[Mapping[str, Any], dict[str, Any]]] = [(record, {})]
    while waiting:
        item, around = waiting.pop(0)
        facts = around | scalars(item, without=without)
        for text in (text_of(item.get(key)) for key in MESSAGE_KEYS):
            if text is not None and DURATION.search(text):
                return text, facts
            first = (text, facts) if first is None and text is not None else first
        waiting += [(inner, facts) for inner in item.values() if isinstance(inner, dict)]
    return first


def text_of(value: Any) -> str | None:
    """Return a message; journald gives one that holds a tab or a colour byte by byte."""
    if isinstance(value, list) and value and all(isinstance(byte, int) and 0 <= byte < 256 for byte in value):
        return bytes(value).decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def _logfmt_lines(text: str) -> Iterator[tuple[int, int, tuple[str, Mapping[str, Any]]]]:
    for match in _LOGFMT.finditer(text) if "plan:\\n" in text else ():
        try:
            message, _ = decode_at(match.group(1))
        except DecodeError:
            continue
        yield match.start(), match.end(), (message, {})


def _csv_records(text: str) -> Iterator[tuple[int, int, tuple[str, Mapping[str, Any]]]]:
    position = 0
    while match := _CSV_LINE.search(text, position):
        end = _record_end(text, match.start())
        fields = next(csv.reader(io.StringIO(text[match.start() : end])), [])
        position = max(end, match.end())
        if len(fields) >= _CSV_FIELDS_MIN:
            facts = {"timestamp": fields[0], "user": fields[1], "dbname": fields[2], "pid": int(fields[3])}
            yield match.start(), end, (fields[_CSV_MESSAGE], facts)


def _csv_fields(text: str) -> Iterator[tuple[int, int, tuple[str, Mapping[str, Any]]]]:
    """Yield what announces a plan in a field of a table that a console exported."""
    for match in _CSV_FIELD.finditer(text) if '""' in text else ():
        if DURATION.search(match.group(1)):
            yield match.start(), match.end(), (match.group(1).replace('""', '"'), {})


def _record_end(text: str, begin: int) -> int:
    """Return where a csv record ends: at the first line break that is not within quotes."""
    position = begin
    while True:
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        quote = text.find('"', position, end)
        if quote < 0:
            return end
        closing = quote + 1
        while True:
            closing = text.find('"', closing)
            if closing < 0:
                return len(text)
            if text[closing + 1 : closing + 2] != '"':
                break
            closing += 2
        position = closing + 1


def _plain(text: str, first_line: int) -> Iterator[Message]:
    """Cut a plain log at the lines that announce a plan; what stands before the first is one stretch."""
    announced = list(DURATION.finditer(text))
    if not announced:
        yield Message(text, first_line)
        return
    line, counted = first_line, 0
    begins = [text.rfind("\n", 0, match.start()) + 1 for match in announced]
    if text[: begins[0]].strip():
        yield Message(text[: begins[0]], first_line)
    for place, match in enumerate(announced):
        begin, after = begins[place], match.end()
        end = begins[place + 1] if place + 1 < len(begins) else len(text)
        next_entry = _ENTRY.search(text, text.find("\n", match.start(), end) + 1 or end, end)
        stop = next_entry.start() if next_entry else end
        line += text.count("\n", counted, begin)
        counted = begin
        own_line = line + text.count("\n", begin, after)
        yield Message(
            _without_tabs(text[after:stop]), own_line, _facts(text[begin:after]), float(match.group(1))
        )
        if text[stop:end].strip() and "{" in text[stop:end]:
            yield Message(text[stop:end], line + text.count("\n", begin, stop))


def _without_tabs(text: str) -> str:
    """Take off the tab that a log puts before each further line, and what journald has before that."""
    further = common_start([line for line in text.split("\n")[1:] if line[:1] in _BLANK and line.strip()])
    inset = re.match(r"[ \t]*\t", further)
    taken = re.escape(inset.group()) if inset else "\t"
    return re.sub(f"^{taken}", "", text, flags=re.MULTILINE)


def _dated(message: str) -> tuple[str, float | None]:
    """Split what a message announces from the plan."""
    match = DURATION.search(message)
    if match is None:
        return message, None
    body = message[match.end() :]
    return _without_tabs(body) if "\n\t" in body else body, float(match.group(1))


def _facts(announcement: str) -> dict[str, Any]:
    """Read time and process from the log line that announces a plan."""
    stamp, process = STAMP.search(announcement), _PROCESS.search(announcement)
    facts: dict[str, Any] = {"timestamp": stamp.group()} if stamp else {}
    return facts | ({"pid": int(process.group(1))} if process else {})


def scalars(item: Mapping[str, Any], *, without: frozenset[str] | set[str] = frozenset()) -> dict[str, Any]:
    """Return the plain values of an object that stands around a plan."""
    return {
        key: value
        for key, value in item.items()
        if isinstance(value, str | int | float | bool)
        and key not in without
        and '"Node Type"' not in str(value)
    }
