"""The ledger of added milliseconds: what is to be explained, and what has been claimed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.duet.causes.variant_traits import EndpointFacts, QueryFacts, VariantFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from adx_lab.analysis.duet.causes.time_changes import EndpointChange, QueryChange

__all__ = ["ELSEWHERE", "Claim", "Ledger", "rose"]

ELSEWHERE = "(other cache layer)"
"""The account of what comes from other cache layers answering."""


@dataclass(frozen=True)
class Claim:
    """What one cause explains.

    Attributes
    ----------
    kind, subject, cause, evidence
        As in `Finding`.
    parts : tuple of (endpoint, part, milliseconds a request)
    consequence : bool
        True for waiting that may have its reason in another claim.
    """

    kind: str
    subject: str
    cause: str
    evidence: Mapping[str, Any]
    parts: tuple[tuple[str, str, float], ...] = ()
    consequence: bool = False


def rose(base: float | None, head: float | None, factor: float, least: float = 0.0) -> bool:
    """Tell whether a figure rose by a factor and by at least so much; False where it isn't known."""
    return base is not None and head is not None and head >= factor * base and head - base > least


@dataclass
class Ledger:
    """The slower endpoints' added time, with what the captures know of both variants.

    Attributes
    ----------
    changes : tuple of EndpointChange
        The endpoints to be explained.
    base, head : VariantFacts
    others : tuple of EndpointChange
        The endpoints beside them: whether they suffer too tells a held loop from a wait.
    open_ms : dict
        What is still unexplained, by endpoint and part, milliseconds a request.
    """

    changes: tuple[EndpointChange, ...]
    base: VariantFacts
    head: VariantFacts
    others: tuple[EndpointChange, ...] = ()
    open_ms: dict[tuple[str, str], float] = field(init=False)

    def __post_init__(self) -> None:
        """Open an account for each part of each endpoint."""
        self.open_ms = {
            (change.endpoint, part.name): part.within_ms for change in self.changes for part in change.parts
        }
        for change in self.changes:
            self.open_ms[change.endpoint, ELSEWHERE] = change.cache_ms

    def take(
        self,
        endpoints: Iterable[str],
        parts: Iterable[str],
        at_most: Mapping[str, float] | None = None,
    ) -> tuple[tuple[str, str, float], ...]:
        """Claim what parts of endpoints still have open; a part that got faster is left alone.

        Parameters
        ----------
        endpoints, parts
            Of which.
        at_most
            Milliseconds a request that the cause can explain of an endpoint, over these parts together; what
            is left stays open for other causes. None: all of it.
        """
        names = tuple(parts)
        claimed = []
        for endpoint in endpoints:
            left = math.inf if at_most is None else at_most.get(endpoint, 0.0)
            for part in names:
                found = self.open_ms.get((endpoint, part), 0.0)
                took = min(found, left)
                if took <= 0:
                    continue
                left -= took
                claimed.append((endpoint, part, took))
                if took == found:
                    del self.open_ms[endpoint, part]
                else:
                    self.open_ms[endpoint, part] = found - took
        return tuple(claimed)

    @property
    def total_ms(self) -> float:
        """All time that was added, over all requests."""
        return sum(change.requests * max(0.0, change.change_ms) for change in self.changes)

    @property
    def tail_ms(self) -> float:
        """What was added to the slowest 5%, weighted as `total_ms`."""
        return sum(change.requests * max(0.0, change.tail_ms) for change in self.changes)

    @property
    def added_ms(self) -> float:
        """Milliseconds added a request, over the requests of all endpoints: comparable to a variant's CPU."""
        return self.total_ms / max(1, self.requests)

    @property
    def requests(self) -> int:
        """Requests of all endpoints, explained here or not."""
        return sum(change.requests for change in (*self.changes, *self.others))

    def milliseconds(self, claim: Claim) -> float:
        """Return what a claim explains, over all requests."""
        requests = {change.endpoint: change.requests for change in self.changes}
        return sum(requests[endpoint] * ms for endpoint, _, ms in claim.parts)

    def shares(self, claim: Claim) -> tuple[float, float]:
        """Return a claim's share of the added mean, and of what was added to the slowest 5%.

        The tail's parts follow the mean's: how much of a part is another layer's doing is known for means
        only.
        """
        claimed = sum(self._tail_of(*part) for part in claim.parts)
        total, tails = self.total_ms, self.tail_ms
        return self.milliseconds(claim) / total if total else 0.0, claimed / tails if tails else 0.0

    def _tail_of(self, endpoint: str, part: str, ms: float) -> float:
        change = next(one for one in self.changes if one.endpoint == endpoint)
        if part == ELSEWHERE:
            share = ms / change.change_ms if change.change_ms > 0 else 0.0
            return change.requests * change.tail_ms * min(1.0, share)
        own = next(one for one in change.parts if one.name == part)
        share = ms / own.change_ms if own.change_ms > 0 else 0.0
        return change.requests * own.tail_ms * min(1.0, share)

    def endpoints_of(self, claim: Claim) -> tuple[str, ...]:
        """Return the endpoints of a claim, the worst first."""
        sums: dict[str, float] = {}
        for endpoint, _, ms in claim.parts:
            sums[endpoint] = sums.get(endpoint, 0.0) + ms
        return tuple(sorted(sums, key=lambda endpoint: (-sums[endpoint], endpoint)))

    def query_facts(self, query: str) -> tuple[QueryFacts, QueryFacts]:
        """Return what is known of a query under base and head."""
        unknown = QueryFacts()
        return self.base.queries.get(query, unknown), self.head.queries.get(query, unknown)

    def endpoint_facts(self, endpoint: str) -> tuple[EndpointFacts, EndpointFacts]:
        """Return what is known of an endpoint under base and head."""
        unknown = EndpointFacts()
        return self.base.endpoints.get(endpoint, unknown), self.head.endpoints.get(endpoint, unknown)

    def counted_ms(self, endpoint: str) -> tuple[float | None, float]:
        """Return what a request computes more (None: not counted), and what its statements take more."""
        before, after = self.endpoint_facts(endpoint)
        if before.cpu_ms is None or after.cpu_ms is None:
            return None, 0.0
        return after.cpu_ms - before.cpu_ms, (after.database_ms or 0.0) - (before.database_ms or 0.0)

    def by_query(self) -> dict[str, list[tuple[EndpointChange, QueryChange]]]:
        """Return where each query runs, in order of names."""
        places: dict[str, list[tuple[EndpointChange, QueryChange]]] = {}
        for change in self.changes:
            for query in change.queries:
                places.setdefault(query.query, []).append((change, query))
        return dict(sorted(places.items()))

    def heavier(self, change: EndpointChange) -> bool:
        """Tell whether an endpoint's responses grew by a fifth, and by at least 200 bytes."""
        return rose(*self.bytes_of(change), 1.2, 200)

    def bytes_of(self, change: EndpointChange) -> tuple[float, float]:
        """Return an endpoint's response size under base and head, as captured or as the samples have it."""
        before, after = self.endpoint_facts(change.endpoint)
        if before.response_bytes is not None and after.response_bytes is not None:
            return before.response_bytes, after.response_bytes
        return change.base_bytes, change.head_bytes

    def changed_database_settings(self) -> dict[str, tuple[str, str]]:
        """Return the settings of the database and the role that differ, before and after."""
        base, head = self.base.database_settings, self.head.database_settings
        return {
            name: (base.get(name, "unset"), head.get(name, "unset"))
            for name in sorted(base.keys() | head.keys())
            if base.get(name) != head.get(name)
        }

    def changed_settings(self) -> dict[str, str]:
        """Return the settings that differ, as `before -> after`."""
        names = sorted(self.base.settings.keys() | self.head.settings.keys())
        pairs = {name: (self.base.settings.get(name), self.head.settings.get(name)) for name in names}
        return {name: f"{a} -> {b}" for name, (a, b) in pairs.items() if a != b}
