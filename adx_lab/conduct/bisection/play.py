"""Conduct a bisection: servers up, the search over duets, its page."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path

from adx_lab.analysis.bisection.answer import Culprit
from adx_lab.analysis.bisection.search import Design
from adx_lab.conduct.bisection.duets import DuetOpponent
from adx_lab.conduct.bisection.find import Bisection
from adx_lab.conduct.duet.order import DuetOrder
from adx_lab.conduct.run.request import find_scenario, usual_scenario
from adx_lab.errors import UsageError
from adx_lab.files import scratch
from adx_lab.progress import Progress
from adx_lab.records.run import new_run_id
from adx_lab.report.bisection.page import write_bisection
from adx_lab.services.history.commits import Range, read_range
from adx_lab.services.servers import servers
from adx_lab.services.sources import LOCKS, working_tree
from adx_lab.settings import Settings
from adx_lab.stack.locks import hold


@dataclass(frozen=True, slots=True)
class BisectOrder:
    """What a bisection is asked to do.

    Attributes
    ----------
    good, bad
        Git refs; the good one is an ancestor of the bad one.
    scenario
        An open-loop locustfile; None is the service's usual one.
    rate_per_s
        Pairs a second of every duet; None finds it by a short probe.
    limit_s
        When to stop at the latest.
    """

    good: str
    bad: str
    scenario: str | None = None
    rate_per_s: float | None = None
    seconds: float | None = None
    limit_s: float = math.inf
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Bisected:
    """The answer, and its page."""

    answer: Culprit
    page: Path


async def bisect(settings: Settings, order: BisectOrder, progress: Progress) -> Bisected:
    """Look for the first slow commit.

    Raises
    ------
    UsageError
        A ref, the scenario or a number is wrong, or nothing between the two changes the service.
    BusyError
        A duet of this checkout is being played.
    StackError
        The good or the bad commit does not start.
    """
    searched = await asyncio.to_thread(
        read_range, settings.source_dir, order.good, order.bad, paths=places_of(settings)
    )
    if not any(one.weight > 0 for one in searched.commits):
        raise UsageError(
            f"no commit between {order.good} and {order.bad} changes the service",
            mend="compare the two with a duet; what differs is not in their source",
        )
    name = order.scenario or usual_scenario(settings)
    scenario = find_scenario(settings, name)
    duet = DuetOrder(
        searched.good,
        searched.bad,
        scenario=name,
        rate_per_s=order.rate_per_s,
        seconds=order.seconds,
        profile="quick",
        seed=order.seed,
    )
    bisection_id = new_run_id()
    folder = settings.data_dir / "bisections" / bisection_id
    with (
        hold(settings.data_dir / "duet.lock", what="a duet of this checkout"),
        scratch(settings.data_dir, "bisect") as folder_of_blocks,
    ):
        _tell(searched, progress)
        async with servers(settings, progress) as up:
            opponent = DuetOpponent(
                settings,
                duet,
                up,
                scenario.locustfile,
                folder_of_blocks,
                order.rate_per_s,
                bisection_id.rpartition("-")[2],
                progress,
            )
            search = Bisection(
                bisection_id,
                searched,
                opponent,
                progress,
                Design(),
                keep=lambda answer: write_bisection(folder, answer),
                limit_s=order.limit_s,
            )
            answer = await search.run()
    write_bisection(folder, answer)
    return Bisected(answer, folder / "index.html")


async def bisect_night(settings: Settings, good: str, progress: Progress) -> Bisected | None:
    """Look for the commit that made the working tree slower than a good one, after a night has said so.

    Returns
    -------
    Bisected or None
        None where the time for it is 0, where only one commit could be it, or where the working tree has
        changes that no commit holds.
    """
    limit_s, start = settings.night.bisect_s, settings.service.start
    if limit_s <= 0 or working_tree(settings.source_dir, start).changed:
        return None
    try:
        searched = await asyncio.to_thread(
            read_range, settings.source_dir, good, "HEAD", paths=places_of(settings)
        )
    except UsageError as error:
        progress.step(f"no commit is looked for: {error.message}")
        return None
    if sum(one.weight > 0 for one in searched.commits) < 2:
        return None
    return await bisect(
        settings, BisectOrder(good, "HEAD", scenario=usual_scenario(settings), limit_s=limit_s), progress
    )


def places_of(settings: Settings) -> tuple[str, ...]:
    """Return where the service lies in its repository: all of it, where its project file names nothing."""
    start = settings.service.start
    return tuple(dict.fromkeys((*(start.identity or start.paths), *LOCKS))) if start.paths else (".",)


def _tell(searched: Range, progress: Progress) -> None:
    count = sum(one.weight > 0 for one in searched.commits)
    merges = sum(len(one.parents) > 1 for one in searched.commits)
    progress.step(
        f"{len(searched.commits)} commits ({merges} merges), of which {count} change the service: "
        f"about {1 + math.ceil(math.log2(max(2, count)))} duets"
    )
