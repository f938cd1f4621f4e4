"""The conductor of one run: start -> load -> capture -> save -> analyse.

Each function here is one verb's whole story; the rooms do the work. `adx_lab.conduct.nights.night` conducts
several runs into one report.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import msgspec

from adx_lab.capture.database.observing import measure_observing
from adx_lab.capture.database.server_log import LogTail
from adx_lab.capture.database.statements import (
    Statements,
    connected,
    describe_database,
    read_statements,
    statement_rows,
)
from adx_lab.capture.plans.of_service import capture_plans
from adx_lab.capture.sampler import Samples, sampling
from adx_lab.capture.service.cache_trace import TraceTail
from adx_lab.conduct.run.asked import AskOrder, ask_each
from adx_lab.conduct.run.built import (
    build_record,
    describe_git,
    describe_target,
)
from adx_lab.conduct.run.request import LoadRequest, locust_trust, locust_words
from adx_lab.conduct.run.surroundings import Surroundings, elsewhere, service_name, surroundings
from adx_lab.conduct.run.traces import doubts_of, received, splits_of
from adx_lab.conduct.sharing import put_up
from adx_lab.deaths import Death, DeathTail, backends_killed, now
from adx_lab.errors import AdxLabError, StackError
from adx_lab.load.collecting.collect import Collected
from adx_lab.load.order import LoadOrder
from adx_lab.load.recording.server_timing import ServerSplit
from adx_lab.load.schedules.replay import write_replay
from adx_lab.load.starting.defaults import taken_besides
from adx_lab.load.starting.headless import LocustCommand, run_locust
from adx_lab.load.starting.reachable import check_reachable
from adx_lab.progress import Progress
from adx_lab.records.documents import to_json
from adx_lab.records.run import Caveat, ClimbAudit, LoadAudit, new_run_id
from adx_lab.report.run.judged_run import Judgement, figures_of
from adx_lab.services.stack_state import holder_pid
from adx_lab.services.starting.login import log_in
from adx_lab.settings import LoadSettings, Settings
from adx_lab.sql import Query, load_queries
from adx_lab.store.folders import (
    ASKED,
    StoredRun,
    new_run_folder,
    open_run,
    write_columns,
    write_log,
    write_plans,
    write_record,
    write_table,
)
from adx_lab.store.rows import RunStore
from adx_lab.store.shared import find_run, is_copy, owe

T = TypeVar("T")
OBSERVED_QUERY = "users.get"


Drive = Callable[..., Awaitable[tuple[Collected, Samples]]]


async def record_load(
    settings: Settings,
    around: Surroundings,
    request: LoadRequest,
    progress: Progress,
    *,
    drive: Drive | None = None,
) -> StoredRun:
    """Make one load run with all its captures, and store it.

    ``drive`` makes the load, or attends one that somebody else started; it returns what was recorded.
    """
    run_id = new_run_id()
    started_at = datetime.now(UTC)
    with new_run_folder(settings.runs_dir, run_id) as run_dir:
        owe(settings, run_dir)
        doubts: list[Caveat] = []
        tail = DeathTail(around.deaths)
        async with _maybe_connected(around.target.database_url) as connection:
            before: Statements = await read_statements(connection) if connection else {}
            described = await describe_database(connection) if connection else {}
            log, trace = LogTail(around.server_log), TraceTail(around.cache_trace)
            collected, seen = await (drive or _drive)(
                settings, around, request, run_dir, progress, connection=connection
            )
            after: Statements = {}
            if connection:
                after = await _tried("the statements", doubts, read_statements(connection), before)
        server_log = log.read()
        deaths = [
            *(Death(**death) for death in collected.deaths),
            *tail.read(),
            *backends_killed(server_log),
            *await _lost(settings, around),
        ]
        plans = await _tried("the plans", doubts, _capture_plans(settings, around, progress), {"plans": []})
        observing = await _tried("the cost of observing", doubts, _cost_of_observing(around, plans), None)
        write_plans(run_dir, plans)
        write_log(run_dir, server_log)
        if request.purpose == "nightly":
            asked = _ask_each(settings, around, request, run_dir, progress)
            await _tried("what each endpoint asks the database", doubts, asked, None)
        write_table(run_dir, "resources", seen.resources)
        write_table(run_dir, "cache", seen.cache)
        write_table(run_dir, "service", seen.service)
        write_columns(run_dir, "cache_trace", trace.read(collected.began))
        write_table(run_dir, "database", statement_rows(before, after, named_queries(settings)))
        record = build_record(
            settings,
            run_id=run_id,
            purpose=request.purpose,
            scenario=request.scenario,
            started_at=started_at,
            duration_s=collected.duration_s,
            seed=settings.load.seed,
            audit=_audit(collected, seen, observing, deaths),
            git=describe_git(settings.source_dir),
            service=service_name(settings, request),
            environment=settings.service.environment,
            target=describe_target(around.target) | {"database": described, "tenants": _tenants(around)},
            caveats=(
                *collected.caveats,
                *seen.caveats(),
                *_caveats(around),
                *(Caveat("died", str(death)) for death in deaths),
                *doubts,
            ),
            night=request.night,
        )
        write_record(run_dir, record)
    return open_run(settings.runs_dir, run_id)


async def _tried(what: str, doubts: list[Caveat], capture: Awaitable[T], otherwise: T) -> T:
    """Return what a capture yields; where it fails, the load that was measured is kept without it."""
    try:
        return await capture
    except (AdxLabError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        doubts.append(
            Caveat("not-captured", f"{what} could not be captured: {error or type(error).__name__}")
        )
        return otherwise


async def _lost(settings: Settings, around: Surroundings) -> list[Death]:
    """Return the death of what nobody of ours watches: who holds the stack, or somebody else's service."""
    if around.deaths is not None:
        held = holder_pid(settings) is not None
        return [] if held else [Death("stack", now(), "is not held any more: its process is gone")]
    try:
        await asyncio.to_thread(partial(check_reachable, around.target.base_url, tls=around.tls))
    except StackError as error:
        return [Death("service", now(), f"does not answer any more ({error.message})")]
    return []


def judge(settings: Settings, run: StoredRun) -> Judgement:
    """Put a run before the budgets."""
    return Judgement(run, settings.budgets_file)


async def load(settings: Settings, request: LoadRequest, progress: Progress) -> Judgement:
    """Make, store and judge one load run."""
    with received(settings) as (told, receiver):
        if request.url is not None:
            around = replace(await elsewhere(told, request), receiver=receiver)
            run = await record_load(told, around, request, progress)
        else:
            async with surroundings(told, progress) as started:
                run = await record_load(told, replace(started, receiver=receiver), request, progress)
    judgement = keep(settings, run)
    await put_up(settings, progress)
    return judgement


def keep(settings: Settings, run: StoredRun) -> Judgement:
    """Judge a run and keep its figures among those of the others."""
    judgement = judge(settings, run)
    keep_row(settings, judgement, status=None)
    return judgement


def keep_row(settings: Settings, judgement: Judgement, *, status: str | None) -> None:
    """Keep a run's figures in the run store, with its verdict where one was given.

    What another home said of its run stands: a laptop's page of it changes no team's history.
    """
    store = RunStore(settings)
    try:
        if is_copy(judgement.run.folder) and store.status(judgement.record.run_id) is not None:
            return
        store.save(judgement.record, status=status, figures=figures_of(judgement))
    finally:
        store.close()


async def _ask_each(
    settings: Settings, around: Surroundings, request: LoadRequest, run_dir: Path, progress: Progress
) -> None:
    """Keep which statements each endpoint asks for; a scenario of the lab's own is asked by the duet."""
    if around.target.database_url is None or around.sample_file is not None:
        return
    log = settings.data_dir / "logs" / "asked.log"
    words = locust_words(settings, request.locustfile)
    target, service = around.target, settings.service
    order = AskOrder(
        request.locustfile,
        target.base_url,
        around.target.database_url,
        log,
        words=words,
        trust=locust_trust(service),
        headers=await asyncio.to_thread(log_in, service, target.base_url),
    )
    told = await ask_each(order, progress)
    await asyncio.to_thread((run_dir / ASKED).write_text, to_json(told) + "\n", encoding="utf-8")


async def _drive(
    settings: Settings,
    around: Surroundings,
    request: LoadRequest,
    run_dir: Path,
    progress: Progress,
    *,
    connection: Any,
) -> tuple[Collected, Samples]:
    progress.step(f"starting Locust with {request.locustfile.name}")
    besides = taken_besides(os.environ, Path.cwd())
    if besides:
        progress.step(f"Locust also takes options from {', '.join(besides)}")
    raw_dir = run_dir / "raw"
    login = settings.service
    order = LoadOrder(
        raw_dir=str(raw_dir),
        scenario=request.scenario,
        seed=settings.load.seed,
        timeout_s=settings.load.timeout_s,
        sample_file=around.sample_file,
        budget_file=None if settings.budgets_file is None else str(settings.budgets_file),
        headers={} if around.sample_file else await asyncio.to_thread(log_in, login, around.target.base_url),
        traced=around.receiver is not None,
        timed=settings.service.timing != "none",
        given=tuple(sorted(request.given)),
        **_asked(settings, request),
    )
    if request.replay is not None:
        earlier = find_run(settings, request.replay).folder / "samples.parquet"
        schedule = raw_dir / "schedule.arrow"
        duration_s = write_replay(earlier, schedule)
        order = msgspec.structs.replace(order, replay_file=str(schedule), duration_s=duration_s)
    base_url = around.target.base_url
    more = locust_words(settings, request.locustfile)
    command = LocustCommand(
        order,
        request.locustfile,
        base_url,
        settings.data_dir / "logs" / "locust.log",
        request.machines,
        more,
        locust_trust(settings.service),
    )
    roots = dict(around.processes)
    traces: dict[str, ServerSplit] = {}

    def told() -> dict[str, ServerSplit]:
        traces.update(splits_of(around.receiver))
        return traces

    async with sampling(lambda: roots, around.target.metrics_url, connection, tls=around.tls) as seen:
        collected = await run_locust(
            command,
            run_dir,
            progress,
            on_start=lambda pid: roots.update(locust=[pid]),
            traces=told,
        )
    doubts = list(doubts_of(around.receiver, traces))
    if besides:
        doubts.append(Caveat("locust-options", f"Locust also took options from {', '.join(besides)}"))
    collected = replace(collected, caveats=(*collected.caveats, *doubts))
    shutil.rmtree(raw_dir)
    return collected, seen.shifted(collected.began)


def _asked(settings: Settings, request: LoadRequest) -> dict[str, Any]:
    """Return what was asked of the load; what nobody set is left to the scenario."""
    defaults = LoadSettings()
    names: tuple[str, ...] = ("rate_per_s", "duration_s", "warmup_s", "users", "spawn_per_s")
    if request.locustfile not in settings.scenario_files().values() and "rate_per_s" not in request.given:
        names = names[1:]  # somebody else's users ask at their own pace, unless somebody says otherwise
    values = {name: getattr(settings.load, name) for name in names}
    return {
        name: value
        for name, value in values.items()
        if name in request.given or value != getattr(defaults, name)
    }


def named_queries(settings: Settings) -> Mapping[str, Query]:
    """Return the named queries of the service that is described."""
    return load_queries(settings.queries_dir) if settings.queries_dir else {}


def _tenants(around: Surroundings) -> dict[str, int]:
    """Return how many users each tenant of the data set has, by id."""
    if around.sample_file is None:
        return {}
    sample = json.loads(Path(around.sample_file).read_text(encoding="utf-8"))
    return {tenant["id"]: tenant["user_count"] for tenant in sample["tenants"]}


async def _cost_of_observing(around: Surroundings, plans: Mapping[str, Any]) -> dict[str, Any] | None:
    """Measure what auto_explain adds to the shortest query of all, once the load is over."""
    query = plans.get("queries", {}).get(OBSERVED_QUERY)
    if around.target.database_url is None or query is None:
        return None
    cells = (cell for cell in plans["plans"] if cell["query"] == OBSERVED_QUERY)
    arguments = list(next(cells)["arguments"].values())
    cost = await measure_observing(around.target.database_url, query["text"], arguments)
    return asdict(cost)


async def _capture_plans(settings: Settings, around: Surroundings, progress: Progress) -> dict[str, Any]:
    url = around.target.database_url
    if url is None:
        return {"plans": []}
    # Named queries are the described service's: another one that is loaded by its URL may not know them.
    queries = settings.queries_dir if around.sample_file else None
    which = "of every named query" if queries else "of the dearest statements"
    progress.step(f"capturing the plans {which}")
    return await capture_plans(url, queries)


@asynccontextmanager
async def _maybe_connected(url: str | None) -> AsyncIterator[Any]:
    if url is None:
        yield None
        return
    async with connected(url) as connection:
        yield connection


def _audit(
    collected: Collected, seen: Samples, observing: dict[str, Any] | None, deaths: Sequence[Death]
) -> LoadAudit:
    facts = {name: value for name, value in asdict(collected).items() if name != "caveats"}
    if not facts["steps"]:
        del facts["steps"], facts["knee"]
    facts |= {
        "kind": "climb" if "steps" in facts else "load",
        "steal_share": seen.steal_share,
        "foreign_cpu_share": seen.foreign_share,
        "waits": {f"{kind}: {event}": count for (kind, event), count in seen.waits.most_common()},
        "connections_max": max((count for _, count in seen.connections), default=None),
        "observing": observing,
        "deaths": [asdict(death) for death in deaths],
    }
    return msgspec.convert(facts, LoadAudit | ClimbAudit)


def _caveats(around: Surroundings) -> tuple[Caveat, ...]:
    if around.target.database_url is None:
        return (Caveat("no_database", "no database URL was given: no plans, no statement statistics"),)
    return ()
