"""What changed between two captures of plans, in words.

Gated are shape, pages and temporary files, which repeat themselves; never one execution's time, which does
not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from adx_lab.analysis.plans.captures.matrix import for_whom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adx_lab.analysis.plans.captures.matrix import Key, Matrix, PlanCell
    from adx_lab.analysis.plans.records import PlanAnalysis, PlanNode

_PAGES_RATIO, _PAGES_MIN = 1.25, 16
_TEMP_MIN = 8
_COST_RATIO, _COST_MIN = 1.5, 100.0
_ESTIMATE_RATIO = 10.0
_JOINS = frozenset({"Nested Loop", "Hash Join", "Merge Join"})
_NOTED = frozenset(
    {"Sort", "Incremental Sort", "Aggregate", "Materialize", "Memoize", "Gather", "Gather Merge", "Limit"}
)

Kind = Literal["shape", "pages", "temp", "estimate", "cost"]


@dataclass(frozen=True, slots=True)
class PlanChange:
    """One query that is executed differently, for one kind of tenant in one plan mode.

    ``kinds`` are what differs; ``worse`` says that it costs more pages or temporary files; ``tie`` that the
    baseline or the head told the other shape as a near miss, so that no cause need be looked for.
    """

    query: str
    tenant: str
    mode: str
    kinds: tuple[Kind, ...]
    words: str
    worse: bool
    tie: bool
    pages_base: int | None
    pages_head: int | None
    temp_base: int | None
    temp_head: int | None
    label: str = ""
    """What people call the query: its name, or the text of a statement that has none."""
    base_query: str = ""
    """What it is in the baseline, where its text was another and only its name is the same."""

    @property
    def key(self) -> Key:
        """The cell of the head's matrix."""
        return self.query, self.tenant, self.mode

    @property
    def base_key(self) -> Key:
        """The cell of the baseline's matrix."""
        return self.base_query or self.query, self.tenant, self.mode


def compare_matrices(base: Matrix, head: Matrix) -> tuple[PlanChange, ...]:
    """Return what changed in the cells that both captures have, the costliest first.

    A statement whose text was changed is known again by the name in its comment.
    """
    rewritten = _rewritten(base, head)
    changes = []
    for key, cell in head.cells.items():
        base_query = rewritten.get(cell.query, cell.query)
        before = base.cells.get((base_query, cell.tenant, cell.mode))
        change = None if before is None else compare_cells(before, cell)
        if change is not None:
            changes.append(replace(change, label=head.label(key[0]), base_query=base_query))
    return tuple(sorted(changes, key=lambda change: (change.pages_base or 0) - (change.pages_head or 0)))


def _rewritten(base: Matrix, head: Matrix) -> dict[str, str]:
    """Return which statement of the baseline each new one of the head was, by their names."""
    before = {name: str(query.get("label") or "") for name, query in base.queries.items()}
    come = {name: str(query.get("label") or "") for name, query in head.queries.items() if name not in before}
    alone = {label for label in come.values() if [*before.values()].count(label) == 1}
    alone -= {label for label in alone if not label or [*come.values()].count(label) > 1}
    named = {label: name for name, label in before.items()}
    return {name: named[label] for name, label in come.items() if label in alone}


def compare_cells(base: PlanCell, head: PlanCell) -> PlanChange | None:
    """Return what changed for one query and tenant, or None."""
    kinds = tuple(_kinds(base.analysis, head.analysis))
    if not kinds:
        return None
    costs_more = (
        _grew(base.analysis.pages, head.analysis.pages)
        or _spills_more(base.analysis, head.analysis)
        or _dearer(base.analysis, head.analysis)
    )
    return PlanChange(
        query=head.query,
        tenant=head.tenant,
        mode=head.mode,
        kinds=kinds,
        words=f"{describe_change(base.analysis, head.analysis)} for {for_whom(head.tenant)}",
        worse=costs_more,
        tie=head.analysis.shape in base.near or base.analysis.shape in head.near,
        pages_base=base.analysis.pages,
        pages_head=head.analysis.pages,
        temp_base=base.analysis.root.temp_written,
        temp_head=head.analysis.root.temp_written,
    )


def describe_change(base: PlanAnalysis, head: PlanAnalysis) -> str:
    """Return in words how one plan became the other, and what that did to the pages."""
    told = list(_changed_accesses(base, head)) + list(_changed_work(base, head))
    if not told and base.shape != head.shape:
        told = ["the same steps in another order"]
    figures = []
    if base.pages is not None and head.pages is not None:
        figures.append(f"{base.pages:,} -> {head.pages:,} pages")
    if not (base.analysed and head.analysed):
        figures.append(f"cost {base.root.cost or 0.0:,.0f} -> {head.root.cost or 0.0:,.0f}")
    written = base.root.temp_written or 0, head.root.temp_written or 0
    if max(written) >= _TEMP_MIN:
        figures.append(f"{written[0]:,} -> {written[1]:,} temporary pages written")
    return ": ".join(part for part in ("; ".join(told) or "the same plan", ", ".join(figures)) if part)


def _kinds(base: PlanAnalysis, head: PlanAnalysis) -> Iterator[Kind]:
    if base.shape != head.shape:
        yield "shape"
    if _grew(base.pages, head.pages) or _grew(head.pages, base.pages):
        yield "pages"
    if _spills_more(base, head) or _spills_more(head, base):
        yield "temp"
    if _dearer(base, head) or _dearer(head, base):
        yield "cost"
    if base.shape == head.shape and _estimates_moved(base, head):
        yield "estimate"


def _dearer(before: PlanAnalysis, after: PlanAnalysis) -> bool:
    """Tell whether a plan that was not executed is thought to cost notably more; one that was has pages."""
    if before.analysed and after.analysed:
        return False
    was, now = before.root.cost or 0.0, after.root.cost or 0.0
    return now >= was * _COST_RATIO and now - was >= _COST_MIN


def _grew(before: int | None, after: int | None) -> bool:
    if before is None or after is None:
        return False
    return after >= before * _PAGES_RATIO and after - before >= _PAGES_MIN


def _spills_more(before: PlanAnalysis, after: PlanAnalysis) -> bool:
    was, now = before.root.temp_written or 0, after.root.temp_written or 0
    return now >= was * _PAGES_RATIO and now - was >= _TEMP_MIN


def _estimates_moved(base: PlanAnalysis, head: PlanAnalysis) -> bool:
    """Tell whether a node of the same plan is now estimated far from what comes, and was not before."""
    for old, new in zip(base.nodes, head.nodes, strict=True):
        if old.estimate_factor is None or new.estimate_factor is None:
            continue
        off = max(new.estimate_factor, 1 / new.estimate_factor)
        was = max(old.estimate_factor, 1 / old.estimate_factor)
        many = max(new.rows or 0.0, new.planned_rows or 0.0) >= 500
        if many and off >= _ESTIMATE_RATIO and off >= was * _ESTIMATE_RATIO:
            return True
    return False


def _changed_accesses(base: PlanAnalysis, head: PlanAnalysis) -> Iterator[str]:
    """Yield how tables are read differently; the n-th access of a table is held against the n-th."""
    old, new = _accesses(base), _accesses(head)
    for relation in dict.fromkeys([*old, *new]):
        before, after = old.get(relation, []), new.get(relation, [])
        gone, come = Counter(before) - Counter(after), Counter(after) - Counter(before)
        left, right = list(gone.elements()), list(come.elements())
        for was, now in zip(left, right, strict=False):
            yield f"{was} became {now}"
        for was in left[len(right) :]:
            yield f"{was} is gone"
        for now in right[len(left) :]:
            yield f"{now} was added"


def _accesses(analysis: PlanAnalysis) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for index, node in enumerate(analysis.nodes):
        if node.relation is not None and node.type != "Bitmap Index Scan":
            found.setdefault(node.relation, []).append(_access(analysis, index, node))
    return found


def _access(analysis: PlanAnalysis, index: int, node: PlanNode) -> str:
    kind = f"Parallel {node.type}" if node.details.get("Parallel Aware") is True else node.type
    if node.type == "ModifyTable":
        kind = str(node.details.get("Operation", node.type))
    indexes = [node.index] if node.index else _bitmap_indexes(analysis, index)
    using = f" using {' and '.join(indexes)}" if indexes else ""
    return f"{kind}{using} on {node.relation}"


def _bitmap_indexes(analysis: PlanAnalysis, index: int) -> list[str]:
    if analysis.nodes[index].type != "Bitmap Heap Scan":
        return []
    path = analysis.nodes[index].path + "."
    below = (node for node in analysis.nodes[index:] if node.path.startswith(path))
    return [node.index for node in below if node.type == "Bitmap Index Scan" and node.index]


def _changed_work(base: PlanAnalysis, head: PlanAnalysis) -> Iterator[str]:
    """Yield what joins, sorts and the like came or went."""
    old, new = (Counter(_works(analysis)) for analysis in (base, head))
    gone, come = list((old - new).elements()), list((new - old).elements())
    joins_gone = [name for name in gone if name in _JOINS]
    joins_come = [name for name in come if name in _JOINS]
    for was, now in zip(joins_gone, joins_come, strict=False):
        yield f"{was} became {now}"
        gone.remove(was)
        come.remove(now)
    for name in dict.fromkeys(gone):
        yield f"{name} is gone"
    for name in dict.fromkeys(come):
        yield f"{name} was added"


def _works(analysis: PlanAnalysis) -> Iterator[str]:
    for node in analysis.nodes:
        if node.type in _JOINS | _NOTED:
            strategy = node.details.get("Strategy")
            yield f"{strategy} {node.type}" if node.type == "Aggregate" and strategy != "Plain" else node.type
