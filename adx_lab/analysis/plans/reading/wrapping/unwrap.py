"""What clients put around a plan, taken off: borders, marks of continued lines, quotes, odd spaces."""

from __future__ import annotations

import ast
import re
from typing import Any

from adx_lab.analysis.plans.reading.wrapping.prefixes import without_prefixes
from adx_lab.analysis.plans.reading.wrapping.psql_tables import untabled, without_end
from adx_lab.analysis.plans.reading.wrapping.rows import unrowed

_BIDI = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\u200b"
_ESCAPES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_SYSLOG = re.compile(r"^[^\n{}\"]*?#011", re.MULTILINE)
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_FENCE = re.compile(r"^```(?:\w*[ \t]*$)?|```[ \t]*$", re.MULTILINE)
_FRAME = re.compile(r"^[ \t]*[+|│║╔╗╚╝╠╣┌┐└┘├┤┬┴┼─═━╞╡╪╤╧╟╢╥╨╬╦╩-]{3,}[ \t]*$", re.MULTILINE)
_TABLE_BEGIN = re.compile(r"^[ \t]*[|│║] ?", re.MULTILINE)
_HEADER = re.compile(r"^[ \t|│║\"]*QUERY PLAN[ \t|│║\"]*$", re.MULTILINE)
_MAIL = re.compile(r"^(?:>[ \t]?)+", re.MULTILINE)
_QUOTED_ROW = re.compile(r'^"((?:[^"]|"")*)"[ \t]*$', re.MULTILINE)
_MASKED = re.compile(r'("[A-Z][\w /-]*": )N(?:\.N)?(?=,?$)', re.MULTILINE)  # as regression tests mask figures
_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")


def unwrapped(text: str) -> str:
    """Return a text without what stands around plans in it; logs pass unchanged."""
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "\x1b[" in text:
        text = _COLOURS.sub("", text)
    if "```" in text:
        text = _FENCE.sub("", text)
    if _SPACES.search(text):
        text = _SPACES.sub(" ", text)
    if "\\ud" in text.lower():
        # Half a surrogate pair is legal JSON and can't be printed.
        text = _ESCAPES.sub(lambda match: "\\ufffd" if match.group(1) else match.group(), text)
    if "plan:#012" in text:
        text = text.replace("#012", "\n")
    if "#011" in text:
        text = _SYSLOG.sub("", text)
    if re.search(r"^> ?", text, re.MULTILINE) and _is_mail(text):
        text = _MAIL.sub("", text)
    text = _without_quotes(untabled(without_prefixes(unrowed(text))))
    if _HEADER.search(text) or _framed(text):
        text = _without_borders(text)
    return _MASKED.sub(r"\1null", text)


def _is_mail(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    return sum(line.startswith(">") for line in lines) > len(lines) / 3


def _without_quotes(text: str) -> str:
    """Take off the quotes that a grid puts around each line of a plan, or around all of it."""
    if not any(sign in text for sign in ("(cost=", "(actual ", "->  ", "Node Type", "Node-Type")):
        return text
    lines = text.strip().splitlines()
    for quote in "\"'":
        quoted = [
            line for line in lines if len(line) > 1 and line[:1] == quote and line.rstrip()[-1:] == quote
        ]
        if len(quoted) > len(lines) / 2:
            return "\n".join(_unquoted(line, quote) for line in lines)
        is_headed = bool(lines) and _HEADER.match(lines[0]) is not None
        if lines and not is_headed and lines[0][:1] == quote and lines[-1].rstrip()[-1:] == quote:
            return _singled(text.strip()[1:-1], quote)
    return text


def _singled(text: str, quote: str) -> str:
    """Return what a grid quoted as a whole: it doubles the quotes within."""
    within = text.replace(quote * 2, "")
    return text if quote in within else text.replace(quote * 2, quote)


def _unquoted(line: str, quote: str) -> str:
    line = line.rstrip()
    if line[:1] == quote and line[-1:] == quote and len(line) > 1:
        line = line[1:-1].replace(quote * 2, quote)
    return line


def _framed(text: str) -> bool:
    lines = [line for line in text.splitlines()[:200] if line.strip()]
    bordered = sum(line.lstrip()[:1] in "|│║" for line in lines)
    continued = sum(line.rstrip()[-1:] in "+↵" for line in lines)  # a value of many lines, without a header
    return bool(lines) and max(bordered, continued) > len(lines) / 2


def _without_borders(text: str) -> str:
    # Line by line from its end: a pattern would try every space of a wide table's padding.
    text = _TABLE_BEGIN.sub("", "\n".join(without_end(line) for line in text.split("\n")))
    text = _FRAME.sub("", text)
    return _QUOTED_ROW.sub(lambda match: match.group(1).replace('""', '"'), text)


def python_value(text: str) -> Any:
    """Return what a Python repr of rows holds, or None where the text is none: ``[{'Plan': {…}}]``."""
    stripped = text.strip()
    quote = re.search("[\"']", stripped)
    if not re.match(r"[\[({]", stripped) or quote is None or quote.group() == '"':
        return None
    stripped = re.sub(r"<Record (\w+)=", r"dict(\1=", stripped)
    try:
        return ast.literal_eval(stripped)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def printable(text: str) -> str:
    """Return a text on one line, without anything that moves the cursor or turns the direction of writing."""
    cleaned = "".join(" " if ord(letter) < 32 or 127 <= ord(letter) < 160 else letter for letter in text)
    return " ".join(cleaned.translate({ord(letter): None for letter in _BIDI}).split())
