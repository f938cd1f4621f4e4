"""A plan as a picture: the tree with each node's own time and pages, the baseline's beside it.

One self-contained piece of SVG: no script, no network, light and dark by itself, the same in a notebook and
in a page. Each node is a row, so that forty of them can still be read; what is too long for its row is in
its tooltip.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adx_lab.analysis.plans.captures.compare import describe_change
from adx_lab.report.parts.numbers import number
from adx_lab.report.plans.view import NodeView, cut, node_views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adx_lab.analysis.plans import PlanAnalysis, PlanNode

_ROW, _TOP, _PAD = 30, 58, 14
_TREE, _TIME, _ROWS, _PAGES = 390, 118, 92, 108
_PANEL = _TREE + _TIME + _ROWS + _PAGES
_GAP = 28
_INDENT_MAX, _INDENT_ALL = 18, 170
_CHARACTER = 6.7
_NODES_MAX = 200
_BARS = {"hot": "bh", "warm": "bw", "cool": "bt", "never": "bt"}
_LIGHT = """--p-ink:#20262e;--p-dim:#5b6672;--p-card:#fff;--p-line:#dfe3e8;--p-wire:#aab4bf;--p-time:#9dbbe3;
--p-warm:#f0b65a;--p-hot:#e5705f;--p-page:#b6d8c6;--p-new:#fff3d6;--p-mark:#a02c6d"""
_DARK = """--p-ink:#dde3ea;--p-dim:#9aa6b2;--p-card:#1b2027;--p-line:#313943;--p-wire:#596573;
--p-time:#355c8f;--p-warm:#94651a;--p-hot:#a03e34;--p-page:#2f5f49;--p-new:#3a321d;--p-mark:#f08cc4"""
_RULES = """.adx-plan{margin:0;overflow-x:auto}
.adx-plan svg{font:12px system-ui,sans-serif;background:var(--p-card);border-radius:8px;display:block}
.adx-plan text{fill:var(--p-ink)}.adx-plan .d{fill:var(--p-dim);font-size:10.5px}.adx-plan
.h{font-weight:600} .adx-plan .t{font-size:13px;font-weight:600}.adx-plan
.m{fill:var(--p-mark);font-size:10.5px;font-weight:600} .adx-plan .w{fill:none;stroke:var(--p-wire)}.adx-plan
.l{stroke:var(--p-line)}.adx-plan .n{fill:var(--p-new)} .adx-plan .bt{fill:var(--p-time)}.adx-plan
.bw{fill:var(--p-warm)}.adx-plan .bh{fill:var(--p-hot)} .adx-plan .bp{fill:var(--p-page)}.adx-plan
.e{text-anchor:end}.adx-plan .off{opacity:.5}
.adx-plan .v{fill:none;stroke:var(--p-wire)}.adx-plan .v.g{stroke:var(--p-mark);stroke-width:2}
.adx-plan p{margin:0 0 4px}.adx-plan p,.adx-plan label,.adx-plan summary,.adx-plan pre{color:var(--p-ink);
font:12px system-ui,sans-serif}.adx-plan pre{white-space:pre-wrap;margin:2px 0 6px 18px} .adx-plan
details details{margin-left:14px}.adx-plan:has(.only input:checked) g.cheap{opacity:.15} .adx-plan:has(.only
input:checked) details.cheap{display:none}
"""
# A notebook's page says which theme it has, whatever the system's is; paper is white.
_STYLE = f""".adx-plan{{{_LIGHT}}}
@media screen and (prefers-color-scheme:dark){{.adx-plan{{{_DARK}}}}}
@media screen{{[data-jp-theme-light=true] .adx-plan{{{_LIGHT}}}
[data-jp-theme-light=false] .adx-plan{{{_DARK}}}}}
{_RULES}"""


@dataclass(frozen=True, slots=True, repr=False)
class PlanFigure:
    """A drawn plan; shows itself in a notebook. ``markup`` stands alone or within a page."""

    markup: str

    def html(self) -> str:
        """Return the picture as HTML."""
        return self.markup

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return "<PlanFigure>"


@dataclass(frozen=True, slots=True)
class _Scale:
    """What the longest bars stand for, the same on both sides."""

    ms: float
    pages: int


def plan_figure(
    analysis: PlanAnalysis, baseline: PlanAnalysis | None = None, *, title: str = ""
) -> PlanFigure:
    """Draw a plan, and the baseline's to the left of it, with the nodes marked that only one of the two has.

    Parameters
    ----------
    title
        A line above; what stands there for the query's name and tenant.
    """
    plans = [analysis] if baseline is None else [baseline, analysis]
    scale = _scale(plans)
    names = [""] if baseline is None else ["baseline", "now"]
    pairs = () if baseline is None else counterparts(baseline, analysis)
    alone = [
        frozenset[int]() if baseline is None else _without(plan, {pair[side] for pair in pairs})
        for side, plan in enumerate(plans)
    ]
    width = len(plans) * _PANEL + (len(plans) - 1) * _GAP + 2 * _PAD
    rows = max(min(len(plan.nodes), _NODES_MAX) + (len(plan.nodes) > _NODES_MAX) for plan in plans)
    top = 24 if title else 0
    height = top + _TOP + rows * _ROW + _PAD
    panels = "".join(
        _head(plan, name, _PAD + place * (_PANEL + _GAP), top)
        + _tree(plan, scale, only_here, (_PAD + place * (_PANEL + _GAP), top + _TOP))
        for place, (plan, name, only_here) in enumerate(zip(plans, names, alone, strict=True))
    )
    if baseline is not None:
        panels += _moves(baseline, analysis, pairs, top + _TOP)
    heading = f'<text class="t" x="{_PAD}" y="24">{_text(title, 120)}</text>' if title else ""
    size = f"width:100%;max-width:{width}px;min-width:{width * 2 // 3}px;height:auto"
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" style="{size}" '
        f'role="img" aria-label="{_text(title or "query plan", 120)}">{heading}{panels}</svg>'
    )
    texts = "".join(_full_texts(plan, name) for plan, name in zip(plans, names, strict=True))
    moved = "" if baseline is None else f"<p>{html.escape(describe_change(baseline, analysis))}</p>"
    filtered = '<label class="only"><input type="checkbox"> only the costly path</label>'
    return PlanFigure(
        f'<figure class="adx-plan"><style>{_STYLE}</style>{moved}{filtered}{drawn}{texts}</figure>'
    )


def _scale(plans: Sequence[PlanAnalysis]) -> _Scale:
    nodes = [node for plan in plans for node in plan.nodes]
    return _Scale(
        ms=max([node.self_ms or 0.0 for node in nodes] + [0.0]) or 1.0,
        pages=max([node.self_pages or 0 for node in nodes] + [0]) or 1,
    )


def counterparts(base: PlanAnalysis, now: PlanAnalysis) -> tuple[tuple[int, int], ...]:
    """Return which node of one plan is which of the other: of the same kind and table, in their order."""
    waiting: dict[tuple[Any, ...], list[int]] = {}
    for index, node in enumerate(base.nodes):
        waiting.setdefault(_identity(node), []).append(index)
    found = []
    for index, node in enumerate(now.nodes):
        if same := waiting.get(_identity(node)):
            found.append((same.pop(0), index))
    return tuple(found)


def moved(base: PlanAnalysis, now: PlanAnalysis, pairs: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return the nodes of the plan of now that stand below another node than they did."""
    of_base = dict(pairs)
    above = [(base.nodes[old].parent, now.nodes[new].parent, new) for old, new in pairs]
    return tuple(new for was, is_now, new in above if (None if was is None else of_base.get(was)) != is_now)


def _without(plan: PlanAnalysis, paired: set[int]) -> frozenset[int]:
    """Return the nodes that the other plan has no counterpart of."""
    return frozenset(range(len(plan.nodes))) - paired


def _moves(base: PlanAnalysis, now: PlanAnalysis, pairs: Sequence[tuple[int, int]], first: float) -> str:
    """Draw between the two trees where each node went that stands elsewhere now."""
    left, right = _PAD + _PANEL + 2, _PAD + _PANEL + _GAP - 4
    went = set(moved(base, now, pairs))
    lines = []
    for old, new in pairs:
        if max(old, new) < _NODES_MAX and (old != new or new in went):
            start, end = (first + index * _ROW + _ROW / 2 - 1 for index in (old, new))
            kind = "v g" if new in went else "v"
            curve = f"M{left} {start}C{left + 12} {start} {right - 12} {end} {right} {end}"
            name = f"<title>{_text(now.nodes[new].label, 120)}</title>"
            lines.append(f'<path class="{kind}" d="{curve}">{name}</path>')
    return "".join(lines)


def _identity(node: PlanNode) -> tuple[Any, ...]:
    return (
        node.type,
        node.relation,
        node.index,
        str(node.details.get("Join Type")),
        str(node.details.get("Strategy")),
    )


def _tree(plan: PlanAnalysis, scale: _Scale, only_here: frozenset[int], corner: tuple[float, float]) -> str:
    """Draw the rows of a plan: what marks them, the wires, then the words, so that none covers another."""
    left, first = corner
    shown = node_views(plan)[:_NODES_MAX]
    step = min(_INDENT_MAX, _INDENT_ALL / max(1, *(view.node.depth for view in shown)))
    places = [(left + view.node.depth * step + 2, first + index * _ROW) for index, view in enumerate(shown)]
    parts = [_mark(left, places[index][1]) for index in sorted(only_here) if index < len(shown)]
    parts += [_wire(shown, index, places) for index in range(1, len(shown))]
    parts += [_row(view, scale, place, left) for view, place in zip(shown, places, strict=True)]
    if len(plan.nodes) > _NODES_MAX:
        y = first + len(shown) * _ROW + 18
        parts.append(
            f'<text class="d" x="{left}" y="{y}">and {len(plan.nodes) - _NODES_MAX} more nodes</text>'
        )
    return "".join(parts)


def _mark(left: float, y: float) -> str:
    return f'<rect class="n" x="{left - 4}" y="{y}" width="{_PANEL + 8}" height="{_ROW - 2}" rx="4"/>'


def _head(plan: PlanAnalysis, name: str, left: float, top: float) -> str:
    said = [name] if name else []
    if plan.execution_ms is not None:
        said.append(f"{number(plan.execution_ms)} ms")
    if plan.pages is not None and plan.analysed:
        said.append(f"{plan.pages:,} pages")
    said.append(f"shape {plan.shape}")
    words = f'<text class="h" x="{left}" y="{top + 24}">{_text(" · ".join(said), 80)}</text>'
    titles = [("self time", _TREE + _TIME), ("rows / planned", _TREE + _TIME + _ROWS), ("own pages", _PANEL)]
    heads = "".join(
        f'<text class="d e" x="{left + x - 6}" y="{top + 46}">{text}</text>' for text, x in titles
    )
    line = f'<line class="l" x1="{left}" x2="{left + _PANEL}" y1="{top + 52}" y2="{top + 52}"/>'
    return words + heads + line


def _wire(views: Sequence[NodeView], index: int, places: Sequence[tuple[float, float]]) -> str:
    parent = views[index].node.parent
    assert parent is not None
    (x, y), (to_x, to_y) = places[parent], places[index]
    start = y + (28 if _detail(views[parent])[0] else 17)
    return f'<path class="w" d="M{x + 4:.1f} {start}V{to_y + 8}H{to_x - 3:.1f}"/>'


def _row(view: NodeView, scale: _Scale, place: tuple[float, float], left: float) -> str:
    """Draw a node; its full text is in its title, and below the tree for keyboards and fingers."""
    x, y = place
    room = int((left + _TREE - x - 6) / _CHARACTER)
    words = f'<text class="h" x="{x:.1f}" y="{y + 12}">{_text(f"{view.role}{view.label}", room)}</text>'
    detail, kind = _detail(view)
    if detail:
        words += f'<text class="{kind}" x="{x:.1f}" y="{y + 24}">{_text(detail, int(room * 1.12))}</text>'
    cells = _time(view, scale, (left + _TREE, y)) + _figures(view.node, scale, (left + _TREE + _TIME, y))
    classes = " ".join(
        name for name, on in (("off", view.node.never_executed), ("cheap", not view.costly)) if on
    )
    dim = f' class="{classes}"' if classes else ""
    return f"<g{dim}><title>{html.escape(view.full_text)}</title>{words}{cells}</g>"


def _detail(view: NodeView) -> tuple[str, str]:
    if view.findings:
        return "◆ " + ", ".join(view.findings), "m"
    return (view.conditions[0][1], "d") if view.conditions else ("", "d")


def _time(view: NodeView, scale: _Scale, place: tuple[float, float]) -> str:
    x, y = place
    if view.node.self_ms is None:
        return ""
    own = max(0.0, view.node.self_ms)
    bar = own / scale.ms * (_TIME - 12)
    told = number(own) if own >= 0.001 or own == 0 else "<0.001"
    words = "never" if view.node.never_executed else f"{told} ms · {view.share or 0.0:.0%}"
    return _bar(_BARS[view.heat], x + _TIME, y, bar, words)


def _figures(node: PlanNode, scale: _Scale, place: tuple[float, float]) -> str:
    x, y = place
    rows = "" if node.rows_total is None or node.never_executed else number(node.rows_total)
    planned = "" if node.planned_rows is None else number(node.planned_rows * max(1.0, node.loops or 1.0))
    parts = [f'<text class="e" x="{x + _ROWS - 8}" y="{y + 12}">{rows}</text>']
    parts.append(f'<text class="d e" x="{x + _ROWS - 8}" y="{y + 24}">{planned}</text>')
    if node.self_pages is not None and not node.never_executed:
        bar = node.self_pages / scale.pages * (_PAGES - 12)
        parts.append(_bar("bp", x + _ROWS + _PAGES, y, max(0.0, bar), f"{node.self_pages:,}"))
    return "".join(parts)


def _bar(kind: str, right: float, y: float, length: float, words: str) -> str:
    """Draw a bar that ends at ``right``, and a figure over its end."""
    size = f'x="{right - 6 - length:.1f}" y="{y + 3}" width="{length:.1f}" height="20" rx="2"'
    return f'<rect class="{kind}" {size}/><text class="e" x="{right - 10}" y="{y + 17}">{words}</text>'


def _text(text: str, characters_max: int) -> str:
    return html.escape(cut(text, characters_max))


def _full_text(view: NodeView) -> str:
    kind = "" if view.costly else " class=cheap"
    summary = f"<summary>{_text(view.role + view.label, 160)}</summary>"
    return f"<details{kind}>{summary}<pre>{html.escape(view.full_text)}</pre></details>"


def _full_texts(plan: PlanAnalysis, name: str) -> str:
    """Return every node's full text as a list that keyboards, fingers and screen readers can open."""
    rows = "".join(map(_full_text, node_views(plan)[:_NODES_MAX]))
    said = f"Every node in full{f' ({name})' if name else ''}"
    return f"<details class=all><summary>{html.escape(said)}</summary>{rows}</details>"
