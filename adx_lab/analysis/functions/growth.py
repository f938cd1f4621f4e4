"""Which lines keep more and more memory: allocations by place, before and after many requests."""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adx_lab.analysis.finding import Finding
from adx_lab.analysis.functions.stacks import relative

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["GROWTH", "Growth", "Place", "function_at", "grown", "growth_by_function", "growth_findings"]

Place = tuple[tuple[str, int], ...]
"""File and line of each frame, the outermost first."""

GROWTH = "growth"
"""What the first block's companions keep of head."""

SMALLEST_BYTES = 100.0
"""A request: less is what any cache or counter keeps."""

_MOST = 3


@dataclass(frozen=True)
class Growth:
    """What one line of the service keeps of each request.

    Attributes
    ----------
    endpoint, file, function : str
    line : int
    base_bytes, head_bytes : float
        A request.
    """

    endpoint: str
    file: str
    line: int
    function: str
    base_bytes: float
    head_bytes: float

    @property
    def change_bytes(self) -> float:
        """Head less base."""
        return self.head_bytes - self.base_bytes


def growth_by_function(
    before: Mapping[Place, int],
    after: Mapping[Place, int],
    *,
    root: str,
    text: Callable[[str], str | None],
    requests: int,
) -> dict[tuple[str, str], dict[int, float]]:
    """Return the bytes a request that each function of the service keeps, by its lines.

    What a library allocates is charged to the line of the service that called it.

    Parameters
    ----------
    before, after
        Bytes that were allocated, by place.
    root
        The folder of the service's source.
    text
        Returns a file of it.
    requests
        How many were answered in between.
    """
    found: dict[tuple[str, str], dict[int, float]] = defaultdict(lambda: defaultdict(float))
    known: dict[tuple[str, int], str] = {}
    for place in before.keys() | after.keys():
        own = [(file, line) for name, line in place if (file := relative(name, root)) is not None]
        if own:
            file, line = own[-1]
            if own[-1] not in known:
                known[own[-1]] = function_at(text(file), line)
            kept = (after.get(place, 0) - before.get(place, 0)) / max(1, requests)
            found[file, known[file, line]][line] += kept
    return found


def grown(
    endpoint: str,
    base: Mapping[tuple[str, str], Mapping[int, float]],
    head: Mapping[tuple[str, str], Mapping[int, float]],
) -> Iterator[Growth]:
    """Yield each function with what it keeps under both variants, and the line that keeps most."""
    for (file, function), lines in head.items():
        before = sum(base.get((file, function), {}).values())
        worst = max(lines, key=lambda line: lines[line])
        yield Growth(endpoint, file, worst, function, before, sum(lines.values()))


def function_at(text: str | None, line: int) -> str:
    """Return the innermost function that holds a line of a Python file; empty where none does."""
    try:
        tree = ast.parse(text or "")
    except (SyntaxError, ValueError):
        return ""
    found, narrowest = "", None
    for node, name in _named(tree, ""):
        end = node.end_lineno or node.lineno
        if node.lineno <= line <= end and (narrowest is None or end - node.lineno <= narrowest):
            found, narrowest = name, end - node.lineno
    return found


def _named(node: ast.AST, prefix: str) -> Sequence[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    found: list[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str]] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append((child, f"{prefix}{child.name}"))
            found += _named(child, f"{prefix}{child.name}.<locals>.")
        else:
            found += _named(child, f"{prefix}{child.name}." if isinstance(child, ast.ClassDef) else prefix)
    return found


def growth_findings(found: Sequence[Growth]) -> tuple[Finding, ...]:
    """Return the lines whose memory grows more with each request under head, the worst first."""
    worst = [one for one in found if one.change_bytes >= SMALLEST_BYTES]
    worst.sort(key=lambda one: -one.change_bytes)
    return tuple(_finding(one) for one in worst[:_MOST])


def _finding(one: Growth) -> Finding:
    where = f"{one.file}:{one.line}"
    return Finding(
        "memory-growth",
        one.function or where,
        f"line {where}{f' in {one.function}' if one.function else ''} keeps {one.head_bytes:,.0f} bytes of "
        f"each {one.endpoint or 'request'}, {one.base_bytes:,.0f} before",
        {
            "function": one.function,
            "file": one.file,
            "line": one.line,
            "base_bytes_per_request": one.base_bytes,
            "head_bytes_per_request": one.head_bytes,
        },
        endpoints=(one.endpoint,) if one.endpoint else (),
    )
