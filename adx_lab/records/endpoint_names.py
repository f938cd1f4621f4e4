"""Names of endpoints: Locust's own is the method and the path as asked, with its query."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

_VALUE = re.compile(r"=[^&#]*")


def without_values(name: str) -> str:
    """Return an endpoint's name without the values of its query: ``GET /a?page=17`` is ``GET /a?page=…``.

    A duet compares what the code costs: twenty pages of one list are one way to ask, and asked so often
    together that it can be judged. A load's names stay as Locust has them.
    """
    path, mark, query = name.partition("?")
    return f"{path}?{_VALUE.sub('=…', query)}" if mark else name


def scattered(names: Collection[str]) -> dict[str, int]:
    """Return what several names are without the values of their queries, with how many they are."""
    counted = Counter(without_values(name) for name in names)
    return {joined: count for joined, count in counted.items() if count > 1}
