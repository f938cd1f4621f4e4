"""What is worse, in words: one finding for each kind of it, whatever the number of endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adx_lab.analysis.duet.block_ratios import ALL
from adx_lab.analysis.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from adx_lab.analysis.duet.comparison import Comparison
    from adx_lab.analysis.duet.gates import Coverage

__all__ = ["findings_of"]

_WORDS = {
    "failures": ("failures", "head fails where base answers"),
    "other_answers": ("answers", "head answers with another status"),
    "response_bytes": ("answers", "head answers with other content: its answers are of another size"),
    "serial_strays": ("strays", "some of the requests are far slower, though most are not"),
    "strays": ("strays", "some of the requests are far slower, though most are not"),
    "cold_ms": ("cold", "the first requests after the start are slower"),
    "burst_ms": ("crowd", "slower when many ask at once"),
    "statements_per_request": ("statements", "more statements a request"),
    "queries_per_request": ("statements", "more queries a request"),
    "pages_per_request": ("pages", "the database reads more pages a request"),
    "valkey_commands_per_request": ("valkey", "more Valkey commands a request"),
    "database_cpu_ms_per_request": ("database-cpu", "the database spends more processor time a request"),
    "memory_growth_mb": ("memory", "more memory is kept"),
    "starts": ("start", "head does not start"),
}
_LISTED = 6


def findings_of(
    comparisons: Sequence[Comparison], coverage: Coverage, causes: Sequence[Finding]
) -> tuple[Finding, ...]:
    """Return the findings of a duet: what was not judged first, then causes, then what no cause explains.

    Parameters
    ----------
    comparisons
        All of the duet.
    coverage
        What was judged.
    causes
        The findings of the attribution, which explains added time.
    """
    told = [*_unjudged(coverage), *causes]
    explained = {endpoint for finding in causes for endpoint in finding.endpoints}
    for kind, words, some in _kinds(comparisons):
        subjects = tuple(one.subject for one in some)
        if kind in {"statements", "pages"} and set(subjects) <= explained:
            continue  # a cause has said so, and why
        if kind == "cold" and explained and set(subjects) <= explained | {ALL}:
            continue  # what is slower warm is slower cold
        worst = some[0]
        where = ", ".join(subjects[:_LISTED]) + (" and others" if len(subjects) > _LISTED else "")
        told.append(Finding(kind, worst.subject, f"{words}: {where}", _evidence(worst), endpoints=subjects))
    return (*told, *_unexplained(comparisons, told), *_added(coverage))


def _unexplained(comparisons: Sequence[Comparison], told: Sequence[Finding]) -> Iterator[Finding]:
    """Yield what is slower and stands in no other finding: nothing ends a verdict unsaid."""
    named = {name for one in told for name in (one.subject, *one.endpoints)}
    left: dict[str, list[Comparison]] = {}
    for one in comparisons:
        said = one.metric in _WORDS or one.subject in named or (one.subject == ALL and named)
        if one.status == "slower" and not said:
            left.setdefault(one.metric, []).append(one)
    for some in left.values():
        subjects = tuple(one.subject for one in some)
        cause = "slower, and nothing that was counted says why"
        yield Finding("unexplained", some[0].subject, cause, _evidence(some[0]), endpoints=subjects)


def _evidence(one: Comparison) -> dict[str, Any]:
    return {"metric": one.metric, "base": one.base, "head": one.head, "unit": one.unit, "p": one.p}


def _kinds(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, str, list[Comparison]]]:
    worse: dict[str, list[Comparison]] = {}
    for one in comparisons:
        if one.status == "slower" and one.metric in _WORDS:
            worse.setdefault(one.metric, []).append(one)
    for metric, some in worse.items():
        yield (*_WORDS[metric], sorted(some, key=lambda one: (one.p, one.subject)))


def _unjudged(coverage: Coverage) -> Iterator[Finding]:
    if coverage.unjudged:
        some = "; ".join(coverage.unjudged[:_LISTED])
        rest = len(coverage.unjudged) - _LISTED
        cause = f"not judged: {some}" + (f" and {rest} more" if rest > 0 else "")
        yield Finding("unjudged", "coverage", cause, {"unjudged": list(coverage.unjudged)})


def _added(coverage: Coverage) -> Iterator[Finding]:
    if coverage.added:
        cause = f"only head has it, so that nothing can be compared: {', '.join(coverage.added)}"
        yield Finding("added", "routes", cause, {"added": list(coverage.added)})
