"""The first screen: what became slower, by how much, why, and what to do; or why nothing can be said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from adx_lab.analysis.duet.block_ratios import ALL
from adx_lab.analysis.duet.comparison import Comparison
from adx_lab.analysis.duet.gates import BEGAN_LATER
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.nights.standing import KIND as CREPT_IN
from adx_lab.analysis.plans.captures.matrix import for_whom
from adx_lab.analysis.verdict import Verdict
from adx_lab.report.page.measured_night import Contents, NightDuet
from adx_lab.report.page.sizes import size_of, size_words
from adx_lab.report.page.verdict_words import summarise_verdict
from adx_lab.report.parts.numbers import number
from adx_lab.report.parts.table import change, percentage
from adx_lab.report.parts.words import (
    budget_words,
    metric_words,
    quantity,
    sentence_case,
    subject_words,
    trouble,
)

BUDGET_MS = 10.0
"""What a query may take."""

_NAME = re.compile(r"[\w.]+")
"""A query that the service names; others are called by their texts."""

_NEAR = 0.8
_SAID_ELSEWHERE = frozenset({"invalid", "coverage", "unjudged", "added"})
"""Kinds of findings that are told as troubles, as what was not judged, or as a warning."""

_NAMED_MAX, _UNCLEAR_MAX = 2, 4
_WARNINGS_MAX = 4
_LINES_MAX = 14
_UNJUDGED_MAX = 8
_NO_CAUSE = "nothing that was captured explains it"


@dataclass(frozen=True, slots=True)
class Told:
    """One finding in words.

    Attributes
    ----------
    subject, size
        What became slower, and by how much.
    others
        What else suffers from the same cause, each with its size.
    cause, share
        Why, and the part of the added time that it explains.
    mend
        SQL, or the lines that changed; empty where none is known.
    advice
        The mend as a sentence.
    links
        Words and addresses.
    query
        The query whose plan shows it.
    """

    subject: str
    size: str
    cause: str
    share: str = ""
    mend: str = ""
    advice: str = ""
    others: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    query: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class FirstScreen:
    """The first screen of a page."""

    status: str
    headline: str
    told: tuple[Told, ...]
    judged: str
    warnings: tuple[str, ...]
    troubles: tuple[tuple[str, str], ...]
    unclear: tuple[str, ...] = ()
    compared: bool = True

    def next_words(self) -> str:
        """Return what to do now, as a terminal's last line."""
        if self.status == "invalid":
            return self.troubles[0][1] if self.troubles else "run it again"
        query = self.told[0].query if self.told else None
        if self.status == "regressed" and query:
            if _NAME.fullmatch(query):
                return f"adx-lab plans --query {query} shows that query's plan"
            return "adx-lab statements shows what the database was asked, and by whom"
        if self.status == "regressed":
            return (
                "adx-lab duet BASE HEAD --functions names the function, adx-lab bisect BASE HEAD the commit"
            )
        if self.status == "undecided":
            more = "with --profile nightly: more blocks can decide more"
            return f"run it again {more if self.compared else 'for longer: --duration gives more requests'}"
        return "adx-lab runs history shows the nights before"


def slug(text: str) -> str:
    """Return what an address ends with."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "one"


def endpoint_address(endpoint: str) -> str:
    """Return where an endpoint's block is."""
    return f"endpoints.html#endpoint-{slug(endpoint)}"


def query_address(query: str) -> str:
    """Return where a query's block is."""
    return f"queries.html#query-{slug(query)}"


def answer_of(contents: Contents, verdict: Verdict) -> FirstScreen:
    """Return the first screen."""
    troubles = tuple(dict.fromkeys(trouble(check) for check in verdict.validity if not check.ok))
    told = tuple(_each_once(_tell(contents, verdict)))
    slower = slower_endpoints(verdict)
    if verdict.status != "regressed":
        # A fact that hardly varies (an index that is gone) is told even where no time has changed.
        told = tuple(
            one if one.endpoint in slower else replace(one, cause=f"{one.cause}; no slowdown is shown by it")
            for one in told
        )
    return FirstScreen(
        status=verdict.status,
        headline=_headline(verdict, troubles),
        told=told,
        judged=_judged(contents, verdict),
        warnings=tuple(_warnings(contents, verdict))[:_WARNINGS_MAX],
        troubles=troubles,
        compared=bool(verdict.comparisons),
        unclear=tuple(_unclear(contents, verdict)) if verdict.status == "undecided" else (),
    )


def _each_once(told: Iterable[Told]) -> Iterator[Told]:
    """Leave out what an earlier finding has said already: an endpoint's times, the lines that changed."""
    said, mends = set[str](), set[str]()
    for one in told:
        mend = "" if one.mend in mends else one.mend
        advice = one.advice if mend or not one.mend else "as above"
        size = "" if one.subject in said else one.size
        others = tuple(other for other in one.others if other[0] not in said)
        said |= {one.subject, *(name for name, _ in one.others)}
        mends.add(one.mend)
        yield replace(one, size=size, others=others, mend=mend, advice=advice)


def _headline(verdict: Verdict, troubles: Sequence[tuple[str, str]]) -> str:
    if verdict.status == "invalid":
        return f"Nothing can be said: {troubles[0][0] if troubles else 'it could not be measured'}"
    if verdict.status == "regressed":
        return _worse(verdict)
    if verdict.status == "undecided":
        return f"It can't be told yet whether {_open_question(verdict)}"
    return "Nothing became slower" if verdict.comparisons else "Every budget is kept"


def _open_question(verdict: Verdict) -> str:
    """Return what nobody knows yet: of an endpoint or two, of all, or of the budgets."""
    names = list(dict.fromkeys(subject_words(one.subject) for one in _open(verdict)))
    if names and len(names) <= _NAMED_MAX:
        return f"{' and '.join(names)} became slower"
    if names or verdict.comparisons or not verdict.budgets:
        return f"{len(names) or 'some'} endpoints became slower"
    return "every budget is kept"


def _open(verdict: Verdict) -> list[Comparison]:
    """Return what the verdict waits for, the endpoint first that may have lost the most."""
    found = [one for one in verdict.comparisons if one.gate and one.open]
    return sorted(found, key=lambda one: -(one.high if one.ratio is not None and one.high else 0.0))


def _unclear(contents: Contents, verdict: Verdict) -> Iterator[str]:
    """Yield what could not be told, each with what is known of it."""
    found = [one for one in _open(verdict) if one.low is not None and one.high is not None]
    for one in found[:_UNCLEAR_MAX]:
        known = f"{subject_words(one.subject)}: {size_of(contents.compared, one)}"
        if one.ratio is None or not one.metric.endswith("_ms"):
            yield f"{known}; that it is worse can't be ruled out"
        else:
            yield f"{known}; that it is slower by {percentage(one.smallest_effect)} can't be ruled out"
    if len(found) > _UNCLEAR_MAX:
        yield f"and {len(found) - _UNCLEAR_MAX} more: the comparisons have each"


def _worse(verdict: Verdict) -> str:
    slower = slower_endpoints(verdict)
    if slower:
        more = "" if len(slower) == 1 else f" and {len(slower) - 1} more became slower"
        return f"{slower[0]}{more or ' became slower'}"
    overall = [one for one in verdict.comparisons if one.status == "slower"]
    if overall:
        return f"{metric_words(overall[0].metric)} over all endpoints became slower".capitalize()
    crept = [one for one in verdict.findings if one.kind == CREPT_IN]
    if crept:
        return f"{crept[0].subject} crept up by {change(crept[0].evidence['ratio'] - 1)} over the nights"
    broken = [budget_words(item) for item in verdict.budgets if item.status == "fail"]
    return f"Over budget: {', '.join(broken[:3])}"


def slower_endpoints(verdict: Verdict) -> list[str]:
    """Return the endpoints that became slower, the one that lost the most first."""
    worst: dict[str, float] = {}
    for one in verdict.comparisons:
        if one.status == "slower" and one.subject != ALL:
            worst[one.subject] = max(worst.get(one.subject, 0.0), one.ratio or 0.0)
    return sorted(worst, key=lambda name: -worst[name])


def _tell(contents: Contents, verdict: Verdict) -> Iterator[Told]:
    slower, covered = slower_endpoints(verdict), set[str]()
    for finding in verdict.findings:
        if finding.kind in _SAID_ELSEWHERE:
            continue
        if finding.kind == "budget":
            yield _over_budget(finding, verdict)
            continue
        suffering = [name for name in slower if name in finding.endpoints]
        suffering = suffering or [name for name in finding.endpoints[:1] if name != ALL]
        covered |= set(suffering)
        yield _found(contents, verdict, finding, suffering)
    for name in slower:
        if name not in covered:
            yield _found(contents, verdict, None, [name])


def _over_budget(finding: Finding, verdict: Verdict) -> Told:
    metric = finding.evidence.get("metric")
    item = next((one for one in verdict.budgets if one.metric == metric), None)
    said, _, why = finding.cause.partition("; ")
    if item is not None:
        way = "at least" if item.direction == "above" else "at most"
        said = f"{number(item.value)} {item.unit}, and {way} {number(item.limit)} {item.unit} is allowed"
    subject = finding.subject if item is None else budget_words(item)
    links = (("budgets", "index.html#budgets"),)
    return Told(subject, said, why or "see where the time goes, endpoint by endpoint", links=links)


def _found(contents: Contents, verdict: Verdict, finding: Finding | None, suffering: list[str]) -> Told:
    compared = contents.compared
    sizes = {name: size_words(compared, verdict.comparisons, name) for name in suffering}
    first = suffering[0] if suffering else subject_words(finding.subject if finding else "")
    queries = _queries_of(contents, finding)
    links = [("requests", f"{endpoint_address(first)}-slowest")] if suffering else []
    if suffering:
        links.insert(0, ("endpoint", endpoint_address(first)))
    links += [(f"plan of {query}", query_address(query)) for query in queries[:2]]
    if compared is not None and compared.change:
        links.append(("what changed", "index.html#change"))
    mend, advice = _mend(contents, finding)
    return Told(
        subject=first,
        size=sizes.get(first)
        or (size_words(compared, verdict.comparisons, finding.subject) if finding else ""),
        cause=_NO_CAUSE if finding is None else sentence_case(finding.cause),
        share=""
        if finding is None or finding.share is None
        else f"{percentage(finding.share)} of the added time",
        mend=mend,
        advice=advice,
        others=tuple((name, sizes[name]) for name in suffering[1:]),
        links=tuple(links),
        query=queries[0] if queries else None,
        endpoint=first if suffering else None,
    )


def _queries_of(contents: Contents, finding: Finding | None) -> list[str]:
    """Return the queries that a finding is about, those whose plans changed first."""
    if finding is None or contents.compared is None:
        return []
    told = finding.evidence.get("queries")
    named = [*told] if isinstance(told, Mapping | list | tuple) else []
    if contents.compared.head_plans is not None and finding.subject in contents.compared.head_plans.queries:
        named.insert(0, finding.subject)
    worse = {change.query: place for place, change in enumerate(contents.compared.plan_changes)}
    return sorted(dict.fromkeys(map(str, named)), key=lambda query: worse.get(query, len(worse)))


def _mend(contents: Contents, finding: Finding | None) -> tuple[str, str]:
    """Return the mend as SQL or lines, and as a sentence."""
    compared = contents.compared
    given = None if finding is None else finding.mend
    if given:
        sql = str(given).lstrip().upper().startswith(("CREATE ", "ANALYZE", "ALTER ", "VACUUM", "SET "))
        return (str(given), "") if sql else (_lines(compared), str(given))
    if compared is None:
        return "", ""
    return _lines(compared), "look at what changed" if compared.change else ""


def _lines(compared: NightDuet | None) -> str:
    """Return the lines, statements and settings that changed, no more than can be read at a glance."""
    if compared is None or not compared.change:
        return ""
    known = compared.change
    told = [f"{name}: {after} instead of {before}" for name, before, after in known.settings]
    told += [line for line in known.statements.splitlines() if line and not line.startswith("--")]
    told += _dedented(known.shown().splitlines())
    more = [f"… {len(told) - _LINES_MAX} more lines"] if len(told) > _LINES_MAX else []
    return "\n".join([*told[:_LINES_MAX], *more])


def _dedented(lines: Sequence[str]) -> list[str]:
    """Cut the blanks that all lines of code begin with: a narrow screen has no room for them."""
    code = [line for line in lines if not line.startswith("+++")]
    blanks = min((len(line[1:]) - len(line[1:].lstrip()) for line in code if line[1:].strip()), default=0)
    return [line if line.startswith("+++") else line[:1] + line[1 + blanks :] for line in lines]


def _judged(contents: Contents, verdict: Verdict) -> str:
    """Say what was judged and what was not."""
    said = [summarise_verdict(verdict, validity=False)]
    unjudged = _unjudged(contents, verdict)
    if unjudged:
        said += [f"Not judged{why}: {_some(names)}." for why, names in _by_reason(unjudged).items()]
    return " ".join(said)


def _by_reason(unjudged: Iterable[str]) -> dict[str, list[str]]:
    """Return what was not judged by why: fifty endpoints of one reason are told once."""
    found: dict[str, list[str]] = {}
    for one in unjudged:
        name, _, why = one.partition(": ")
        found.setdefault(f", {why}" if why else "", []).append(name)
    return found


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _UNJUDGED_MAX} more" if len(names) > _UNJUDGED_MAX else ""
    return f"{', '.join(names[:_UNJUDGED_MAX])}{more}"


def _unjudged(contents: Contents, verdict: Verdict) -> list[str]:
    if verdict.coverage is not None:
        budgets = [f"the budget {name}" for name in verdict.coverage.budgets]
        return [*verdict.coverage.unjudged, *budgets]
    if contents.compared is None or contents.compared.duel is None:
        return []
    samples = contents.compared.duel.samples
    judged = {one.subject for one in verdict.comparisons if one.gate and one.ratio is not None}
    return sorted(set(samples["endpoint"].astype("str")) - judged)


def _warnings(contents: Contents, verdict: Verdict) -> Iterator[str]:
    """Yield what does not make the verdict worse, and should be known."""
    yield from (sentence_case(one.cause) for one in verdict.findings if one.kind == "added")
    for one in verdict.comparisons:
        if BEGAN_LATER in one.caveats:
            yield f"{one.subject}: {size_of(contents.compared, one)}; {BEGAN_LATER.text}"
    yield from _slow_for_somebody(contents)
    for item in verdict.budgets:
        if item.status == "undecided" and item.value is not None:
            yield (
                f"{budget_words(item)} is {quantity(item.value, item.unit)}, and this run can't tell "
                f"whether it keeps its limit of {quantity(item.limit, item.unit)}"
            )
    for item in verdict.budgets:
        if item.status == "pass" and item.value and item.limit:
            used = item.limit / item.value if item.direction == "above" else item.value / item.limit
            if used >= _NEAR:
                yield f"{budget_words(item)} uses {percentage(used)} of its limit"


def _slow_for_somebody(contents: Contents) -> Iterator[str]:
    plans = contents.plans
    if plans is None:
        return
    asked = set() if contents.judgement is None else set(contents.judgement.queries["query"].astype("str"))
    worst: dict[str, tuple[float, str]] = {}
    for cell in plans.cells.values():
        took = cell.analysis.execution_ms
        if took is not None and took > BUDGET_MS and cell.mode == "custom":
            worst[cell.query] = max(worst.get(cell.query, (0.0, "")), (took, cell.tenant))
    for query, (took, tenant) in sorted(worst.items(), key=lambda entry: -entry[1][0]):
        whom = "the largest tenant" if tenant == "whale" else for_whom(tenant)
        away = "" if not asked or query in asked else "; it is not in this load"
        yield f"{query} needs {number(took)} ms for {whom}{away}"
