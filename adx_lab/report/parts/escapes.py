"""Texts that somebody else chose, made harmless for what they are written into."""

from __future__ import annotations

import re

_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NO_CSV = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_FORMULA = frozenset("=+-@\t\r\n＝＋－＠")
_MARKUP = re.compile(r"[\\`*\[\]~|#!]|(?<![^\W_])_|_(?![^\W_])")
_MENTION = re.compile(r"(?<!\w)@(?=\w)")


def for_xml(text: str) -> str:
    """Return a text without the characters that no XML document may hold, not even escaped."""
    return _NO_XML.sub(_UNKNOWN, text)


def for_csv(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    clean = _NO_CSV.sub(_UNKNOWN, text)
    return f"'{clean}" if clean.lstrip(" ")[:1] in _FORMULA else clean


def for_markdown(text: str) -> str:
    """Return a text on one line that Markdown shows as it is, and that notifies nobody."""
    line = " ".join(for_xml(text).replace("&", "&amp;").replace("<", "&lt;").split())
    return _MENTION.sub("&#64;", _MARKUP.sub(r"\\\g<0>", line))


def for_markdown_code(text: str) -> str:
    """Return a text on one line as code, in a table's cell too."""
    line = " ".join(for_xml(text).replace("`", "'").split()).replace("|", "\\|")
    return f"`{line or ' '}`"
