"""Compare a night with the last valid ones of the same service, environment and scenario.

Nights are not measured side by side, so that nothing cancels: the machine, the data and the neighbours differ
between them. What nights differ by is therefore the null. For times it is the spread of the logarithms over
the earlier nights, held together with a guess that counts for `_GUESS_NIGHTS` nights, since a few nights know
little of their own spread; Student's t then says what a next night may show by chance (a prediction
interval).
What hardly varies settles what time can't: statements a request, pages a call, the shape of a plan.

A verdict from here says "slower than usual, beyond what nights differ by", and no more: no cause is proved.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from scipy import stats

from adx_lab.analysis.duet.causes.remedies import concurrently
from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.plans.captures.compare import describe_change
from adx_lab.analysis.plans.records import PlanAnalysis
from adx_lab.records.statement_texts import short

__all__ = ["Asked", "EndpointFigures", "NightFigures", "compare_with_usual"]

_ALPHA = 0.01
"""For all endpoints of a night together, one-sided."""

_GUESS_LOG_SD, _GUESS_NIGHTS = 0.10, 8
_SMALLEST_RATIO, _SMALLEST_MS = 1.10, 0.2
_MORE_STATEMENTS, _MORE_STATEMENTS_RATIO = 0.5, 1.2
_MORE_PAGES, _MORE_PAGES_RATIO = 16.0, 2.0
_REQUESTS_MIN = 20


@dataclass(frozen=True)
class Asked:
    """What a request of an endpoint asks the database in one statement, on average."""

    calls: float
    pages: float
    ms: float


@dataclass(frozen=True)
class EndpointFigures:
    """What a night measured of one endpoint."""

    requests: int
    failed: int
    p50_ms: float
    p95_ms: float | None


@dataclass(frozen=True)
class StatementFigures:
    """What a call of one statement cost in a night, on average."""

    calls: float
    mean_ms: float
    pages: float


@dataclass(frozen=True)
class NightFigures:
    """What of a night is compared; statements go by their text without values, indexes by their names."""

    run_id: str
    endpoints: Mapping[str, EndpointFigures]
    statements: Mapping[str, StatementFigures] = field(default_factory=dict)
    asked: Mapping[str, Mapping[str, Asked]] = field(default_factory=dict)
    plans: Mapping[str, PlanAnalysis] = field(default_factory=dict)
    indexes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class UsualAnswer:
    """What became of the comparison."""

    comparisons: tuple[Comparison, ...] = ()
    findings: tuple[Finding, ...] = ()
    nights: tuple[str, ...] = ()


def compare_with_usual(tonight: NightFigures, earlier: Sequence[NightFigures]) -> UsualAnswer:
    """Say what is slower than usual, and which statement and plan go with it.

    Parameters
    ----------
    tonight
        What is judged.
    earlier
        The last valid nights of the same key, oldest first; without any nothing is compared.
    """
    if not earlier:
        return UsualAnswer()
    times = [
        comparison
        for name in sorted(tonight.endpoints)
        for comparison in _times(name, tonight, earlier, tests=max(1, len(tonight.endpoints)))
    ]
    counts = [one for name in sorted(tonight.asked) for one in _counts(name, tonight, earlier)]
    findings = _findings(tonight, earlier, [*times, *counts])
    return UsualAnswer((*times, *counts), tuple(findings), tuple(night.run_id for night in earlier))


def explain_by_statements(
    head: NightFigures, base: NightFigures, slower: Collection[str]
) -> tuple[tuple[Comparison, ...], tuple[Finding, ...]]:
    """Say which endpoints ask more of the database, and which statement and plan go with what is slower.

    For two variants of a service that tells nothing of its queries: what each endpoint asks was counted one
    request at a time.

    Parameters
    ----------
    slower
        Endpoints whose times are known to have grown.
    """
    counts = tuple(one for name in sorted(head.asked) for one in _counts(name, head, [base]))
    worse = {*slower, *(one.subject for one in counts if one.status == "slower")}
    found = [*_dearer_statements(head, [base], worse), *_more_statements(head, [base], counts)]
    return counts, tuple(sorted(found, key=lambda finding: -float(finding.evidence.get("added_ms", 0.0))))


def _times(
    name: str, tonight: NightFigures, earlier: Sequence[NightFigures], *, tests: int
) -> Iterator[Comparison]:
    known = [night.endpoints[name] for night in earlier if name in night.endpoints]
    now = tonight.endpoints[name]
    if not known or min(now.requests, *(one.requests for one in known)) < _REQUESTS_MIN:
        return
    for metric in ("p50_ms", "p95_ms"):
        figures = [getattr(one, metric) for one in (*known, now)]
        if None in figures:
            continue
        *values, value = (math.log(max(figure, 1e-3)) for figure in figures)
        usual = statistics.fmean(values)
        degrees = _GUESS_NIGHTS + len(values) - 1
        guess = _GUESS_LOG_SD * (1.0 if metric == "p50_ms" else 2.0)
        variance = _GUESS_NIGHTS * guess**2 + sum((one - usual) ** 2 for one in values)
        error = math.sqrt(variance / degrees * (1 + 1 / len(values)))
        p = float(stats.t.sf(abs(value - usual) / error, degrees))
        reach = float(stats.t.isf(_ALPHA / (2 * tests), degrees)) * error
        # A factor below which nobody cares, and a difference that a person could not tell.
        matters = max(math.log(_SMALLEST_RATIO), math.log1p(_SMALLEST_MS / math.exp(usual)))
        bound = max(reach, matters)
        change = value - usual
        status: Literal["slower", "faster", "same"] = "same"
        if abs(change) > bound:
            status = "slower" if change > 0 else "faster"
        yield Comparison(
            subject=name,
            metric=metric,
            level=1 - _ALPHA,
            smallest_effect=math.expm1(matters),
            n_blocks=len(values),
            ratio=math.exp(change),
            low=math.exp(change - reach),
            high=math.exp(change + reach),
            p=min(1.0, p * 2 * tests),
            status=status,
            could_see=math.expm1(bound),
            base=math.exp(usual),
            head=math.exp(value),
        )


def _counts(name: str, tonight: NightFigures, earlier: Sequence[NightFigures]) -> Iterator[Comparison]:
    """Compare what hardly varies: one more than a half, or twice the pages, is no chance."""
    known = [night.asked[name] for night in earlier if night.asked.get(name)]
    if not known:
        return
    now = tonight.asked[name]
    yield _count(
        name, "statements_per_request", _calls(now), [_calls(one) for one in known],
        more=_MORE_STATEMENTS, ratio=_MORE_STATEMENTS_RATIO,
    )  # fmt: skip
    yield _count(
        name, "pages_per_request", _pages(now), [_pages(one) for one in known],
        more=_MORE_PAGES, ratio=_MORE_PAGES_RATIO,
    )  # fmt: skip


def _count(
    name: str, metric: str, now: float, known: Sequence[float], *, more: float, ratio: float
) -> Comparison:
    usual, most = statistics.median(known), max(known)
    worse = now > most + more and now > most * ratio
    change = now / usual if usual else None
    return Comparison(
        subject=name,
        metric=metric,
        level=1 - _ALPHA,
        smallest_effect=ratio - 1,
        n_blocks=len(known),
        ratio=change,
        low=change,
        high=change,
        p=0.0 if worse else 1.0,
        status="slower" if worse else "same",
        could_see=ratio - 1,
        base=usual,
        head=now,
        unit="",
    )


def _calls(asked: Mapping[str, Asked]) -> float:
    return sum(one.calls for one in asked.values())


def _pages(asked: Mapping[str, Asked]) -> float:
    return sum(one.calls * one.pages for one in asked.values())


def _database_ms(asked: Mapping[str, Asked]) -> float:
    return sum(one.calls * one.ms for one in asked.values())


def _findings(
    tonight: NightFigures, earlier: Sequence[NightFigures], comparisons: Sequence[Comparison]
) -> list[Finding]:
    """Return one finding a cause: plans, statements asked more often, times without either."""
    worse = {one.subject for one in comparisons if one.status == "slower"}
    found = [
        *_dearer_statements(tonight, earlier, worse),
        *_more_statements(tonight, earlier, comparisons),
    ]
    told = {name for finding in found for name in finding.endpoints}
    found += [
        _unexplained(one, tonight, earlier)
        for one in comparisons
        if one.status == "slower" and one.metric == "p50_ms" and one.subject not in told
    ]
    return sorted(found, key=lambda finding: -float(finding.evidence.get("added_ms", 0.0)))


def _dearer_statements(
    tonight: NightFigures, earlier: Sequence[NightFigures], worse: set[str]
) -> Iterator[Finding]:
    for text, now in tonight.statements.items():
        known = [night.statements[text] for night in earlier if text in night.statements]
        if not known:
            continue
        pages, ms = max(one.pages for one in known), statistics.median(one.mean_ms for one in known)
        more_pages = now.pages > pages + _MORE_PAGES and now.pages > pages * _MORE_PAGES_RATIO
        plan = _plan_change(text, tonight, earlier)
        if not more_pages and not (plan and now.mean_ms > 2 * ms):
            continue
        endpoints = _endpoints_of(text, tonight)
        if not (worse & set(endpoints)) and now.mean_ms < ms + _SMALLEST_MS:
            continue
        added = sum(_calls_of(text, name, tonight) * (now.mean_ms - ms) for name in endpoints)
        cause = (
            f"a call costs {_number(now.mean_ms)} ms and {_number(now.pages)} pages instead of "
            f"{_number(ms)} ms and {_number(statistics.median(one.pages for one in known))} pages"
        )
        if plan:
            cause = f"its plan changed: {plan}; {cause}"
        gone = _gone(text, tonight, earlier) if plan else {}
        if gone:
            cause = f"the index {', '.join(gone)} is gone, and {cause}"
        yield Finding(
            kind="index" if gone else "plan" if plan else "statement",
            subject=short(text),
            cause=f"«{short(text)}»: {cause}" + _sizes(endpoints, tonight, earlier),
            mend="\n".join(concurrently(definition) for definition in gone.values()) or None,
            evidence={"statement": text, "indexes": list(gone), "plan": plan, "mean_ms": now.mean_ms,
                      "usual_ms": ms, "pages": now.pages, "usual_pages": pages, "added_ms": added},
            endpoints=endpoints,
        )  # fmt: skip


def _more_statements(
    tonight: NightFigures, earlier: Sequence[NightFigures], comparisons: Sequence[Comparison]
) -> Iterator[Finding]:
    for one in comparisons:
        if one.metric != "statements_per_request" or one.status != "slower":
            continue
        now = tonight.asked[one.subject]
        usual = [night.asked[one.subject] for night in earlier if night.asked.get(one.subject)]
        grown = {
            text: asked.calls - max(night[text].calls if text in night else 0.0 for night in usual)
            for text, asked in now.items()
        }
        text = max(grown, key=lambda name: grown[name])
        before = statistics.median(_calls(night) for night in usual)
        added = grown[text] * now[text].ms
        yield Finding(
            kind="n+1" if now[text].calls >= 2 else "statements",
            subject=short(text),
            cause=f"a request of {one.subject} asks {_number(_calls(now))} statements instead of "
            f"{_number(before)}: «{short(text)}» {_number(now[text].calls)} times"
            + _sizes((one.subject,), tonight, earlier),
            evidence={"statement": text, "statements_per_request": _calls(now), "usual": before,
                      "calls_per_request": now[text].calls, "added_ms": added},
            endpoints=(one.subject,),
        )  # fmt: skip


def _unexplained(one: Comparison, tonight: NightFigures, earlier: Sequence[NightFigures]) -> Finding:
    now = _database_ms(tonight.asked.get(one.subject, {}))
    usual = [
        sum(a.ms for a in night.asked[one.subject].values())
        for night in earlier
        if one.subject in night.asked
    ]
    told = "no statement of the database was read for it"
    if one.subject in tonight.asked:
        told = f"the database takes {_number(now)} ms of a request"
        told += f", usually {_number(statistics.median(usual))}" if usual else ""
        told += ": the time is the service's own, or what it waits for"
    before = statistics.median(
        night.endpoints[one.subject].p50_ms for night in earlier if one.subject in night.endpoints
    )
    added = tonight.endpoints[one.subject].p50_ms - before
    return Finding(
        kind="time",
        subject=one.subject,
        cause=f"slower than usual, beyond what nights differ by; {told}"
        + _sizes((one.subject,), tonight, earlier),
        evidence={"added_ms": added, "database_ms": now},
        endpoints=(one.subject,),
    )


def _gone(text: str, tonight: NightFigures, earlier: Sequence[NightFigures]) -> dict[str, str]:
    """Return the indexes that a statement used and that are no longer there, with their definitions."""
    last = next((night for night in reversed(earlier) if text in night.plans), None)
    if last is None or not tonight.indexes:
        return {}
    used = {node.index for node in last.plans[text].nodes if node.index is not None}
    return {name: last.indexes[name] for name in sorted(used & last.indexes.keys() - tonight.indexes.keys())}


def _plan_change(text: str, tonight: NightFigures, earlier: Sequence[NightFigures]) -> str | None:
    now = tonight.plans.get(text)
    last = next((night.plans[text] for night in reversed(earlier) if text in night.plans), None)
    if now is None or last is None or now.shape == last.shape:
        return None
    return describe_change(last, now)


def _endpoints_of(text: str, night: NightFigures) -> tuple[str, ...]:
    """Return the endpoints that ask a statement, first those that ask it most."""
    asking = {name: asked[text].calls for name, asked in night.asked.items() if text in asked}
    return tuple(sorted(asking, key=lambda name: -asking[name]))


def _calls_of(text: str, endpoint: str, night: NightFigures) -> float:
    return night.asked[endpoint][text].calls


def _sizes(endpoints: Sequence[str], tonight: NightFigures, earlier: Sequence[NightFigures]) -> str:
    """Return in words how the endpoints' medians stand beside the usual."""
    told = []
    for name in endpoints[:2]:
        known = [night.endpoints[name].p50_ms for night in earlier if name in night.endpoints]
        if name in tonight.endpoints and known:
            now = tonight.endpoints[name].p50_ms
            told.append(f"{name} p50 {_number(statistics.median(known))} -> {_number(now)} ms")
    return f" ({', '.join(told)})" if told else ""


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
