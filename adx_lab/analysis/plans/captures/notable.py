"""What of a capture deserves a look: the one list that every table, page and terminal shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adx_lab.analysis.plans.captures.flips import find_flips, find_ties
from adx_lab.analysis.plans.captures.tried import key_of, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adx_lab.analysis.plans.captures.flips import Flip
    from adx_lab.analysis.plans.captures.matrix import Matrix

FLIP_PAGES_MIN = 10
"""A flip that costs fewer pages is told by the matrix alone."""
TIE_WORDS = "slightly different costs, or the next ANALYZE, would turn this plan over"


@dataclass(frozen=True, slots=True)
class Notable:
    """One thing about the plans of a query; ``tenants`` are whom it concerns."""

    query: str
    tenants: tuple[str, ...]
    mode: str
    kind: str
    words: str
    mend: str = ""


def notables(matrix: Matrix) -> tuple[Notable, ...]:
    """Return the findings of single plans, flips between plan modes, and ties; each once for its tenants."""
    merged: dict[tuple[str, str, str, str], Notable] = {}
    for item in (*_findings(matrix), *_flips(matrix), *_ties(matrix)):
        key = (item.query, item.kind, item.words, item.mend)
        before = merged.get(key)
        tenants = dict.fromkeys((*(before.tenants if before else ()), *item.tenants))
        merged[key] = Notable(
            item.query, tuple(tenants), before.mode if before else item.mode, *key[1:3], item.mend
        )
    return tuple(merged.values())


def matters(flip: Flip) -> bool:
    """Tell whether a flip is told: a connection settles on it, and it costs pages or was never measured."""
    measured = flip.custom.analysis.analysed and flip.generic.analysis.analysed
    return bool(flip.settled_by) and (not measured or abs(flip.pages_more) >= FLIP_PAGES_MIN)


def _findings(matrix: Matrix) -> Iterator[Notable]:
    for cell in matrix.cells.values():
        for finding in cell.analysis.findings:
            trial = matrix.tried.get(key_of(cell.query, finding.evidence.get("indexes", ())))
            mend = words_of(trial, finding.mend)
            yield Notable(cell.query, (cell.tenant,), cell.mode, finding.kind, finding.reason, mend)


def _flips(matrix: Matrix) -> Iterator[Notable]:
    for flip in find_flips(matrix):
        if matters(flip):
            yield Notable(flip.query, (flip.tenant,), "generic", "flip", flip.words)


def _ties(matrix: Matrix) -> Iterator[Notable]:
    for tie in find_ties(matrix):
        yield Notable(tie.query, (tie.tenant,), tie.mode, "tie", TIE_WORDS)
