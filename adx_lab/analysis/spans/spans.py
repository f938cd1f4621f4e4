"""One request's spans, and where they say its time went.

What OpenTelemetry's semantic conventions name is sorted by them, in their old words and their new ones: calls
to a database, to a cache, to other services; all else is the service itself. Times are unions of intervals:
two queries at once take no longer than the longer one, and a driver's span within an ORM's is one query.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["NO_SPLIT", "Span", "SpanKind", "SpanSplit", "by_trace", "sort_of", "split_trace", "statement_of"]

SpanKind = Literal["internal", "server", "client", "producer", "consumer"]
Sort = Literal["db", "cache", "http", "other"]

_CACHES = frozenset(("redis", "valkey", "memcached", "dragonfly", "hazelcast", "ignite"))
_SYSTEM = ("db.system.name", "db.system")
_STATEMENT = ("db.query.text", "db.statement")
_CONNECT = "connect"
_SUMMARY = ("db.query.summary", "db.operation.name", "db.operation")
_CALLS = ("http.request.method", "http.method", "rpc.system", "url.full", "http.url", "messaging.system")

_LITERAL = re.compile(r"'(?:[^']|'')*'|(?<![\w$:])\d+(?:\.\d+)?\b")
_LIST = re.compile(r"\(\s*(?:\?|%\(?\w*\)?s|[$:]\w+)(?:\s*,\s*(?:\?|%\(?\w*\)?s|[$:]\w+))+\s*\)")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Span:
    """One span, as far as it matters here."""

    trace: str
    span: str
    parent: str
    name: str
    kind: SpanKind
    start_ns: int
    end_ns: int
    attributes: Mapping[str, str] = field(default_factory=dict)
    service: str = ""

    @property
    def ms(self) -> float:
        """How long it took."""
        return (self.end_ns - self.start_ns) / 1e6


@dataclass(frozen=True, slots=True)
class SpanSplit:
    """Where one request's time went, milliseconds; NaN where there is no span of the server's.

    Attributes
    ----------
    server_ms, db_ms, cache_ms, http_ms : float
        Of the whole; in the database, in caches, in other services. The rest is the service itself.
    queries : tuple of (statement, milliseconds)
        In the order in which they began.
    cache_calls, http_calls : int
    """

    server_ms: float
    db_ms: float = 0.0
    cache_ms: float = 0.0
    http_ms: float = 0.0
    queries: tuple[tuple[str, float], ...] = ()
    cache_calls: int = 0
    http_calls: int = 0

    @property
    def rest_ms(self) -> float:
        """The service itself."""
        return self.server_ms - self.db_ms - self.cache_ms - self.http_ms


NO_SPLIT = SpanSplit(math.nan)


def by_trace(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """Group spans by the trace they belong to."""
    traces: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        traces[span.trace].append(span)
    return dict(traces)


def split_trace(spans: Sequence[Span]) -> SpanSplit:
    """Return where the time of one request went.

    Parameters
    ----------
    spans
        Of one trace. The server's span is the outermost of its kind; what began after it ended (background
        work) is none of the request's time.
    """
    known = {span.span: span for span in spans}
    servers = [span for span in spans if span.kind == "server"]
    roots = [span for span in servers if not _within(span, known, {"server"})]
    if not roots:
        return NO_SPLIT
    root = min(roots, key=lambda span: span.start_ns)
    sorted_spans = [(span, sort_of(span)) for span in spans if span is not root]
    calls = [(span, sort) for span, sort in sorted_spans if sort != "other" and span.start_ns < root.end_ns]
    outer = {span.span for span, _ in calls}
    # Another service's own spans lie within the call to it; a driver's within the ORM's.
    calls = [(span, sort) for span, sort in calls if not _inside(span, known, outer)]
    times: dict[Sort, list[tuple[int, int]]] = defaultdict(list)
    taken: list[tuple[int, int]] = []
    queries = []
    for span, sort in sorted(calls, key=lambda one: one[0].start_ns):
        # What another call covers already counts once, for the one that began first.
        times[sort] += _without((span.start_ns, min(span.end_ns, root.end_ns)), taken)
        taken.append((span.start_ns, span.end_ns))
        # To connect takes the database's time and asks it for nothing.
        if sort == "db" and span.name.lower() != _CONNECT:
            queries.append((statement_of(span, spans), span.ms))
    ms = {sort: sum(end - start for start, end in own) / 1e6 for sort, own in times.items()}
    return SpanSplit(
        server_ms=root.ms,
        db_ms=ms.get("db", 0.0),
        cache_ms=ms.get("cache", 0.0),
        http_ms=ms.get("http", 0.0),
        queries=tuple(queries),
        cache_calls=sum(sort == "cache" for _, sort in calls),
        http_calls=sum(sort == "http" for _, sort in calls),
    )


def sort_of(span: Span) -> Sort:
    """Tell what a span is a call to."""
    system = _first(span.attributes, _SYSTEM)
    if system:
        # `connect` spans and the like tell of no statement: they are the database's time all the same.
        return "cache" if system.lower() in _CACHES else "db"
    if span.kind in {"client", "producer"} and any(name in span.attributes for name in _CALLS):
        return "http"
    return "other"


def statement_of(span: Span, spans: Iterable[Span] = ()) -> str:
    """Return what a database was asked, without the values: equal for equal statements.

    An ORM's span may tell less than its driver's within it, whose text is taken then.
    """
    text = _first(span.attributes, _STATEMENT)
    if not text:
        inner = (one for one in spans if one.parent == span.span)
        text = next((found for one in inner if (found := _first(one.attributes, _STATEMENT))), "")
    if not text:
        return _first(span.attributes, _SUMMARY) or span.name
    plain = _SPACE.sub(" ", _LITERAL.sub("?", text)).strip()
    return _LIST.sub("(…)", plain)


def _first(attributes: Mapping[str, str], names: Iterable[str]) -> str:
    return next((attributes[name] for name in names if attributes.get(name)), "")


def _within(span: Span, known: Mapping[str, Span], kinds: set[SpanKind]) -> bool:
    seen = {span.span}
    while (parent := known.get(span.parent)) is not None and parent.span not in seen:
        if parent.kind in kinds:
            return True
        seen.add(parent.span)
        span = parent
    return False


def _inside(span: Span, known: Mapping[str, Span], outer: set[str]) -> bool:
    seen = {span.span}
    while (parent := known.get(span.parent)) is not None and parent.span not in seen:
        if parent.span in outer:
            return True
        seen.add(parent.span)
        span = parent
    return False


def _without(interval: tuple[int, int], taken: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what of an interval others have not taken."""
    left = [interval]
    for start, end in taken:
        left = [
            piece
            for low, high in left
            for piece in ((low, min(high, start)), (max(low, end), high))
            if piece[0] < piece[1]
        ]
    return left
