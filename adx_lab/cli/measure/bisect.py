"""``adx-lab bisect GOOD BAD``."""

from __future__ import annotations

import asyncio
import math

from adx_lab.cli.checks import check_positive, check_seed
from adx_lab.cli.console import ConsoleProgress, print_json
from adx_lab.settings import read_settings


def run(
    good: str,
    bad: str = "HEAD",
    /,
    *,
    scenario: str | None = None,
    rate: float | None = None,
    seconds: float | None = None,
    limit: float | None = None,
    seed: int = 1,
    json: bool = False,
) -> int:
    """Find the first commit that is slower than GOOD: duets against those in between.

    Parameters
    ----------
    good
        A git ref that is fast; an ancestor of the bad one.
    bad
        A git ref that is slow.
    scenario
        An open-loop locustfile, by name; left out, the project file's own, or mixed.
    rate
        Pairs of requests a second, in every duet; left out, a short probe finds one.
    seconds
        Of measured load in each block; left out, those of a quick duet.
    limit
        Seconds after which the search stops with what it has.
    seed
        The same seed sends the same schedules.
    json
        Print the answer as one JSON document.
    """
    from adx_lab.conduct.bisection.play import BisectOrder, bisect
    from adx_lab.conduct.run.request import usual_scenario

    check_positive({"--limit": limit, "--rate": rate, "--seconds": seconds})
    check_seed(seed)
    settings = read_settings()
    order = BisectOrder(
        good,
        bad,
        scenario=scenario or usual_scenario(settings),
        rate_per_s=rate,
        seconds=seconds,
        limit_s=math.inf if limit is None else limit,
        seed=seed,
    )
    bisected = asyncio.run(bisect(settings, order, ConsoleProgress()))
    answer = bisected.answer
    if json:
        print_json(answer.to_json() | {"report": str(bisected.page)})
        return answer.exit_code
    if answer.diff:
        print(f"{answer.diff}\n")
    print(f"answer   {answer.sentence}")
    print(f"page     {bisected.page}")
    return answer.exit_code
