"""A node's line of a plan as text: ``Parallel Index Scan using users_pkey on public.users u  (cost=…)``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from adx_lab.analysis.plans.labels import KNOWN_TYPES
from adx_lab.analysis.plans.sql.tokens import name_of, tokens_of

MASK = r"(?:[NX?*#]+|x{2,})"
"""What regression tests and people who may not show them put for figures."""
_NUMBER = rf"(\d+(?:\.\d+)?|{MASK}(?:\.{MASK})?)"
_COST = re.compile(rf"\(cost={_NUMBER}\.\.{_NUMBER} rows={_NUMBER} width={_NUMBER}\)")
_ACTUAL = re.compile(rf"\(actual(?: time={_NUMBER}\.\.{_NUMBER})?(?: rows={_NUMBER})? loops={_NUMBER}\)")
_NEVER = "(never executed)"
_JOINS = re.compile(r"^(Hash|Merge|Nested Loop) (Left|Right|Full|Semi|Anti|Right Semi|Right Anti)(?: Join)?$")
_AGGREGATES = {
    "HashAggregate": "Hashed",
    "GroupAggregate": "Sorted",
    "MixedAggregate": "Mixed",
    "Aggregate": "Plain",
}
_WRITES = ("Insert", "Update", "Delete", "Merge")
_KINDS = sorted(
    {*KNOWN_TYPES, *_AGGREGATES, "HashSetOp", "Foreign Insert", "Foreign Update", "Foreign Delete"},
    key=len,
    reverse=True,
)
_NAME_WORDS = "|".join(re.escape(kind) for kind in _KINDS)
_JOIN_WORDS = r"(?:Hash|Merge|Nested Loop) (?:Left|Right|Full|Semi|Anti|Right Semi|Right Anti) Join"
NODE = re.compile(
    r"\s*(?:(?:->|└─|├─|→)\s*)?(?:Parallel |Async |Partial |Finalize )*"
    rf"(?:(?:{_NAME_WORDS}|{_JOIN_WORDS})\b|(?:Insert|Update|Delete|Merge) on )"
)
"""What a node's line begins with."""


def read_node(text: str) -> dict[str, Any] | None:
    """Return a node as EXPLAIN's JSON would have it, or None where the line is none."""
    cost, actual = _COST.search(text), _ACTUAL.search(text)
    never = _NEVER in text
    ends = [match.start() for match in (cost, actual) if match] + ([text.index(_NEVER)] if never else [])
    if not ends and not (NODE.match(text) and not re.search(r":\s|\(cost=|\(actual", text)):
        return None
    headline = text[: min(ends, default=len(text))].strip()
    if not headline or headline.startswith("--"):  # a comment that speaks of a plan
        return None
    node = dict(_described(headline))
    if cost:
        keys = ("Startup Cost", "Total Cost", "Plan Rows", "Plan Width")
        node |= _known(dict(zip(keys, cost.groups(), strict=True)))
    if actual:
        node |= executed(actual)
    elif never:
        node |= {"Actual Rows": 0, "Actual Loops": 0}
        node |= {"Actual Startup Time": 0.0, "Actual Total Time": 0.0}
    return node


def executed(actual: re.Match[str]) -> dict[str, Any]:
    """Return what ``(actual time=… rows=… loops=…)`` says."""
    low, high, rows, loops = actual.groups()
    timed = {} if low is None else {"Actual Startup Time": low, "Actual Total Time": high}
    found = _known(timed | {"Actual Rows": rows or "0", "Actual Loops": loops})
    return found if "Actual Loops" in found else {**found, "Actual Loops": None}  # it ran


def read_worker(text: str) -> dict[str, Any] | None:
    """Return what a worker's line says: ``actual time=… rows=… loops=…``."""
    match = _ACTUAL.search(f"({text.strip()})")
    return executed(match) if match else None


def _known(printed: dict[str, str]) -> dict[str, Any]:
    """Return the figures that are not masked."""
    return {
        key: float(text) if "." in text else int(text) for key, text in printed.items() if text[0].isdigit()
    }


@lru_cache(maxsize=1024)
def _described(headline: str) -> dict[str, Any]:
    """Return what a headline says; a log says the same few over and over."""
    node: dict[str, Any] = {}
    for word, key, value in (("Parallel ", "Parallel Aware", True), ("Async ", "Async Capable", True)):
        if headline.startswith(word):
            headline = headline.removeprefix(word)
            node[key] = value
    for word in ("Partial", "Finalize"):
        if headline.startswith(f"{word} "):
            headline = headline.removeprefix(f"{word} ")
            node["Partial Mode"] = word
    kind, rest = _kind_of(headline)
    return {**_typed(kind), **node, **_named(kind, rest)}


def _kind_of(headline: str) -> tuple[str, str]:
    """Split a headline into what kind of node it is and what that is applied to."""
    write = re.match(r"(Foreign )?(Insert|Update|Delete|Merge) on ", headline)
    if write:
        return headline[: write.end()].removesuffix(" on ").strip(), headline[write.end() - 3 :]
    custom = re.match(r"Custom Scan \((.+?)\)", headline)
    if custom:
        return custom.group(), headline[custom.end() :]
    bare = re.match(r"(Subquery Scan|Values Scan) (?!on )(.+)$", headline)
    if bare:  # before PostgreSQL 9
        return bare.group(1), f" on {bare.group(2)}"
    found = re.match(r"(.*?)(?: (using|on|Backward)\b(.*))?$", headline)
    assert found is not None
    kind = found.group(1)
    rest = headline[len(kind) :]
    return kind, rest


def _typed(kind: str) -> dict[str, Any]:
    """Return the node type that a text's name stands for."""
    join = _JOINS.match(kind)
    if kind in _AGGREGATES:
        return {"Node Type": "Aggregate", "Strategy": _AGGREGATES[kind], "Partial Mode": "Simple"}
    if join:
        base = join.group(1)
        return {
            "Node Type": base if base == "Nested Loop" else f"{base} Join",
            "Join Type": join.group(2),
        }
    if kind.removeprefix("Foreign ") in _WRITES:
        # What another server is told to write is a scan, by what EXPLAIN's other formats say.
        here = kind in _WRITES
        return {
            "Node Type": "ModifyTable" if here else "Foreign Scan",
            "Operation": kind.removeprefix("Foreign "),
        }
    setop = re.match(r"(Hash)?SetOp(?: (.+))?$", kind)
    if not setop:
        return _plain(kind)
    command = {"Command": setop.group(2)} if setop.group(2) else {}
    return {"Node Type": "SetOp", "Strategy": "Hashed" if setop.group(1) else "Sorted", **command}


def _plain(kind: str) -> dict[str, Any]:
    custom = re.match(r"Custom Scan \((.+)\)$", kind)
    if custom:
        return {"Node Type": "Custom Scan", "Custom Plan Provider": custom.group(1)}
    if kind == "Foreign Scan":
        return {"Node Type": kind, "Operation": "Select"}
    inner = {"Join Type": "Inner"} if kind in {"Hash Join", "Merge Join", "Nested Loop"} else {}
    return {"Node Type": kind, **inner}


def _named(kind: str, rest: str) -> dict[str, Any]:
    """Read direction, index, table and alias."""
    found: dict[str, Any] = {}
    words = rest.strip()
    if words.startswith("Backward"):
        found["Scan Direction"] = "Backward"
        words = words.removeprefix("Backward").strip()
    elif "Index" in kind and kind != "Bitmap Index Scan":
        found["Scan Direction"] = "Forward"
    if words.startswith("using "):
        name, words = _name(words.removeprefix("using "))
        found["Index Name"] = name.rpartition(".")[2] if '"' not in name else name
    if not words.startswith("on "):
        return found
    target = words.removeprefix("on ")
    tokens = tokens_of(target)
    if not tokens:
        return found
    names = [name_of(tokens[0])]
    place = 1
    while place + 1 < len(tokens) and tokens[place].text == ".":
        names.append(name_of(tokens[place + 1]))
        place += 2
    alias = name_of(tokens[place]) if place < len(tokens) and tokens[place].kind == "name" else ""
    return found | _target(kind, names, alias)


def _target(kind: str, names: list[str], alias: str) -> dict[str, Any]:
    name = names[-1]
    schema = {"Schema": names[-2]} if len(names) > 1 else {}
    known = {
        "Bitmap Index Scan": "Index Name",
        "Function Scan": "Function Name",
        "Table Function Scan": "Table Function Name",
        "CTE Scan": "CTE Name",
        "WorkTable Scan": "CTE Name",
        "Named Tuplestore Scan": "Tuplestore Name",
    }
    if kind in known:
        found = {known[kind]: name, **schema}
        return found if kind == "Bitmap Index Scan" else {**found, "Alias": alias or name}
    if kind in {"Subquery Scan", "Values Scan", "Result"}:
        return {"Alias": name}
    return {"Relation Name": name, **schema, "Alias": alias or name}


def _name(text: str) -> tuple[str, str]:
    """Split off a name, quoted or not, and return it with what follows."""
    tokens = tokens_of(text)
    if not tokens:
        return text, ""
    end, name = tokens[0].end, name_of(tokens[0])
    place = 1
    while place + 1 < len(tokens) and tokens[place].text == ".":
        name, end = name_of(tokens[place + 1]), tokens[place + 1].end
        place += 2
    return name, text[end:].strip()
