"""A home and its team: what is stored here is put up, and what a night is compared with stays there, too."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from adx_lab.conduct.baseline import baseline_commits
from adx_lab.errors import StoreError
from adx_lab.progress import Progress
from adx_lab.settings import Settings
from adx_lab.store.shared import SharedRuns, home_name, owed, require_shared


async def put_up(settings: Settings, progress: Progress) -> None:
    """Put into the team's store what is owed to it; what can't be put there stays, and a line says so."""
    try:
        done = await push(settings, owed(settings))
    except StoreError as error:
        waiting = len(owed(settings))
        progress.step(f"{waiting} stored run{'s' if waiting > 1 else ''} could not be put up: {error}")
        return
    if done:
        progress.step(f"put up: {', '.join(done)}")


async def push(settings: Settings, run_ids: Sequence[str]) -> list[str]:
    """Put runs into the team's store, oldest first, and return them.

    Raises
    ------
    UsageError
        No such store is named.
    StoreError
        It can't be used; what was put up before stays there.
    """
    if not run_ids:
        return []
    shared = require_shared(settings)
    await asyncio.to_thread(tell_baselines, settings, shared)
    for run_id in run_ids:
        await shared.put(settings.runs_dir / run_id)
    return list(run_ids)


def tell_baselines(settings: Settings, shared: SharedRuns) -> None:
    """Tell the team's store which runs stay for this home's sake; it also shows that one may write there."""
    shared.put_baselines(home_name(settings), baseline_commits(settings))
