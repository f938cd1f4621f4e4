"""What failed of the test that runs, and what its tasks raised: counted by endpoint, status and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from adx_lab.load.recording.rows import EXCEPTION, Row
from adx_lab.load.web.budgets import COLUMN

_KINDS_MAX = 1_000
_SHOWN = 20
_OTHER = "(other reasons)"


class Failed:
    """Counts of what went wrong."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def add(self, rows: Iterable[Row]) -> None:
        """Count what failed among a beat's rows, whichever part of the load they belong to."""
        for row in rows:
            reason = row[COLUMN["error"]]
            if reason:
                raised = row[COLUMN["kind"]] == EXCEPTION
                status = "raised" if raised else str(row[COLUMN["status"]] or "")
                key = (str(row[COLUMN["endpoint"]]), status, str(reason))
                full = len(self._counts) >= _KINDS_MAX and key not in self._counts
                self._counts[(*key[:2], _OTHER) if full else key] += 1

    def shown(self) -> list[dict[str, Any]]:
        """Return the commonest."""
        return [
            {"endpoint": endpoint, "status": status, "reason": reason, "count": count}
            for (endpoint, status, reason), count in self._counts.most_common(_SHOWN)
        ]
