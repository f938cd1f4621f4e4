"""The plans of a service's statements: the whole matrix where it names its queries, else the dearest ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adx_lab.capture.plans.anywhere import capture_anywhere
from adx_lab.capture.plans.matrix import capture_matrix


async def capture_plans(database_url: str, queries: Path | None) -> dict[str, Any]:
    """Return a matrix of plans; without named queries nothing is executed for it."""
    if queries is not None:
        return await capture_matrix(database_url, queries)
    return await capture_anywhere(database_url)
