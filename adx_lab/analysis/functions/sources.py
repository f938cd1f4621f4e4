"""Whether a function's lines differ between two sources."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["functions_in", "lines_differ"]

_Definition = ast.FunctionDef | ast.AsyncFunctionDef


def lines_differ(name: str, base: str | None, head: str | None) -> bool | None:
    """Tell whether a function differs; comments and blank lines are no difference.

    Parameters
    ----------
    name
        As a sampler calls it: ``handle``, ``Class.method``, ``outer.<locals>.inner``.
    base, head
        The text of its file; None where a variant has none. What is no Python is compared whole.

    Returns
    -------
    bool or None
        None where the function is found in neither.
    """
    if base is None or head is None:
        return None if base is head else True
    old, new = functions_in(base), functions_in(head)
    if old is None or new is None:
        return base != head
    before, after = _of(name, old), _of(name, new)
    if before is None and after is None:
        return None
    return before != after


def functions_in(text: str) -> dict[str, str] | None:
    """Return each function of a Python file by its qualified name, as comparable text; None if it is none."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    found = {name: ast.dump(node) for name, node in _walk(tree, "")}
    rest = [node for node in tree.body if not isinstance(node, _Definition | ast.ClassDef)]
    return found | {"<module>": "".join(ast.dump(node) for node in rest)}


def _walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, _Definition]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _Definition):
            yield f"{prefix}{child.name}", child
            yield from _walk(child, f"{prefix}{child.name}.<locals>.")
        elif isinstance(child, ast.ClassDef):
            yield from _walk(child, f"{prefix}{child.name}.")
        else:
            yield from _walk(child, prefix)


def _of(name: str, functions: dict[str, str]) -> str | None:
    if name in functions:
        return functions[name]
    # A lambda or a comprehension has no definition of its own: it is part of the function around it.
    for end in (".<lambda>", ".<listcomp>", ".<genexpr>", ".<dictcomp>", ".<setcomp>"):
        name = name.removesuffix(end)
    plain = name.removesuffix(".<locals>")
    if plain in functions:
        return functions[plain]
    # Samplers of older Pythons know no classes.
    alike = [
        text for known, text in functions.items() if known.rpartition(".")[2] == plain.rpartition(".")[2]
    ]
    return "".join(alike) or None
