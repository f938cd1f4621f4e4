"""Many plans of one log, put together by statement and shape, the costliest first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from adx_lab.analysis.plans.shape import shape_of
from adx_lab.analysis.plans.times.certificate import execution_of
from adx_lab.analysis.plans.tree import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adx_lab.analysis.plans.records import PlanDocument

_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_VALUES = re.compile(r"'(?:[^']|'')*'|\$\d+|\b\d+(?:\.\d+)?\b")
_LISTS = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")


@dataclass(frozen=True, slots=True)
class PlanGroup:
    """Executions of one statement with one shape; ``worst`` is the slowest of them."""

    statement: str
    shape: str
    times: int
    total_ms: float
    worst: PlanDocument

    @property
    def worst_ms(self) -> float:
        """How long the slowest took."""
        return spent_ms(self.worst)


def group_plans(documents: Sequence[PlanDocument]) -> tuple[PlanGroup, ...]:
    """Group plans by statement (without its constants) and shape, those that took most time in all first.

    None is analysed for it: a log holds thousands, and a few of them are looked at.
    """
    members: dict[tuple[str, str], list[PlanDocument]] = {}
    for document in documents:
        members.setdefault((statement_of(document), shape_of(document.root)), []).append(document)
    groups = [
        PlanGroup(
            statement=statement,
            shape=shape,
            times=len(found),
            total_ms=sum(map(spent_ms, found)),
            worst=max(found, key=spent_ms),
        )
        for (statement, shape), found in members.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.total_ms, -_cost(group.worst))))


def statement_of(document: PlanDocument) -> str:
    """Return a plan's statement without constants, or what its query id is, or empty."""
    if document.query_text:
        return _without_constants(document.query_text)
    identifier = document.body.get("Query Identifier")
    return f"query {identifier}" if isinstance(identifier, int) else ""


@lru_cache(maxsize=256)
def _without_constants(query: str) -> str:
    text = _VALUES.sub("?", _COMMENTS.sub(" ", query))
    return " ".join(_LISTS.sub("(?)", text).split()).rstrip("; ")


def spent_ms(document: PlanDocument) -> float:
    """Return what an execution took; 0 where that isn't known."""
    root = document.root
    in_root = (number(root, "Actual Total Time") or 0.0) * (number(root, "Actual Loops") or 1.0)
    return execution_of(document)[0] or in_root


def _cost(document: PlanDocument) -> float:
    return number(document.root, "Total Cost") or 0.0
