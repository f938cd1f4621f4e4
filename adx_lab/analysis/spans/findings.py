"""What the spans of many requests show by themselves: statements asked again and again, and slow ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adx_lab.analysis.finding import Finding
from adx_lab.records.statement_texts import short

if TYPE_CHECKING:
    from collections.abc import Iterable

    from adx_lab.analysis.spans.spans import SpanSplit

__all__ = ["Repeated", "repeated_statements", "slow_statements", "span_findings"]

REPEATS = 5.0
"""Executions of one statement a request that are an N+1."""

SHARE = 0.25
"""Of an endpoint's time: a statement that takes more of it is worth naming."""

SLOW_MS = 10.0
_WORDS = 110


@dataclass(frozen=True)
class Repeated:
    """A statement of an endpoint: how often it is asked a request, and what that takes."""

    endpoint: str
    statement: str
    per_request: float
    ms_per_request: float
    mean_ms: float
    share: float
    requests: int


def statements(requests: Iterable[tuple[str, SpanSplit]]) -> tuple[Repeated, ...]:
    """Return what each endpoint asks its database for, the costliest first.

    Parameters
    ----------
    requests
        Endpoint and split of each request that has spans.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    spent: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    asked: Counter[str] = Counter()
    whole: dict[str, float] = defaultdict(float)
    for endpoint, split in requests:
        asked[endpoint] += 1
        whole[endpoint] += split.server_ms
        for statement, ms in split.queries:
            counts[endpoint][statement] += 1
            spent[endpoint][statement] += ms
    found = (
        Repeated(
            endpoint=endpoint,
            statement=statement,
            per_request=count / asked[endpoint],
            ms_per_request=spent[endpoint][statement] / asked[endpoint],
            mean_ms=spent[endpoint][statement] / count,
            share=spent[endpoint][statement] / whole[endpoint] if whole[endpoint] > 0 else 0.0,
            requests=asked[endpoint],
        )
        for endpoint, own in counts.items()
        for statement, count in own.items()
    )
    return tuple(sorted(found, key=lambda one: -one.ms_per_request * one.requests))


def repeated_statements(requests: Iterable[tuple[str, SpanSplit]]) -> tuple[Repeated, ...]:
    """Return the statements that one request asks again and again."""
    return tuple(one for one in statements(requests) if one.per_request >= REPEATS)


def slow_statements(requests: Iterable[tuple[str, SpanSplit]]) -> tuple[Repeated, ...]:
    """Return the statements that are slow by themselves and make up much of their endpoint."""
    found = statements(requests)
    return tuple(one for one in found if one.mean_ms >= SLOW_MS and one.share >= SHARE)


def span_findings(requests: Iterable[tuple[str, SpanSplit]]) -> tuple[Finding, ...]:
    """Return what is wrong with a service by its spans alone, without anything to compare with."""
    told = tuple(requests)
    repeated = [_finding("n+1", one, _repeats(one)) for one in repeated_statements(told)]
    return (*repeated, *(_finding("query", one, _slow(one)) for one in slow_statements(told)))


def _finding(kind: str, one: Repeated, cause: str) -> Finding:
    evidence = {
        "statement": one.statement,
        "per_request": one.per_request,
        "ms_per_request": one.ms_per_request,
        "mean_ms": one.mean_ms,
        "requests": one.requests,
    }
    return Finding(
        kind,
        short(one.statement, longest=_WORDS),
        cause,
        evidence,
        share=one.share,
        endpoints=(one.endpoint,),
    )


def _repeats(one: Repeated) -> str:
    return (
        f"{one.endpoint} asks the same statement {one.per_request:.3g} times a request, which takes "
        f"{one.ms_per_request:.1f} ms: {short(one.statement, longest=_WORDS)}"
    )


def _slow(one: Repeated) -> str:
    return (
        f"{one.endpoint} waits {one.mean_ms:.1f} ms for one statement, {one.share:.0%} of its time: "
        f"{short(one.statement, longest=_WORDS)}"
    )
