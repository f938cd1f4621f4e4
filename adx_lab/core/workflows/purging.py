"""Purging: sessions and runs that are over are deleted, or their tables would grow with every login and run.

A session's refresh tokens go with it; until then used ones stay, since one that comes back was stolen.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dbos import DBOS

if TYPE_CHECKING:
    from adx_lab.core.service import Service

ROWS_A_STEP = 200
"""So few that the statement keeps the budget of a query, and no login waits for its locks."""


async def purge_sessions(service: Service) -> int:
    """Delete some of the sessions that are over, the longest first; return how many there were."""
    rows = await service.db.fetch("purging.sessions", ROWS_A_STEP, timing=None)
    return int(rows[0]["sessions"])


async def purge_runs(service: Service) -> int:
    """Delete some of the runs that were over long ago; return how many there were."""
    kept_s = service.settings.keep_runs_s
    return int(await service.db.value("purging.runs", kept_s, ROWS_A_STEP, timing=None))


async def purge_history(service: Service) -> int:
    """Delete the checkpoints of some workflows that were over long ago; return of how many."""
    before = datetime.now(UTC) - timedelta(seconds=service.settings.keep_runs_s)
    over = await DBOS.list_workflows_async(
        status=["SUCCESS", "ERROR", "CANCELLED"], completed_before=before.isoformat(), limit=ROWS_A_STEP,
        load_input=False, load_output=False,
    )  # fmt: skip
    if over:
        await DBOS.delete_workflows_async([one.workflow_id for one in over])
    return len(over)
