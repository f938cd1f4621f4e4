"""Why a Locust ended badly, in its own last words: what its log says last, with file and line where it does.

Locust ends in many ways before a load begins: with Python's traceback (an import, a class body, a listener),
with what the parser of its options says, a line of its log, a bare line of whoever called ``sys.exit``. Each
is the true reason where it came last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from adx_lab.load.places import LEFT, is_theirs, place

_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'^\s+File "(?P<file>.+)", line (?P<line>\d+)')
_LOGGED = re.compile(r"^\[[^]]+\] \S+/(?P<level>[A-Z]+)/[\w.]+: ?(?P<said>.*)$")
_OPTIONS = re.compile(r"^\S.*?: error: (?P<said>.+)$")
_GROUPED = re.compile(r"^ *[|+][ -]?-*")
"""What Python draws beside the lines of an exception group."""

_NO_USER = ("load_locustfile_pytest", "No User class found")
"""What Locust tries when it finds no user in a file, and what it says when that found none either."""


def last_words(log: Path) -> str | None:
    """Return why Locust ended, in one line; None where its log is empty."""
    return reason(log) or next(reversed(_lines(log)), "").strip() or None


def reason(log: Path) -> str | None:
    """Return what is surely a reason to end; None where Locust's log has none."""
    lines = _lines(log)
    if any(mark in line for line in lines for mark in _NO_USER):
        return "it has no User class"
    reasons = [words for _, words in sorted(_reasons(lines))]
    if reasons[1:] and reasons[-1].startswith("("):  # a library called `exit`, which has said why
        return f"{reasons[-2]} {reasons[-1]}"
    return reasons[-1] if reasons else None


def crash(log: Path) -> str | None:
    """Return what Python's last words are, where Locust ended with an exception that nobody caught."""
    lines = _lines(log)
    return dict(_raised(lines)).get(len(lines) - 1)


def _lines(log: Path) -> list[str]:
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return [_GROUPED.sub("", line, count=1) for line in text.splitlines() if line.strip()]


def _reasons(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield each line that could be the reason, by its place."""
    yield from _raised(lines)
    for number, line in enumerate(lines):
        if line.startswith(LEFT):
            yield number, line.removeprefix(LEFT)
        elif found := _OPTIONS.match(line):
            hint = "".join(lines[number + 1 : number + 2])
            yield number, found["said"] + (f" ({hint})" if hint.startswith("Did you mean") else "")
        elif (logged := _LOGGED.match(line)) and logged["level"] in {"ERROR", "CRITICAL"}:
            yield number, logged["said"].strip()


def _raised(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield what each traceback ends with, and where in somebody's own files that was raised."""
    where, inside = "", False
    for number, line in enumerate(lines):
        if _TRACEBACK in line:
            where, inside = "", True
        elif inside and (frame := _FRAME.match(line)):
            where = f" ({place(frame['file'], frame['line'])})" if is_theirs(frame["file"]) else where
        elif inside and line.strip() and not line.startswith(" "):
            inside = False
            yield number, f"{line.strip()}{where}"
