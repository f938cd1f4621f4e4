"""``adx-lab duet BASE HEAD``."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter

from adx_lab.cli.checks import check_positive, check_seed, check_variant
from adx_lab.cli.console import WatchedProgress, print_json, watching
from adx_lab.settings import read_settings


def run(
    base: str,
    head: str,
    /,
    *,
    scenario: str | None = None,
    rate: float | None = None,
    blocks: int | None = None,
    seconds: float | None = None,
    warmup: float | None = None,
    profile: str = "nightly",
    functions: bool | None = None,
    seed: int = 1,
    watch: Annotated[bool, Parameter(name="--page", negative=())] = False,
    json: bool = False,
) -> int:
    """Compare two variants: both up at once, the same requests to both.

    Parameters
    ----------
    base
        What is compared with: a git ref, ``.`` for the working tree, a URL; with settings as in
        ``.+cache.l1=off`` or ``HEAD+pool.max=5``.
    head
        What is judged, in the same words.
    scenario
        An open-loop locustfile, by name; left out, the project file's own, or mixed.
    rate
        Pairs of requests a second; left out, a short probe finds one.
    blocks
        At most so many blocks; left out, the profile's.
    seconds
        Of measured load in each block; left out, the profile's.
    warmup
        Seconds of load before it that are thrown away; left out, the profile's.
    profile
        ``quick``: 10 blocks, and 18 where those do not decide it. ``nightly``: 12, longer ones, and 16 where
        those do not decide it.
    functions
        Sample what each function of both variants computes, in blocks of their own after all that is timed;
        left out, where something became slower.
    seed
        The same seed sends the same schedules.
    watch
        Make a page that shows how it stands while it is played, and say where it is.
    json
        Print the verdict as one JSON document.
    """
    check_positive({"--rate": rate, "--seconds": seconds})
    check_positive({"--warmup": warmup}, least=0)
    check_seed(seed)
    for text in (base, head):
        check_variant(text)
    from adx_lab.cli.duet_text import print_duet
    from adx_lab.conduct.duet.order import DuetOrder
    from adx_lab.conduct.duet.play import play
    from adx_lab.conduct.nights import pages
    from adx_lab.conduct.run.request import usual_scenario

    settings = read_settings()
    order = DuetOrder(
        base,
        head,
        scenario=scenario or usual_scenario(settings),
        rate_per_s=rate,
        blocks=blocks,
        seconds=seconds,
        warmup_s=warmup,
        profile=profile,
        functions=functions,
        seed=seed,
    )
    progress = watching(settings, f"Duet of {base} and {head}", page=watch)
    played = asyncio.run(play(settings, order, progress))
    page = None if played.run is None else asyncio.run(pages.page_of(settings, played.run, progress))
    if isinstance(progress, WatchedProgress):
        progress.end(None if page is None else page.index)
    if json:
        print_json((page.verdict if page is not None else played.answer.verdict).to_json())
    else:
        print(f"base     {base}\nhead     {head}\n")
        print_duet(played.answer, played.caveats, page)
    return played.answer.verdict.exit_code
