"""``adx-lab nightly``."""

from __future__ import annotations

import asyncio
from typing import Literal

from adx_lab import experiment
from adx_lab.cli.console import ConsoleProgress, print_json
from adx_lab.cli.verdict_text import print_report
from adx_lab.settings import read_settings

PROFILES = {"quick": {"load.rate_per_s": 300.0, "load.duration_s": 40.0, "load.warmup_s": 5.0}}


def run(
    *,
    profile: Literal["quick"] = "quick",
    rate: float | None = None,
    duration: float | None = None,
    json: bool = False,
) -> int:
    """Do everything: stack, load, captures, analysis, notebook, report, verdict.

    Parameters
    ----------
    profile
        How thorough: quick takes two minutes.
    rate
        Requests a second.
    duration
        Seconds of measured load, in place of the profile's.
    json
        Print the verdict as one JSON document.
    """
    flags: dict[str, float] = dict(PROFILES[profile])
    given = {"load.rate_per_s": rate, "load.duration_s": duration}
    flags |= {name: value for name, value in given.items() if value is not None}
    settings = read_settings(flags=flags)
    made = asyncio.run(experiment.nightly(settings, ConsoleProgress()))
    if json:
        print_json(made.verdict.to_json())
    else:
        print_report(made)
    return made.verdict.exit_code
