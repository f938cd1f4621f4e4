"""JSON as PostgreSQL writes it: nested without limit, and before version 13 with the same key twice.

The standard decoder recurses once a level and gives up at about a thousand, which a chain of a few hundred
joins or a long UNION reaches; and of two ``Workers`` arrays in one object (up to PostgreSQL 12: one for the
timings, one for the sorts) it keeps only the last.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_WORDS: tuple[tuple[str, Any], ...] = (("true", True), ("false", False), ("null", None))
_scan_string: Callable[[str, int], tuple[str, int]] = json.decoder.scanstring  # type: ignore[attr-defined]
_DIGITS_MAX = 4000  # CPython refuses to turn longer ones into an int


class DecodeError(ValueError):
    """Not JSON; ``ended`` where the text stopped in the middle of it."""

    def __init__(self, message: str, position: int, *, ended: bool) -> None:
        super().__init__(message)
        self.position = position
        self.ended = ended


def decode_at(text: str, start: int = 0) -> tuple[Any, int]:
    """Decode the JSON value at ``start``; return it and the position after it.

    Raises
    ------
    DecodeError
        There is no whole value there.
    """
    start = _skip(text, start)
    try:
        return json.JSONDecoder(object_pairs_hook=merge_pairs).raw_decode(text, start)
    except RecursionError:
        return _Decoder(text).value(start)
    except ValueError:
        # Once more with our own, which knows whether the text is wrong or only ends too soon.
        return _Decoder(text).value(start)


def merge_pairs(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object, joining arrays that stand under one key twice; `Workers` are joined by number."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and isinstance(found[key], list) and isinstance(value, list):
            found[key] = _join(found[key], value)
        else:
            found[key] = value
    return found


def _join(first: list[Any], second: list[Any]) -> list[Any]:
    by_number: dict[Any, dict[str, Any]] = {}
    rest: list[Any] = []
    for item in [*first, *second]:
        if isinstance(item, dict) and isinstance(item.get("Worker Number"), int):
            by_number.setdefault(item["Worker Number"], {}).update(item)
        else:
            rest.append(item)
    return [*by_number.values(), *rest]


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


class _Decoder:
    """A decoder with its own stack: a list of the containers that are still open."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.stack: list[tuple[list[Any], bool]] = []  # items (pairs flattened), whether it is an object

    def value(self, position: int) -> tuple[Any, int]:
        while True:
            position = _skip(self.text, position)
            character = self.text[position : position + 1]
            if character in {"{", "["} and character:
                self.stack.append(([], character == "{"))
                position = _skip(self.text, position + 1)
                if self.text[position : position + 1] != ("}" if character == "{" else "]"):
                    position = self._key(position)
                    continue
                value, position = self._close(position)
            else:
                value, position = self._scalar(position)
            position, done, value = self._place(value, position)
            if done:
                return value, position

    def _place(self, value: Any, position: int) -> tuple[int, bool, Any]:
        """Put a finished value where it belongs, and close what it completes."""
        while self.stack:
            items, is_object = self.stack[-1]
            items.append(value)
            position = _skip(self.text, position)
            character = self.text[position : position + 1]
            if character == ",":
                return self._key(position + 1), False, None
            if character != ("}" if is_object else "]"):
                raise self._fault("a comma or the closing bracket is missing", position)
            value, position = self._close(position)
        return position, True, value

    def _key(self, position: int) -> int:
        items, is_object = self.stack[-1]
        if not is_object:
            return position
        position = _skip(self.text, position)
        if self.text[position : position + 1] != '"':
            raise self._fault("a key is missing", position)
        key, position = self._string(position)
        position = _skip(self.text, position)
        if self.text[position : position + 1] != ":":
            raise self._fault("the colon after a key is missing", position)
        items.append(key)
        return position + 1

    def _close(self, position: int) -> tuple[Any, int]:
        items, is_object = self.stack.pop()
        if is_object:
            return merge_pairs(list(zip(items[::2], items[1::2], strict=True))), position + 1
        return items, position + 1

    def _string(self, position: int) -> tuple[str, int]:
        try:
            return _scan_string(self.text, position + 1)
        except ValueError as error:
            ended = "Unterminated" in str(error)
            raise DecodeError(str(error), len(self.text) if ended else position, ended=ended) from error

    def _scalar(self, position: int) -> tuple[Any, int]:
        if self.text[position : position + 1] == '"':
            return self._string(position)
        match = _NUMBER.match(self.text, position)
        if match:
            digits = match.group()
            whole = match.group(1) is None and match.group(2) is None and len(digits) < _DIGITS_MAX
            return (int(digits) if whole else float(digits)), match.end()
        for word, value in _WORDS:
            if self.text.startswith(word, position):
                return value, position + len(word)
        raise self._fault("a value is missing", position)

    def _fault(self, what: str, position: int) -> DecodeError:
        return DecodeError(what, position, ended=position >= len(self.text))
