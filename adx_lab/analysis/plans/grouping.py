"""Many plans of one log, put together by statement and shape, the costliest first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adx_lab.analysis.plans.records import PlanAnalysis

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
    worst: PlanAnalysis

    @property
    def worst_ms(self) -> float:
        """How long the slowest took."""
        return spent_ms(self.worst)


def group_plans(analyses: Sequence[PlanAnalysis]) -> tuple[PlanGroup, ...]:
    """Group plans by statement (without its constants) and shape, those that took most time in all first."""
    members: dict[tuple[str, str], list[PlanAnalysis]] = {}
    for analysis in analyses:
        members.setdefault((statement_of(analysis), analysis.shape), []).append(analysis)
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
    return tuple(sorted(groups, key=lambda group: (-group.total_ms, -(group.worst.root.cost or 0.0))))


def statement_of(analysis: PlanAnalysis) -> str:
    """Return a plan's statement without constants, or what its query id is, or empty."""
    if analysis.query_text:
        text = _VALUES.sub("?", _COMMENTS.sub(" ", analysis.query_text))
        return " ".join(_LISTS.sub("(?)", text).split()).rstrip("; ")
    return f"query {analysis.query_id}" if analysis.query_id is not None else ""


def spent_ms(analysis: PlanAnalysis) -> float:
    """Return what an execution took; 0 where that isn't known."""
    return analysis.execution_ms or analysis.root.inclusive_ms or 0.0
