"""``adx-lab load SCENARIO``."""

from __future__ import annotations

import asyncio

from adx_lab import experiment
from adx_lab.cli.console import ConsoleProgress, print_json, print_table
from adx_lab.errors import UsageError
from adx_lab.report.format import interval, number
from adx_lab.report.judgement import Judgement
from adx_lab.settings import read_settings


def run(
    scenario: str,
    /,
    *,
    rate: float | None = None,
    duration: float | None = None,
    warmup: float | None = None,
    seed: int | None = None,
    json: bool = False,
) -> int:
    """Make one recorded headless load run.

    Parameters
    ----------
    scenario
        A locustfile of ``locustfiles/``, by name.
    rate
        Requests a second, on average.
    duration
        Seconds of measured load.
    warmup
        Seconds of load before it that are thrown away.
    seed
        The same seed sends the same schedule.
    json
        Print the run's figures as one JSON document.
    """
    for name, value in (("--rate", rate), ("--duration", duration)):
        if value is not None and value <= 0:
            raise UsageError(f"{name} {value:g} is not a positive number", mend="give one above 0")
    flags = {
        "load.rate_per_s": rate,
        "load.duration_s": duration,
        "load.warmup_s": warmup,
        "load.seed": seed,
    }
    settings = read_settings(flags=flags)
    request = experiment.find_scenario(settings, scenario)
    judgement = asyncio.run(experiment.load(settings, request, ConsoleProgress()))
    if json:
        print_json(_document(judgement))
    else:
        _print(judgement)
    return 1 if any(item.status == "fail" for item in judgement.budgets) else 0


def _document(judgement: Judgement) -> dict[str, object]:
    return {
        "run_id": judgement.record.run_id,
        "folder": judgement.run.folder,
        "endpoints": judgement.endpoints,
        "budgets": judgement.budgets,
        "validity": judgement.validity,
        "caveats": judgement.record.caveats,
        "audit": judgement.record.audit,
    }


def _print(judgement: Judgement) -> None:
    rows = [
        (
            row.subject,
            f"{row.count:,}",
            str(row.errors),
            number(row.p50_ms.value),
            number(row.p95_ms.value),
            interval(row.p95_ms.low, row.p95_ms.high),
            number(row.p99_ms.value),
            number(row.max_ms),
        )
        for row in judgement.endpoints
    ]
    header = ("endpoint", "requests", "errors", "p50 ms", "p95 ms", "95% interval", "p99 ms", "max ms")
    print_table(header, rows)
    for check in judgement.validity:
        if not check.ok:
            print(f"not valid: {check.check} is {number(check.value)}, limit {number(check.limit)}")
    print(f"\nrun  {judgement.record.run_id}\nin   {judgement.run.folder}")
