"""The XML that EXPLAIN writes, as its JSON would be."""

from __future__ import annotations

import re
from typing import Any
from xml.parsers import expat

_LISTS = {"Plans", "Workers", "Triggers", "Tasks", "Subplans"}
_TEXTS = re.compile(
    r"^(?!.*Removed).*(?:Name|Alias|Schema|Filter|Cond|Key|Item|Text|Type|Expression|Provider|Value|Method|Order"
    r"|Call$|SQL)"
)
_NAMES = {"I-O": "I/O", "One-Time-Filter": "One-Time Filter", "Full-sort-Groups": "Full-sort Groups"}


class XmlError(ValueError):
    """Not XML."""


def read_xml(text: str) -> list[dict[str, Any]]:
    """Return the explained statements of an ``<explain>`` document.

    Raises
    ------
    XmlError
        It is cut off, or no XML, or declares entities of its own.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise XmlError(expat.ErrorString(error.code)) from error
    return reader.bodies


def _refuse(*_: Any) -> None:
    raise XmlError("it declares entities")


class _Reader:
    """A stack of the elements that are open: each with its name, its parts, and its text."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.stack: list[tuple[str, list[tuple[str, Any]], list[str]]] = []

    def begin(self, name: str, _: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        for written, meant in _NAMES.items():
            name = name.replace(written, meant)
        name = name if name in _NAMES.values() else name.replace("-", " ")
        self.stack.append((name, [], []))

    def characters(self, text: str) -> None:
        if self.stack:
            self.stack[-1][2].append(text)

    def end(self, _: str) -> None:
        name, parts, texts = self.stack.pop()
        value = _value(name, parts, "".join(texts))
        within = any(enclosing == "Plan" for enclosing, _, _ in self.stack)  # a plan of another server
        if isinstance(value, dict) and isinstance(value.get("Plan"), dict) and not within:
            self.bodies.append(value)
        elif self.stack:
            self.stack[-1][1].append((name, value))


def _value(name: str, parts: list[tuple[str, Any]], text: str) -> Any:
    if name in _LISTS or (parts and all(part == "Item" for part, _ in parts)):
        return [value for _, value in parts]
    if parts:
        return dict(parts)
    text = text.strip()
    if _TEXTS.search(name):
        return text
    if text in {"true", "false"}:
        return text == "true"
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?\d+\.\d+(?:e[-+]?\d+)?", text) else text
