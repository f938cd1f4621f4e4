"""``adx-lab load SCENARIO``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from adx_lab.analysis.verdict import EXIT_CODES
from adx_lab.cli.checks import check_database, check_positive, check_seed, check_url, check_valkey
from adx_lab.cli.console import LOCUST_WORD, ConsoleProgress, print_json, print_next, print_table
from adx_lab.errors import UsageError
from adx_lab.records.run import ClimbAudit
from adx_lab.report.parts.numbers import number
from adx_lab.settings import read_settings

if TYPE_CHECKING:
    from adx_lab.report.page.night_report import Report
    from adx_lab.report.run.judged_run import Judgement


_SHOWN = 60
"""Endpoints on a terminal; whoever has more of them wants another table."""


def run(
    scenario: str | None = None,
    /,
    *,
    users: int | None = None,
    spawn_rate: float | None = None,
    rate: float | None = None,
    tags: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (),
    duration: float | None = None,
    warmup: float | None = None,
    seed: int | None = None,
    workers: int | None = None,
    locustfile: Path | None = None,
    url: str | None = None,
    database: str | None = None,
    valkey: str | None = None,
    sample: Path | None = None,
    replay: str | None = None,
    expect_workers: int = 0,
    bind: str = "127.0.0.1:0",
    master: str | None = None,
    arguments: Annotated[tuple[str, ...], Parameter(name=LOCUST_WORD, show=False, negative=())] = (),
    json: bool = False,
) -> int:
    """Make one recorded headless load run; what stands behind ``--`` goes to Locust.

    Parameters
    ----------
    scenario
        A locustfile of ``locustfiles/``, by name.
    users
        How many users, of a crowd or of somebody else's locustfile.
    spawn_rate
        How many users somebody else's locustfile gains each second; left out, Locust's own default.
    rate
        Requests a second, on average: somebody else's users are then sent by a schedule, too.
    tags
        Which tasks of somebody else's locustfile are done.
    duration
        Seconds of measured load.
    warmup
        Seconds of load before it that are thrown away.
    seed
        The same seed sends the same schedule.
    workers
        Locust processes on this machine.
    locustfile
        Somebody else's locustfile, as it is.
    url
        Somebody else's service; nothing of the stack is started.
    database
        That service's PostgreSQL, for captures (or ADX_LAB_DATABASE_URL).
    valkey
        That service's Valkey (or ADX_LAB_VALKEY_URL).
    sample
        Whom a scenario of the lab logs in as there; ``python -m adx_lab.core sample --out FILE`` makes it.
    replay
        Send the schedule of a stored run again.
    expect_workers
        Wait for so many workers from other machines, and lead them.
    bind
        Where to listen for them.
    master
        Be one of those workers: the master's HOST or HOST:PORT.
    arguments
        Words for Locust, behind ``--``.
    json
        Print the run's figures as one JSON document.
    """
    check_positive({"--rate": rate, "--duration": duration, "--users": users, "--workers": workers})
    check_positive({"--spawn-rate": spawn_rate})
    check_positive({"--warmup": warmup}, least=0)
    check_positive({"--expect-workers": expect_workers}, least=0)
    check_seed(seed)
    check_url("--url", url)
    check_database(database)
    check_valkey(valkey)
    _check_sample(sample, url)
    from adx_lab.conduct.nights import pages
    from adx_lab.conduct.run import recorded
    from adx_lab.conduct.run.request import load_request
    from adx_lab.load.starting.headless import join_master
    from adx_lab.load.starting.machines import Machines
    from adx_lab.store.shared import find_run

    flags = {
        "load.rate_per_s": rate,
        "load.duration_s": duration,
        "load.warmup_s": warmup,
        "load.users": users,
        "load.spawn_per_s": spawn_rate,
        "load.tags": tags or None,
        "load.arguments": arguments or None,
        "load.seed": seed,
        "load.workers": workers,
        "database.url": database,
        "valkey.url": valkey,
    }
    settings = read_settings(flags=flags)
    if replay is not None:
        find_run(settings, replay)  # refused before anything is started
    request = load_request(
        settings,
        scenario,
        locustfile,
        given=frozenset(name.removeprefix("load.") for name, value in flags.items() if value is not None),
        url=url,
        sample_file=None if sample is None else str(sample.resolve()),
        replay=replay,
        machines=Machines(settings.load.workers, expect_workers, bind),
    )
    request.machines.place()  # refused before anything is started
    if master is not None:
        log = settings.data_dir / "worker.log"
        asyncio.run(join_master(request.locustfile, master, log=log))
        return 0
    progress = ConsoleProgress()
    judgement = asyncio.run(recorded.load(settings, request, progress))
    page = asyncio.run(pages.page_of(settings, judgement.run, progress))
    if json:
        print_json(_document(judgement) | {"report": page.index})
    else:
        _print(judgement, page)
    return _exit_code(judgement)


def _check_sample(sample: Path | None, url: str | None) -> None:
    if sample is None:
        return
    if not sample.is_file():
        raise UsageError(f"there is no sample {sample}", mend="correct the path")
    if url is None:
        raise UsageError("--sample says whom a service at a URL knows", mend="give --url, or leave it out")


def _exit_code(judgement: Judgement) -> int:
    audit = judgement.record.audit
    if isinstance(audit, ClimbAudit):
        # To break a budget is what a climbing load is for.
        return 0 if audit.knee else EXIT_CODES["undecided"]
    if any(not check.ok for check in judgement.validity):
        return EXIT_CODES["invalid"]
    failed = any(item.status == "fail" for item in judgement.budgets)
    return 1 if failed or judgement.record.load.process_exit_code else 0


def _document(judgement: Judgement) -> dict[str, object]:
    audit = judgement.record.load
    return {
        "run_id": judgement.record.run_id,
        "folder": judgement.run.folder,
        "scenario": judgement.record.scenario,
        "schedule": audit.schedule,
        "knee": audit.knee if isinstance(audit, ClimbAudit) else None,
        "steps": audit.steps if isinstance(audit, ClimbAudit) else (),
        "endpoints": judgement.endpoints,
        "failures": audit.failures,
        "exceptions": audit.exceptions,
        "budgets": judgement.budgets,
        "validity": judgement.validity,
        "caveats": judgement.record.caveats,
        "audit": audit,
    }


def _print(judgement: Judgement, page: Report) -> None:
    from adx_lab.cli.verdict_text import print_answer
    from adx_lab.report.run.tables import endpoints, exceptions, failures, streams

    audit = judgement.record.load
    print_table(endpoints(judgement.endpoints[:_SHOWN]))
    if len(judgement.endpoints) > _SHOWN:
        print(f"and {len(judgement.endpoints) - _SHOWN:,} more endpoints, in the run's folder")
    for table in (streams(audit), failures(audit), exceptions(audit)):
        if table.rows:
            print()
            print_table(table)
    if isinstance(audit, ClimbAudit):
        _print_steps(audit)
    _print_caveats(judgement)
    print()
    print_answer(page.answer)
    print(f"run      {judgement.record.run_id}\nfolder   {judgement.run.folder}\npage     {page.index}")
    print_next(f"adx-lab report {judgement.record.run_id} adds the notebooks to the page")


def _print_caveats(judgement: Judgement) -> None:
    if judgement.record.caveats:
        print()
    for caveat in judgement.record.caveats:
        print(f"caveat: {caveat.text}")


def _print_steps(audit: ClimbAudit) -> None:
    print()
    for step in audit.steps:
        broken = "; ".join(
            f"{item['metric']} {number(item['value'])}, limit {item['limit']:g}" for item in step["broken"]
        )
        print(
            f"step  {step['rate_per_s']:>6g}/s  answered {step['answered_per_s']:>8.1f}/s  {broken or 'kept'}"
        )
    knee = audit.knee
    if knee is None:
        print("knee  not reached: the last step kept every budget")
    else:
        kept = "below the first step" if knee["rate_per_s"] is None else f"{knee['rate_per_s']:g} requests/s"
        print(f"knee  {kept}")
