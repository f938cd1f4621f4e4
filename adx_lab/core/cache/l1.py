"""The cache in the process: what is known of a scope, a tenant, a user or a session, in one place.

All that is cached about one scope lies under one key, so that an invalidation is one removal, however many
families there are and however many entries. The scopes used least are dropped when the bound is reached.
"""

from __future__ import annotations

import random
from time import monotonic
from typing import TYPE_CHECKING, Any

import cachebox

if TYPE_CHECKING:
    from collections.abc import Callable

ITEMS_MAX = 32  # pages of one tenant's lists, most of all


class L1:
    """Items by scope and name, each with its own time to live."""

    def __init__(self, scopes_max: int, jitter: float) -> None:
        self._scopes: cachebox.LRUCache[str, dict[str, tuple[float, Any]]] = cachebox.LRUCache(scopes_max)
        self._find: Callable[[str], dict[str, tuple[float, Any]] | None] = self._scopes.get
        self._jitter = jitter

    def get(self, scope: str, item: str) -> Any:
        """Return an item, or None."""
        items = self._find(scope)
        if items is None:
            return None
        entry = items.get(item)
        if entry is None or entry[0] < monotonic():
            return None
        return entry[1]

    def put(self, scope: str, item: str, value: Any, ttl_s: float) -> None:
        """Keep an item; its time to live is shortened at random, so that not all run out at once."""
        items = self._find(scope)
        if items is None:
            items = {}
            self._scopes[scope] = items
        elif len(items) >= ITEMS_MAX and item not in items:
            items.clear()
        spread = 1 - self._jitter * random.random()  # noqa: S311
        items[item] = (monotonic() + ttl_s * spread, value)

    def forget(self, scope: str) -> None:
        """Drop all that is known of a scope."""
        self._scopes.pop(scope, None)

    def scopes(self) -> list[str]:
        """Return every scope."""
        return list(self._scopes.keys())

    def clear(self) -> None:
        """Drop everything."""
        self._scopes.clear()

    def __len__(self) -> int:
        return len(self._scopes)
