"""What to do about a cause, and where to look first."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.finding import Finding

if TYPE_CHECKING:
    from adx_lab.analysis.plans.captures.matrix import Matrix

__all__ = ["concurrently", "with_remedies"]

_MENDS = {
    "n+1": "ask for all of them at once: one statement with = ANY($1), outside of the loop",
    "new-query": "leave it out, or fold it into the query that runs anyway",
    "statements": "leave it out: it costs a way to the database and back for each request",
    "limit": "give it its LIMIT or its condition again",
    "query-text": "ask as before, or make an index that serves the new text",
    "plan": "compare both plans on the page of queries",
    "buffers": "look at what its plan reads: more rows, or rows that lie further apart",
    "payload": "send only what is asked for, or compress it",
    "pool": "let the pool open as many connections as before",
    "prepared": "prepare statements again",
    "cache.l1": "let the in-process cache answer again",
    "cache.l2": "let the shared cache answer again",
    "invalidation": "drop only the entries that changed",
    "blocking": "do it in a thread, or with what awaits",
    "cpu": "adx-lab duet --functions names the function",
    "service": "adx-lab duet --functions names the function",
    "valkey-commands": "send them together, in one pipeline or with MGET",
    "failures": "look at the first failed requests of the endpoint on the page",
    "start": "look at the log of the start",
    "strays": "look at the slowest requests of the endpoint on the page",
    "memory": "look for what is kept after a request: caches without a limit, lists that only grow",
}
_OF_A_QUERY = frozenset({"n+1", "new-query", "limit", "query-text", "plan", "buffers", "query"})
_DATABASE = re.compile(r" of the (database|role .+)$")


def with_remedies(
    findings: Sequence[Finding], base: Matrix | None = None, head: Matrix | None = None
) -> tuple[Finding, ...]:
    """Return findings with what to do and where to look, as far as the kinds and the captures tell.

    Parameters
    ----------
    findings
        Those that say it by themselves keep it.
    base, head
        What was captured of both databases.
    """
    return tuple(
        replace(one, mend=one.mend or _mend(one, base), where=one.where or _where(one, base, head))
        for one in findings
    )


def _mend(finding: Finding, base: Matrix | None) -> str | None:
    special = _SPECIAL.get(finding.kind)
    told = None if special is None else special(finding.evidence, base)
    return told or _MENDS.get(finding.kind)


def _indexes(evidence: Mapping[str, Any], base: Matrix | None) -> str | None:
    known = {} if base is None else base.indexes
    made = [known[str(name)] for name in evidence.get("indexes", ()) if str(name) in known]
    told = [concurrently(str(one["definition"])) for one in made if one.get("definition")]
    return "\n".join(told) or None


def concurrently(definition: str) -> str:
    """Return an index's definition as a statement that keeps nobody waiting."""
    return re.sub(r"^(CREATE (?:UNIQUE )?INDEX) ", r"\1 CONCURRENTLY ", definition) + ";"


def _analyse(evidence: Mapping[str, Any], _: Matrix | None) -> str | None:
    return "\n".join(f"ANALYZE {table};" for table in evidence.get("stale_tables") or ()) or None


def _vacuum(evidence: Mapping[str, Any], _: Matrix | None) -> str | None:
    return f"VACUUM (ANALYZE) {evidence['table']};" if "table" in evidence else None


def _set_back(evidence: Mapping[str, Any], _: Matrix | None) -> str | None:
    told = []
    for name, (before, _after) in (evidence.get("settings") or {}).items():
        plain = _DATABASE.sub("", name)
        back = f"SET {plain} = {before};" if before != "unset" else f"RESET {plain};"
        told.append(f"ALTER ROLE CURRENT_USER {back}")
    return "\n".join(told) or None


_SPECIAL: Mapping[str, Callable[[Mapping[str, Any], Matrix | None], str | None]] = {
    "index": _indexes,
    "statistics": _analyse,
    "dead-rows": _vacuum,
    "setting": _set_back,
}


def _where(finding: Finding, base: Matrix | None, head: Matrix | None) -> str | None:
    evidence, kind = finding.evidence, finding.kind
    if kind in {"invalid", "unjudged", "added"}:
        return None
    if evidence.get("file"):
        return f"{evidence['file']}:{evidence['line']}" if evidence.get("line") else str(evidence["file"])
    place = finding.endpoints[0] if finding.endpoints else None
    if kind == "index":
        known = {} if base is None else base.indexes
        names = [str(name) for name in evidence.get("indexes", ())]
        tables = {str(known[name]["table"]) for name in names if name in known}
        place = f"the table {', '.join(sorted(tables))}" if tables else place
    elif kind in {"statistics", "dead-rows"}:
        place = f"the table {finding.subject}"
    elif kind in {"setting", "pool"}:
        place = f"the setting {finding.subject}"
    elif kind in _OF_A_QUERY and head is not None and finding.subject in head.queries:
        place = f"the query {finding.subject}" + (f", asked for by {place}" if place else "")
    return place
