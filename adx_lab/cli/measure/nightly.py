"""``adx-lab nightly``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from adx_lab.cli.checks import check_database, check_positive, check_url
from adx_lab.cli.console import WatchedProgress, print_json, watching
from adx_lab.errors import UsageError
from adx_lab.settings import read_settings


def run(
    *,
    profile: Literal["quick", "nightly"] = "quick",
    scenario: str | None = None,
    rate: float | None = None,
    duration: float | None = None,
    blocks: int | None = None,
    locustfile: Path | None = None,
    url: str | None = None,
    database: str | None = None,
    webhook: str | None = None,
    watch: Annotated[bool, Parameter(name="--page", negative=())] = False,
    resume: bool = False,
    json: bool = False,
) -> int:
    """Do everything: stack, load, captures, comparison, notebooks, report, verdict.

    Parameters
    ----------
    profile
        How thorough: quick takes two to six minutes, nightly half an hour.
    scenario
        What is loaded; mixed where left out.
    rate
        Requests a second, in place of the profile's.
    duration
        Seconds of measured load, in place of the profile's.
    blocks
        Of the comparison with the baseline, in place of the profile's; 0 compares nothing.
    locustfile
        Somebody else's locustfile in place of a scenario.
    url
        Somebody else's service: nothing is started, and nothing is compared.
    database
        That service's PostgreSQL, for captures.
    webhook
        Where the verdict is sent as JSON (or ADX_LAB_NIGHT_WEBHOOK_URL).
    watch
        Make a page that shows how it stands while it goes on, and say where it is.
    resume
        Go on with the latest night, which did not come to its end: what it stored is not measured again.
    json
        Print the verdict as one JSON document.
    """
    check_positive({"--rate": rate, "--duration": duration})
    check_positive({"--blocks": blocks}, least=0)
    check_url("--url", url)
    check_url("--webhook", webhook)
    check_database(database)
    from adx_lab.cli.verdict_text import print_report
    from adx_lab.conduct.duet.order import BLOCKS_MAX
    from adx_lab.conduct.nights import night
    from adx_lab.conduct.nights.night import PROFILES
    from adx_lab.conduct.run.request import load_request

    flags = dict[str, object](PROFILES[profile].load)
    given = {
        "load.rate_per_s": rate,
        "load.duration_s": duration,
        "database.url": database,
        "night.webhook_url": webhook,
    }
    flags |= {name: value for name, value in given.items() if value is not None}
    settings = read_settings(flags=flags)
    named = frozenset({"duration_s", "warmup_s"})
    if rate is not None or (locustfile is None and settings.is_reference):
        named |= {"rate_per_s"}
    chosen = scenario or ("mixed" if locustfile is None and settings.is_reference else None)
    request = load_request(settings, chosen, locustfile, given=named, purpose="nightly", url=url)
    chosen_profile = PROFILES[profile]
    if blocks is not None:
        if blocks > BLOCKS_MAX:
            raise UsageError(f"--blocks {blocks} is not between 0 and {BLOCKS_MAX}")
        chosen_profile = replace(chosen_profile, duet={**chosen_profile.duet, "blocks": blocks})
    resumed = night.unfinished(settings) if resume else None
    progress = watching(settings, f"Nightly of {request.scenario}", page=watch)
    made = asyncio.run(night.nightly(settings, request, chosen_profile, progress, resumed=resumed))
    if isinstance(progress, WatchedProgress):
        progress.end(made.index)
    if json:
        print_json(made.verdict.to_json())
    else:
        print_report(made)
    return made.verdict.exit_code
