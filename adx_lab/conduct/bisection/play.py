"""Conduct a bisection: servers up, the search over duets, its page."""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adx_lab.analysis.bisection.answer import Answer
from adx_lab.analysis.bisection.search import Design
from adx_lab.conduct.bisection.commits import CORE, Range, read_range
from adx_lab.conduct.bisection.duets import DuetOpponent
from adx_lab.conduct.bisection.find import Bisection
from adx_lab.conduct.duet.order import DuetOrder
from adx_lab.conduct.run.recorded import find_scenario
from adx_lab.errors import UsageError
from adx_lab.progress import Progress
from adx_lab.records.run import new_run_id
from adx_lab.report.bisection.page import write_bisection
from adx_lab.services.servers import servers
from adx_lab.settings import CHECKOUT, Settings
from adx_lab.stack.locks import hold

_RATE_PER_S = 120.0


@dataclass(frozen=True, slots=True)
class BisectOrder:
    """What a bisection is asked to do.

    Attributes
    ----------
    good, bad
        Git refs; the good one is an ancestor of the bad one.
    rate_per_s
        Pairs a second of every duet.
    limit_s
        When to stop at the latest.
    checkout
        The repository.
    paths
        Where the service lies in it.
    """

    good: str
    bad: str
    scenario: str = "mixed"
    rate_per_s: float = _RATE_PER_S
    seconds: float | None = None
    limit_s: float = math.inf
    seed: int = 1
    checkout: Path = CHECKOUT
    paths: Sequence[str] = CORE


@dataclass(frozen=True, slots=True)
class Bisected:
    """The answer, and its page."""

    answer: Answer
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
    searched = await asyncio.to_thread(read_range, order.checkout, order.good, order.bad, paths=order.paths)
    if not any(one.weight > 0 for one in searched.commits):
        raise UsageError(
            f"no commit between {order.good} and {order.bad} changes the service",
            mend="compare the two with a duet; what differs is not in their source",
        )
    scenario = find_scenario(settings, order.scenario)
    duet = DuetOrder(
        searched.good,
        searched.bad,
        scenario=order.scenario,
        rate_per_s=order.rate_per_s,
        seconds=order.seconds,
        profile="quick",
        seed=order.seed,
    )
    bisection_id = new_run_id()
    folder = settings.data_dir / "bisections" / bisection_id
    with (
        hold(settings.data_dir / "duet.lock", what="a duet of this checkout"),
        tempfile.TemporaryDirectory(prefix=".bisect-", dir=settings.data_dir) as scratch,
    ):
        _tell(searched, progress)
        async with servers(settings, progress) as up:
            opponent = DuetOpponent(
                settings,
                duet,
                up,
                scenario.locustfile,
                Path(scratch),
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


def _tell(searched: Range, progress: Progress) -> None:
    count = sum(one.weight > 0 for one in searched.commits)
    merges = sum(len(one.parents) > 1 for one in searched.commits)
    progress.step(
        f"{len(searched.commits)} commits ({merges} merges), of which {count} change the service: "
        f"about {1 + math.ceil(math.log2(max(2, count)))} duets"
    )
