"""``adx-lab calibrate``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from adx_lab.cli.checks import check_positive
from adx_lab.cli.console import ConsoleProgress, print_json, print_table
from adx_lab.report.page.verdict_words import calibration_line
from adx_lab.settings import read_settings

if TYPE_CHECKING:
    from adx_lab.conduct.calibration.calibrate import Calibrated
    from adx_lab.settings import Settings


def run(
    *,
    duets: int = 4,
    only: str | None = None,
    scenario: str = "calibration",
    rate: float | None = None,
    blocks: int | None = None,
    seconds: float | None = None,
    warmup: float | None = None,
    profile: str = "quick",
    json: bool = False,
) -> int:
    """Find out what this machine's verdicts are worth, by duets of which the truth is known.

    Each trial is kept as it ends: interrupted, or called again another night, it goes on where it was.

    Parameters
    ----------
    duets
        How many trials to make now, those that are due; 0 only prints the ledger.
    only
        Make one trial again and again, by its name: equal, +5%, +10%, or one of data/slowdowns.
    scenario
        An open-loop locustfile, by name.
    rate
        Pairs of requests a second; left out, a short probe finds one for each trial.
    blocks
        At most so many blocks a duet; left out, the profile's.
    seconds
        Of measured load in each block; left out, the profile's.
    warmup
        Seconds of load before it that are thrown away; left out, the profile's.
    profile
        ``quick`` (two to five minutes for each trial) or ``nightly`` (up to five), as for ``adx-lab duet``.
    json
        Print the ledger as one JSON document.
    """
    from adx_lab.conduct.calibration.calibrate import calibrate
    from adx_lab.conduct.duet.order import DuetOrder
    from adx_lab.conduct.run.request import find_scenario

    check_positive({"--rate": rate, "--seconds": seconds})
    check_positive({"--duets": duets, "--warmup": warmup}, least=0)
    order = DuetOrder(
        ".",
        ".",
        scenario=scenario,
        rate_per_s=rate,
        blocks=blocks,
        seconds=seconds,
        warmup_s=warmup,
        profile=profile,
        purpose="calibrate",
    )
    settings = read_settings()
    find_scenario(settings, scenario)  # refused before the first trial
    made = asyncio.run(calibrate(settings, order, ConsoleProgress(), duets=duets, only=only))
    if json:
        print_json(made)
    else:
        _print(settings, made)
    return 0


def _print(settings: Settings, made: Calibrated) -> None:
    from adx_lab.report.page.sheets.calibration import trials_table, write_calibration

    print_table(trials_table(made.table))
    print(f"\nmachine  {calibration_line(made.calibration)}")
    print(f"page     {write_calibration(settings, made.calibration, made.table)}")
