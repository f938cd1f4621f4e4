"""Ids: UUID version 7, so that new rows lie together at the end of an index."""

from __future__ import annotations

import re
import secrets
import time

from adx_lab.core.server.problems import Problem

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}").fullmatch


def new_id() -> str:
    """Return a new id."""
    return make_id(time.time_ns() // 1_000_000, secrets.randbits(74))


def make_id(at_ms: int, random_bits: int) -> str:
    """Return the id of a moment with 74 random bits."""
    value = (at_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | (random_bits >> 62) << 64 | 0b10 << 62
    text = f"{value | random_bits & (1 << 62) - 1:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def checked_id(text: str) -> str:
    """Return an id from a path in its usual form; what is no id can't be found.

    Raises
    ------
    Problem
        404.
    """
    if _UUID(text) is None:
        raise Problem(404, "Not found")
    return text.lower()
