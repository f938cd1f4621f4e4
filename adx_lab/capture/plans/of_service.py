"""The plans of a service's statements: the whole matrix where it names its queries, else the dearest ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adx_lab.capture.database.statements import statement_name
from adx_lab.capture.plans.foreign.anywhere import capture_anywhere
from adx_lab.capture.plans.matrix import capture_matrix


async def capture_plans(database_url: str, queries: Path | None) -> dict[str, Any]:
    """Return a matrix of plans; without named queries nothing is executed for it."""
    if queries is not None:
        return await capture_matrix(database_url, queries)
    return _by_text(await capture_anywhere(database_url))


def _by_text(matrix: dict[str, Any]) -> dict[str, Any]:
    """Return the matrix with its statements called by their texts, which two captures have in common."""
    names = {name: statement_name(str(facts["text"])) for name, facts in matrix["queries"].items()}
    renamed = {names[name]: facts for name, facts in matrix["queries"].items()}
    cells = {
        key: [{**cell, "query": names.get(cell["query"], cell["query"])} for cell in matrix[key]]
        for key in ("plans", "faults")
    }
    return matrix | {"queries": renamed} | cells
