"""Draw the operating curves of docs/method.md: ``python -m adx_lab.conduct.calibration.curves [FOLDER]``.

The history's are drawn with ``--history`` before the folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from adx_lab.analysis.duet.operating import World, operate
from adx_lab.analysis.nights.operating import HistoryWorld, simulate

DEVIATIONS = (0.01, 0.02, 0.03, 0.04, 0.06)
EFFECTS = (0.0, 0.02, 0.04, 0.05, 0.06, 0.08, 0.10, 0.15, 0.20)
_COLOURS = ("#1b6ca8", "#2a9d8f", "#e9a23b", "#d1495b", "#6d597a")
_TRIES = 60
_WIDTH, _HEIGHT, _LEFT, _TOP = 330, 210, 46, 52

_STORES = 20
_DELAYS = tuple(range(2, 21, 2))
_SLOWDOWNS = {"+2%": (0.02, 0.0), "+3%": (0.03, 0.0), "+5%": (0.05, 0.0), "+0.3% a night": (0.0, 0.003)}
_CORRELATIONS = (0.0, 0.3, 0.5, 0.7)
_OF_DUETS = "true slowdown of one endpoint of 41, %, by deviation between blocks"
_OF_NIGHTS = "nights since one endpoint of 42 became slower"

Curve = tuple[str, Sequence[float], Sequence[float]]


def curves(tries: int) -> dict[str, list[Curve]]:
    """Return what is drawn: of each panel the curves, with their names."""
    passes: list[Curve] = []
    found: list[Curve] = []
    seen: list[Curve] = []
    for deviation in DEVIATIONS:
        name = f"{deviation:.0%}"
        judged = [operate(World(deviation, effect), tries=tries, seed=1) for effect in EFFECTS]
        passes.append((name, EFFECTS, [one.passed for one in judged]))
        found.append((name, EFFECTS, [one.found for one in judged]))
        eager = [
            operate(World(deviation, effect), tries=tries, seed=2, matters=0.005, matters_ms=0.0)
            for effect in EFFECTS
        ]
        seen.append((name, EFFECTS, [one.found for one in eager]))
    return {"the verdict passes": passes, "the slowdown is found": found, "found, where 0.5% matters": seen}


def history_curves(stores: int) -> tuple[dict[str, list[Curve]], dict[str, float]]:
    """Return what is drawn of the history, and its false alarms in 1,000 nights."""
    panels: dict[str, list[Curve]] = {}
    for deviation in (0.01, 0.02):
        found: list[Curve] = []
        for name, (effect, creep) in _SLOWDOWNS.items():
            world = HistoryWorld(deviation, effect=effect, creep=creep)
            done = simulate(world, stores=stores, seed=3)
            found.append((name, _DELAYS, [done.found_within(nights) for nights in _DELAYS]))
        panels[f"found, nights that differ by {deviation:.0%}"] = found
    false = {}
    for correlation in _CORRELATIONS:
        still = simulate(HistoryWorld(correlation=correlation), stores=2 * stores, seed=4)
        false[f"correlation {correlation:g}"] = 1_000 * still.false / still.nights
    return panels, false


def draw(panels: dict[str, list[Curve]], words: str) -> str:
    """Return the panels side by side as SVG."""
    width = len(panels) * (_WIDTH + _LEFT + 14)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT + _TOP + 44}"',
        'font-family="sans-serif" font-size="11" fill="#333">',
        f'<rect width="{width}" height="{_HEIGHT + _TOP + 44}" fill="#fff"/>',
    ]
    for place, (title, some) in enumerate(panels.items()):
        parts += _panel(title, some, _LEFT + place * (_WIDTH + _LEFT + 14), words)
    return "\n".join([*parts, "</svg>", ""])


def _panel(title: str, some: Sequence[Curve], left: int, words: str) -> Iterator[str]:
    marks = some[0][1]
    most = max(marks)
    yield f'<text x="{left}" y="18" font-weight="bold">{title} (share)</text>'
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _TOP + _HEIGHT * (1 - share)
        yield f'<path d="M{left} {y:.1f}h{_WIDTH}" stroke="#ddd"/>'
        yield f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{share:g}</text>'
    for mark in marks:
        x, shown = left + _WIDTH * mark / most, mark if most > 1 else 100 * mark
        yield f'<text x="{x:.1f}" y="{_TOP + _HEIGHT + 16}" text-anchor="middle">{shown:g}</text>'
    middle = left + _WIDTH / 2
    yield f'<text x="{middle}" y="{_TOP + _HEIGHT + 34}" text-anchor="middle">{words}</text>'
    for colour, (_, xs, ys) in zip(_COLOURS, some, strict=False):
        points = [(left + _WIDTH * x / most, _TOP + _HEIGHT * (1 - y)) for x, y in zip(xs, ys, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for row, (colour, (name, _, _)) in enumerate(zip(_COLOURS, some, strict=False)):
        x = left + _WIDTH / 5 * row
        yield f'<rect x="{x:.1f}" y="27" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{x + 14:.1f}" y="36">{name}</text>'


def main(arguments: Sequence[str]) -> None:
    """Write the figure, and print the numbers that it shows."""
    history = "--history" in arguments
    folder = Path(next((one for one in arguments if not one.startswith("-")), "docs"))
    told: dict[str, object] = {}
    if history:
        panels, told["false alarms in 1,000 nights"] = history_curves(_STORES)
    else:
        panels = curves(_TRIES)
    name, words = ("history-curves", _OF_NIGHTS) if history else ("operating-curves", _OF_DUETS)
    (folder / f"{name}.svg").write_text(draw(panels, words), encoding="utf-8")
    told |= {title: {name: ys for name, _, ys in some} for title, some in panels.items()}
    sys.stdout.write(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
