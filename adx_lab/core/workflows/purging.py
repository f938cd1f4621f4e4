"""Purging: sessions that are over are deleted, or the table and its indexes would grow with every login.

A session's refresh tokens go with it; until then used ones stay, since one that comes back was stolen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adx_lab.core.service import Service

SESSIONS_A_STEP = 200
"""So few that the statement keeps the budget of a query, and no login waits for its locks."""


async def purge_sessions(service: Service) -> int:
    """Delete some of the sessions that are over, the longest first; return how many there were."""
    rows = await service.db.fetch("purging.sessions", SESSIONS_A_STEP, timing=None)
    return int(rows[0]["sessions"])
