"""Draw the operating curves of docs/method.md: ``python -m adx_lab.conduct.calibration.curves [FOLDER]``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from adx_lab.analysis.duet.operating import World, operate

DEVIATIONS = (0.01, 0.02, 0.03, 0.04, 0.06)
EFFECTS = (0.0, 0.02, 0.04, 0.05, 0.06, 0.08, 0.10, 0.15, 0.20)
_COLOURS = ("#1b6ca8", "#2a9d8f", "#e9a23b", "#d1495b", "#6d597a")
_TRIES = 60
_WIDTH, _HEIGHT, _LEFT, _TOP = 330, 210, 46, 34

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


def draw(panels: dict[str, list[Curve]]) -> str:
    """Return the panels side by side as SVG."""
    width = len(panels) * (_WIDTH + _LEFT + 14)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT + _TOP + 44}"',
        'font-family="sans-serif" font-size="11" fill="#333">',
        f'<rect width="{width}" height="{_HEIGHT + _TOP + 44}" fill="#fff"/>',
    ]
    for place, (title, some) in enumerate(panels.items()):
        parts += _panel(title, some, _LEFT + place * (_WIDTH + _LEFT + 14))
    return "\n".join([*parts, "</svg>", ""])


def _panel(title: str, some: Sequence[Curve], left: int) -> Iterator[str]:
    most = max(EFFECTS)
    yield f'<text x="{left}" y="18" font-weight="bold">{title}, share of duets</text>'
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _TOP + _HEIGHT * (1 - share)
        yield f'<path d="M{left} {y:.1f}h{_WIDTH}" stroke="#ddd"/>'
        yield f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{share:g}</text>'
    for effect in EFFECTS:
        x = left + _WIDTH * effect / most
        yield f'<text x="{x:.1f}" y="{_TOP + _HEIGHT + 16}" text-anchor="middle">{100 * effect:g}</text>'
    middle = left + _WIDTH / 2
    words = "true slowdown of one endpoint of 41, % (deviation between blocks as marked)"
    yield f'<text x="{middle}" y="{_TOP + _HEIGHT + 34}" text-anchor="middle">{words}</text>'
    for colour, (_, xs, ys) in zip(_COLOURS, some, strict=True):
        points = [(left + _WIDTH * x / most, _TOP + _HEIGHT * (1 - y)) for x, y in zip(xs, ys, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for row, (colour, (name, _, _)) in enumerate(zip(_COLOURS, some, strict=True)):
        y = _TOP + 50 + 15 * row
        yield f'<rect x="{left + _WIDTH - 42}" y="{y - 9}" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{left + _WIDTH - 28}" y="{y}">{name}</text>'


def main(folder: Path) -> None:
    """Write the figure, and print the numbers that it shows."""
    panels = curves(_TRIES)
    (folder / "operating-curves.svg").write_text(draw(panels), encoding="utf-8")
    told = {title: {name: ys for name, _, ys in some} for title, some in panels.items()}
    sys.stdout.write(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
