"""How many events a tenant has, counted once: events are only appended, so a count goes on where it ended.

A large tenant's events fill many slices, and a report that counts them all anew takes the database for longer
than everything else that the same moment asks for. What is old enough is kept here; the newest minute is
counted again each time, since a transaction that began a moment ago may still append to it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import cachebox

_TENANTS_MAX = 10_000
_SETTLED = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted, by kind, and the place up to which it was."""

    created_at: datetime
    last_id: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def plus(self, created_at: datetime, last_id: int, counts: dict[str, int]) -> Tally:
        """Return the tally with a further slice."""
        return Tally(created_at, last_id, self.counts + Counter(counts))

    @property
    def settled(self) -> bool:
        """Whether nothing can be appended any more before its end."""
        return self.created_at < datetime.now(UTC) - _SETTLED


class Tallies:
    """The tallies of this process's tenants, the least used forgotten first."""

    def __init__(self) -> None:
        self._known: cachebox.LRUCache[tuple[str, str], Tally] = cachebox.LRUCache(_TENANTS_MAX)

    def begin(self, tenant_id: str, since: str) -> Tally:
        """Return what is known of a tenant's events since a moment (ISO 8601)."""
        return self._known.get((tenant_id, since)) or Tally(datetime.fromisoformat(since))

    def keep(self, tenant_id: str, since: str, tally: Tally) -> None:
        """Remember a tally, if it is settled."""
        if tally.settled:
            self._known[tenant_id, since] = tally
