"""Find the explained statements in any text: a document, a log, the output of psql, what a driver printed.

Understood is every format of EXPLAIN (TEXT, JSON, YAML, XML) of PostgreSQL 9 to 18, by itself, within other
JSON or as a driver's rows, in psql's tables, in mails; several in one text; and auto_explain in each format
in plain logs, csvlog and jsonlog, mixed as they come.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.plans.reading.foreign import database_of, fork_of
from adx_lab.analysis.plans.reading.json_text import DecodeError, decode_at
from adx_lab.analysis.plans.reading.logs import MESSAGE_KEYS, Message, messages_of, scalars, text_of
from adx_lab.analysis.plans.reading.node_line import NODE
from adx_lab.analysis.plans.reading.plan_text import ANNOTATED, is_flat, is_ragged, read_plan_text
from adx_lab.analysis.plans.reading.wrapping.unwrap import python_value, unwrapped
from adx_lab.analysis.plans.reading.xml_text import XmlError, read_xml
from adx_lab.analysis.plans.reading.yaml_text import YAML_BEGIN, read_yaml
from adx_lab.analysis.plans.records import PlanDocument
from adx_lab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KEYS = r"(?:Plan|Query Text|QUERY PLAN)"
_JSON = re.compile(rf'(?:\[\s*)?\{{\s*("{_KEYS}"|""{_KEYS}"")\s*:')
_CSV_FIELD = re.compile(r'(?:[^"]|"")*')
_JSON_INSIDE = re.compile(r'^\s*"Plan"\s*:\s*(?=\{)', re.MULTILINE)
_XML = re.compile(r"<(?:\w+:)?explain\b")
_XML_TAG = re.compile(r"<(/?)(?:\w+:)?explain\b[^>]*>")
_QUERY_TEXT = re.compile(r"Query Text: ")
_MEND = "explain the statement with EXPLAIN (ANALYZE, BUFFERS, VERBOSE, SETTINGS, FORMAT JSON)"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text held: the plans, and a line for each place where one began and could not be read."""

    documents: tuple[PlanDocument, ...]
    faults: tuple[str, ...]


def read_plans(text: str) -> tuple[PlanDocument, ...]:
    """Return every explained statement in a text.

    Raises
    ------
    UsageError
        There is none that can be read; the message says where it broke off or what was found instead.
    """
    reading = scan_plans(text)
    if reading.documents:
        return reading.documents
    raise UsageError(reading.faults[0], mend=_MEND)


def scan_plans(text: str) -> Reading:
    """Return the explained statements in a text and what was wrong with the others.

    A log that was cut off still yields its whole plans; ``faults`` is never empty where there is no plan.
    """
    cleaned = unwrapped(text)
    if (fork := fork_of(cleaned)) is not None:
        return Reading((), (f"this is a plan of {fork}, and only PostgreSQL's can be read",))
    found, fault = _whole(cleaned)
    if found:
        return Reading(tuple(found), ())
    if fault is None:
        return Reading((), ("the text holds no plan: " + _what_else(cleaned),))
    rows = python_value(cleaned)
    if rows is not None:
        found = _collect(rows, {}, 1)
    faults: list[str] = []
    for message in () if found else messages_of(cleaned):
        documents, wrong = _Finder(message).find()
        found += documents
        faults += wrong
    if not found and not faults:
        faults = [_nothing(cleaned, fault)]
    return Reading(tuple(found), tuple(faults))


def _nothing(text: str, fault: str) -> str:
    """Say what a text is in which no plan begins."""
    other = database_of(text)
    is_json = other is None and text.lstrip()[:1] in {"{", "["}
    return fault if is_json else f"this is {_what_else(text)}"


def _whole(text: str) -> tuple[list[PlanDocument], str | None]:
    """Read a text that is one JSON value; the second part says why it isn't."""
    try:
        value, end = decode_at(text)
    except DecodeError as error:
        where = _where(text, error.position)
        return [], f"the JSON ends too soon at {where}" if error.ended else f"not JSON at {where}: {error}"
    if text[end:].strip(" \t\n;"):
        return [], f"not JSON at {_where(text, end)}: something follows the document"
    if isinstance(value, dict) and any(text_of(value.get(key)) for key in MESSAGE_KEYS):
        return [], "a log line without a plan"
    found = _collect(value, {}, 1)
    if not found and isinstance(value, dict | list | str) and _mentions_a_plan(text):
        return [], "a plan within a text that is quoted"
    return found, None


def _mentions_a_plan(text: str) -> bool:
    return '"QUERY PLAN"' in text or "(cost=" in text or "<explain" in text


class _Finder:
    """Finds the plans of one message, whatever their formats."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.text = message.text
        self.found: list[PlanDocument] = []
        self.faults: list[str] = []
        self._line, self._counted = message.line, 0
        self._ahead: dict[re.Pattern[str], tuple[int, int | None]] = {}
        self._read_until = 0
        lines = self.text.split("\n")
        self._begins = list(accumulate((len(line) + 1 for line in lines), initial=0))
        self._tab = _tab_of(lines)
        self._lines = [line.expandtabs(self._tab) for line in lines]

    def find(self) -> tuple[list[PlanDocument], list[str]]:
        """Return the plans and the faults."""
        position = 0
        while position < len(self.text):
            begin, reader = self._next(position)
            if reader is None:
                break
            position = max(position + 1, reader(begin))
        announced = self.message.duration_ms is not None
        if announced and not self.found and not self.faults:
            self.faults.append(f"the plan that is announced in line {self.message.line} can't be read")
        return self.found, self.faults

    def _next(self, position: int) -> tuple[int, Any]:
        """Return where the next plan begins, and what reads its format."""
        candidates: list[tuple[int, Any]] = []
        readers = ((_JSON, self._json), (_XML, self._xml), (YAML_BEGIN, self._yaml))
        for pattern, reader in readers:
            place = self._first(pattern, position)
            if place is not None:
                candidates.append((place, reader))
        if not (candidates or self.found or self.faults):
            place = self._first(_JSON_INSIDE, position)
            candidates += [] if place is None else [(place, self._json_inside)]
        first = min((begin for begin, _ in candidates), default=len(self.text))
        begin = self._text_begin(position, first)
        if begin is not None:
            candidates.append((begin, self._plan_text))
        return min(candidates, key=lambda item: item[0], default=(0, None))

    def _text_begin(self, position: int, end: int) -> int | None:
        """Return the line where a plan as text begins, before ``end``."""
        places = [self._first(ANNOTATED, position)]
        if places[0] is not None or "->  " in self.text or "QUERY PLAN" in self.text:
            places.append(self._first(_BARE, position))
        begin = min((place for place in places if place is not None), default=end)
        return None if begin >= end else self.text.rfind("\n", 0, begin + 1) + 1

    def _first(self, pattern: re.Pattern[str], position: int) -> int | None:
        """Return where a pattern occurs next, searched for once however often it is asked."""
        since, place = self._ahead.get(pattern, (len(self.text) + 1, None))
        if since > position or (place is not None and place < position):
            match = pattern.search(self.text, position)
            place = None if match is None else match.start()
            self._ahead[pattern] = (position, place)
        return place

    def _below(self, begin: int, lines_max: int = 20_000) -> tuple[int, list[str]]:
        """Return the number of the line that begins there, and what follows with it."""
        number = bisect_right(self._begins, begin) - 1
        first = self.text[begin : self._begins[number + 1] - 1].expandtabs(self._tab)
        return number, [first, *self._lines[number + 1 : number + lines_max]]

    def _line_at(self, position: int) -> int:
        if not self.message.escaped:
            self._line += self.text.count("\n", self._counted, position)
            self._counted = position
        return self._line

    def _add(self, value: Any, begin: int) -> None:
        documents = _collect(value, self.message.facts, self._line_at(begin))
        self.found += [replace(item, duration_ms=self.message.duration_ms) for item in documents]

    def _json(self, begin: int) -> int:
        match = _JSON.match(self.text, begin)
        assert match is not None
        line = self._line_at(begin)
        try:
            if match.group(1).startswith('""'):
                # csvlog doubles the quotes within its quoted field
                quoted = _CSV_FIELD.match(self.text, begin)
                assert quoted is not None
                value, _ = decode_at(quoted.group().replace('""', '"'))
                end = quoted.end()
            else:
                value, end = decode_at(self.text, begin)
        except DecodeError as error:
            what = "is cut off" if error.ended else f"is not JSON ({error})"
            self.faults.append(f"the plan that begins in line {line} {what}")
            return match.end()
        self._add(value, begin)
        return end

    def _json_inside(self, begin: int) -> int:
        """Read JSON whose head was not copied: it begins with the plan itself."""
        match = _JSON_INSIDE.match(self.text, begin)
        assert match is not None
        try:
            plan, end = decode_at(self.text, match.end())
        except DecodeError as error:
            what = "is cut off" if error.ended else f"is not JSON ({error})"
            self.faults.append(f"the plan that begins in line {self._line_at(begin)} {what}")
            return len(self.text)
        times = re.findall(r'"(Planning Time|Execution Time)"\s*:\s*(\d+(?:\.\d+)?)', self.text[end:])
        self._add({"Plan": plan, **{name: float(ms) for name, ms in times}}, begin)
        return len(self.text)

    def _xml(self, begin: int) -> int:
        ending = _xml_end(self.text, begin)
        line = self._line_at(begin)
        if ending is None:
            self.faults.append(f"the plan that begins in line {line} is cut off")
            return len(self.text)
        try:
            for body in read_xml(self.text[begin:ending]):
                self._add(body, begin)
        except XmlError as error:
            self.faults.append(f"the plan that begins in line {line} is not XML ({error})")
        return ending

    def _yaml(self, begin: int) -> int:
        number, lines = self._below(begin)
        query = lines[0].lstrip().removeprefix("- ").startswith("Query Text:")
        if query and not any(re.match(r"\s*Plan:\s*$", line) for line in lines[1:4]):
            return begin + len(lines[0])  # the text of a statement whose plan is in another format
        body, used = read_yaml(lines)
        if body is None:
            self.faults.append(f"the plan that begins in line {self._line_at(begin)} is not whole YAML")
        else:
            self._add(body, begin)
        return self._begins[number + used]

    def _plan_text(self, begin: int) -> int:
        line = self._line_at(begin)
        number, lines = self._below(begin, _LINES_FEW)
        if not NODE.match(lines[0]):
            lines[0] = _OPENING.sub("", lines[0])
        body, used = read_plan_text(lines)
        if used + _LINES_LEFT_MIN > len(lines) >= _LINES_FEW:
            body, used = read_plan_text([lines[0], *self._below(begin)[1][1:]])
        before, self._read_until = self._read_until, self._begins[number + used]
        within = None if body is None else _ARROW_WITHIN.search(body["Plan"]["Node Type"])
        if body is not None and within is not None:
            odd = body["Plan"]["Node Type"][: within.start()].strip()
            self.faults.append(f"the plan in line {line} has something before its lines: {odd[:40]}")
        elif body is not None and lines[0].count("(cost=") > 1:
            self.faults.append(f"the plan in line {line} lost its line breaks: paste it as it was printed")
        elif body is not None and (is_flat(body["Plan"]) or is_ragged(lines[:used])):
            self.faults.append(f"the plan in line {line} lost its indentation: what is below what is unknown")
        elif body is not None:
            query = _query_before(self.text[before:begin])
            self._add(({"Query Text": query} if query else {}) | body, begin)
        elif ANNOTATED.search(lines[0]) and not self.found:
            self.faults.append(f"the plan that begins in line {line} is cut off at its head")
        return self._read_until


_LINES_FEW, _LINES_LEFT_MIN = 400, 20
"""What nearly every plan has room in, and how much of it must be left to tell that it ended there."""
_ARROW_WITHIN = re.compile("->|\u2192")
_OPENING = re.compile(rf"^[^(]{{0,200}}?[=:`\"'*]\s*(?={NODE.pattern})")
"""What a program's source, a report or a list has before a plan, in its first line."""
_WIDE = re.compile(r"\t* {4,}\S")
_BARE = re.compile(rf"^{NODE.pattern}(?!.*:\s|\s*[|,&\t]|\s+data type)[^\n]*$", re.MULTILINE)


def _tab_of(lines: Sequence[str]) -> int:
    """Return how wide a tab is: more than four spaces beside one say that it stands for eight."""
    tabbed = any("\t" in line for line in lines)
    return 8 if tabbed and any(_WIDE.match(line) for line in lines) else 4


def _xml_end(text: str, begin: int) -> int | None:
    """Return where an explained statement ends, which may hold those of other servers."""
    depth = 0
    for tag in _XML_TAG.finditer(text, begin):
        depth += -1 if tag.group(1) else 1
        if depth == 0:
            return tag.end()
    return None


def _query_before(text: str) -> str | None:
    """Return the statement that a log gives above its plan."""
    begin = text.rfind("Query Text: ")
    if begin < 0:
        return None
    query = text[begin + len("Query Text: ") :]
    return re.split(r"\nQuery Parameters: |\n(?=\S*QUERY PLAN)", query)[0].strip() or None


def _collect(value: Any, facts: Mapping[str, Any], line: int) -> list[PlanDocument]:
    """Find the plans in a decoded value, however deep they are wrapped."""
    found: list[PlanDocument] = []
    waiting: list[tuple[Any, Mapping[str, Any]]] = [(value, facts)]
    while waiting:
        item, known = waiting.pop()
        if isinstance(item, dict):
            body = _as_body(item)
            if body is not None:
                found.append(PlanDocument(body, line, facts=known))
                continue
            known = {**known, **scalars(item)}
            waiting += [(inner, known) for inner in reversed(list(item.values()))]
        elif isinstance(item, list | tuple):
            rows = _rows_of_text(item)
            waiting += [(rows, known)] if rows else [(inner, known) for inner in reversed(item)]
        elif isinstance(item, str):
            found += _inside(item, known, line)
    return found


def _rows_of_text(rows: Any) -> str | None:
    """Return a plan that a driver gave line by line, as one text."""
    lines = []
    for row in rows:
        inner = next(iter(row.values()), None) if isinstance(row, dict) and len(row) == 1 else row
        inner = inner[0] if isinstance(inner, list | tuple) and len(inner) == 1 else inner
        if not isinstance(inner, str) or "\n" in inner:
            return None
        lines.append(inner)
    text = "\n".join(lines)
    return text if len(lines) > 1 or ANNOTATED.search(text) else None


def _as_body(item: dict[str, Any]) -> Mapping[str, Any] | None:
    plan = item.get("Plan")
    if isinstance(plan, dict) and "Node Type" in plan:
        return item
    return {"Plan": item} if "Node Type" in item else None


def _inside(text: str, facts: Mapping[str, Any], line: int) -> list[PlanDocument]:
    """Find the plans in a text that is a value itself."""
    if '"Node Type"' in text:
        try:
            found = _collect(decode_at(text)[0], facts, line)
        except DecodeError:
            found = []
        if found:
            return found
    elif not (ANNOTATED.search(text) or "<explain" in text or YAML_BEGIN.search(text)):
        return []
    found = []
    for message in messages_of(text):
        told = replace(message, line=line, facts={**facts, **message.facts}, escaped=True)
        found += _Finder(told).find()[0]
    return found


def _what_else(text: str) -> str:
    """Say what a text is that holds no plan."""
    other = database_of(text)
    if other is not None:
        return f"a plan of {other}, and only PostgreSQL's can be read"
    if not text.strip():
        return "an empty text"
    if "Utility Statement" in text or "Utility-Statement" in text:
        return "a utility statement, which has no plan"
    return "something else than the output of EXPLAIN"


def _where(text: str, position: int) -> str:
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return f"line {text.count(chr(10), 0, position) + 1}, column {column}"
