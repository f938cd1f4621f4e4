"""Fields that several bodies have."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
"""Within brackets of a pattern: control characters, and what else breaks a line."""

# Where a pattern may end before a line break, Python's $ lets one through.
ONE_LINE = rf"^[^{CONTROL}]+$(?!\n)"
Email = Annotated[
    str, Meta(min_length=3, max_length=254, pattern=rf"^[^@\s{CONTROL}]+@[^@\s{CONTROL}]+$(?!\n)")
]
Password = Annotated[str, Meta(min_length=8, max_length=200)]
Id = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$(?!\n)")]
