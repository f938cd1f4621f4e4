"""Find the explained statements in any text: a document, a log, the output of psql, what a driver printed.

Understood are ``EXPLAIN (FORMAT JSON)`` of PostgreSQL 12 to 18 as an array, as a single object or as a bare
node; the same inside other JSON (``[{"QUERY PLAN": [...]}]``, a plan kept as a string); psql's table with
its ``+`` at the ends of lines; several documents in one text; and ``auto_explain`` with ``log_format =
json`` in a plain log with any prefix, from syslog, in csvlog and in jsonlog.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.plans.reading.json_text import DecodeError, decode_at
from adx_lab.analysis.plans.records import PlanDocument
from adx_lab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KEYS = r"(?:Plan|Query Text|QUERY PLAN)"
_BEGIN = re.compile(rf'(?:\[\s*)?\{{\s*("{_KEYS}"|""{_KEYS}"")\s*:')
_DURATION = re.compile(r"duration: (\d+(?:\.\d+)?) ms\s+plan:\s*\Z")
_STAMP = re.compile(
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:[A-Z]{2,5}|Z|[+-]\d\d(?::?\d\d)?))?"
)
_PROCESS = re.compile(r"\[(\d+)\]")
_CSV_FIELD = re.compile(r'(?:[^"]|"")*')
_TABLE_END = re.compile(r"[ \t]*[+↵]?[ \t]*[|│║]?[ \t]*$", re.MULTILINE)
_TABLE_BEGIN = re.compile(r"^[ \t]*[|│║]", re.MULTILINE)
_SYSLOG = re.compile(r"^[^\n{}\"]*?#011", re.MULTILINE)
_ESCAPES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
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
    cleaned = _clean(text)
    found, fault = _whole(cleaned)
    if not found and fault is None:
        return Reading((), ("the text holds no plan: " + _what_else(cleaned),))
    faults: list[str] = []
    if not found:
        found, faults = _scattered(cleaned)
    if not found and not faults:
        faults = [str(fault) if cleaned.lstrip()[:1] in {"{", "["} else "this is " + _what_else(cleaned)]
    return Reading(tuple(found), tuple(faults))


def _clean(text: str) -> str:
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "").lstrip("\ufeff")
    text = text.replace("\r\n", "\n")
    if "\\ud" in text.lower():
        # Half a surrogate pair is legal JSON and can't be printed.
        text = _ESCAPES.sub(lambda match: "\\ufffd" if match.group(1) else match.group(), text)
    if "QUERY PLAN" in text and '"QUERY PLAN"' not in text:
        text = _TABLE_BEGIN.sub("", _TABLE_END.sub("", text))
    return _SYSLOG.sub("", text) if "#011" in text else text


def _whole(text: str) -> tuple[list[PlanDocument], str | None]:
    """Read a text that is one JSON value; the second part says why it isn't."""
    try:
        value, end = decode_at(text)
    except DecodeError as error:
        where = _where(text, error.position)
        return [], f"the JSON ends too soon at {where}" if error.ended else f"not JSON at {where}: {error}"
    if text[end:].strip(" \t\n;"):
        return [], f"not JSON at {_where(text, end)}: something follows the document"
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        return [], "a log line without a plan"
    return _collect(value, {}, 1), None


def _scattered(text: str) -> tuple[list[PlanDocument], list[str]]:
    """Read every plan in a text that is more than one JSON value: a log, or documents one after another."""
    found: list[PlanDocument] = []
    faults: list[str] = []
    line = counted = 1
    for start, part, facts in _log_messages(text):
        line += text.count("\n", counted - 1, start)
        counted = start + 1
        documents, wrong = _plans_in(part, facts, line)
        found += documents
        faults += wrong
    return found, faults


def _log_messages(text: str) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Yield the stretches that stand for themselves: a jsonlog line each, everything else together."""
    rest_from = position = 0
    for match in re.finditer(r'^\{"(?:timestamp|log|message)".*$', text, re.MULTILINE):
        try:
            record, _ = decode_at(match.group())
        except DecodeError:
            continue
        position = match.start()
        if text[rest_from:position].strip():
            yield rest_from, text[rest_from:position], {}
        rest_from = match.end()
        message = record.get("message")
        if isinstance(message, str):
            yield position, message, _scalars(record, without={"message"})
    if text[rest_from:].strip():
        yield rest_from, text[rest_from:], {}


def _plans_in(text: str, facts: Mapping[str, Any], first_line: int) -> tuple[list[PlanDocument], list[str]]:
    found: list[PlanDocument] = []
    faults: list[str] = []
    position = 0
    line, counted = first_line, 0
    while match := _BEGIN.search(text, position):
        if not facts:  # within a jsonlog message the lines are not the file's
            line += text.count("\n", counted, match.start())
            counted = match.start()
        before = text[position : match.start()]
        try:
            value, end = _decode_plan(text, match)
        except DecodeError as error:
            what = "is cut off" if error.ended else f"is not JSON ({error})"
            faults.append(f"the plan that begins in line {line} {what}")
            position = match.end()
            continue
        documents = _collect(value, facts or _facts(before), line)
        found += [_timed(document, before) for document in documents]
        position = end
    return found, faults


def _decode_plan(text: str, match: re.Match[str]) -> tuple[Any, int]:
    if not match.group(1).startswith('""'):
        return decode_at(text, match.start())
    field = _CSV_FIELD.match(text, match.start())  # csvlog doubles the quotes within its quoted field
    assert field is not None
    value, _ = decode_at(field.group().replace('""', '"'))
    return value, field.end()


def _timed(document: PlanDocument, before: str) -> PlanDocument:
    duration = _DURATION.search(before)
    return replace(document, duration_ms=float(duration.group(1))) if duration else document


def _facts(before: str) -> dict[str, Any]:
    """Read time and process from the log line that announces a plan."""
    line = before.rstrip().rpartition("\n")[2]
    if "plan:" not in line:
        return {}
    stamp, process = _STAMP.search(line), _PROCESS.search(line)
    facts: dict[str, Any] = {"timestamp": stamp.group()} if stamp else {}
    return facts | ({"pid": int(process.group(1))} if process else {})


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
            known = {**known, **_scalars(item)}
            waiting += [(inner, known) for inner in reversed(list(item.values()))]
        elif isinstance(item, list):
            waiting += [(inner, known) for inner in reversed(item)]
        elif isinstance(item, str) and '"Node Type"' in item:
            waiting += [(inner, known) for inner in _inside(item)]
    return found


def _as_body(item: dict[str, Any]) -> Mapping[str, Any] | None:
    plan = item.get("Plan")
    if isinstance(plan, dict) and "Node Type" in plan:
        return item
    return {"Plan": item} if "Node Type" in item else None


def _inside(text: str) -> list[Any]:
    try:
        return [decode_at(text)[0]]
    except DecodeError:
        return []


def _scalars(item: Mapping[str, Any], *, without: frozenset[str] | set[str] = frozenset()) -> dict[str, Any]:
    return {
        key: value
        for key, value in item.items()
        if isinstance(value, str | int | float | bool)
        and key not in without
        and '"Node Type"' not in str(value)
    }


def _what_else(text: str) -> str:
    """Say what a text is that holds no plan."""
    if not text.strip():
        return "an empty text"
    if '"Utility Statement"' in text:
        return "a utility statement, which has no plan"
    if "Node-Type" in text or re.search(r"^\s*-?\s*Node Type:", text, re.MULTILINE):
        return "a plan as XML or YAML, not as JSON"
    if re.search(r"\(cost=\d+\.\d+\.\.\d+\.\d+ rows=", text):
        return "a plan as text, not as JSON"
    return "something else than the output of EXPLAIN (FORMAT JSON)"


def _where(text: str, position: int) -> str:
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return f"line {_line(text, position)}, column {column}"


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
