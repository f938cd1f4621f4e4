"""Where a request's time went, told in the standard ``Server-Timing`` header.

Only while the service is measured: it tells outsiders too much. Code that is measured takes a `Timing` or
None, so that it costs one comparison when it is off.
"""

from __future__ import annotations


class Timing:
    """The entries of one request, times in milliseconds."""

    __slots__ = ("entries", "pool_ms", "valkey_ms")

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.pool_ms = 0.0
        self.valkey_ms = 0.0

    def query(self, name: str, ms: float) -> None:
        """Add one execution of a named query."""
        self.entries.append(f'db;dur={ms:.3f};desc="{name}"')

    def cache(self, layer: str, family: str) -> None:
        """Add one look-up that was answered by a layer (``l1``, ``l2``) or by none (``miss``)."""
        self.entries.append(f'cache;desc="{layer}:{family}"')

    def header(self, total_ms: float) -> str:
        """Return the header's value."""
        head = [f"total;dur={total_ms:.3f}"]
        if self.pool_ms >= 0.001:
            head.append(f"pool;dur={self.pool_ms:.3f}")
        if self.valkey_ms >= 0.001:
            head.append(f"valkey;dur={self.valkey_ms:.3f}")
        return ", ".join(head + self.entries)
