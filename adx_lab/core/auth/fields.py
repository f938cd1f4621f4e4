"""Fields that several bodies have."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

# Where a pattern may end before a line break, Python's $ lets one through.
Email = Annotated[
    str, Meta(min_length=3, max_length=254, pattern=r"^[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+$(?!\n)")
]
Password = Annotated[str, Meta(min_length=8, max_length=200)]
Id = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$(?!\n)")]
