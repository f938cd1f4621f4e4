"""The conductor: start -> load -> capture -> save -> analyse -> report.

Each function here is one verb's whole story; the rooms do the work.
"""

from __future__ import annotations

import difflib
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from adx_lab.capture.database import (
    Statements,
    connected,
    describe_database,
    read_statements,
    statement_rows,
)
from adx_lab.capture.plans import capture_plans
from adx_lab.capture.resources import describe_machine
from adx_lab.capture.sampler import Samples, sampling
from adx_lab.errors import UsageError
from adx_lab.load.collect import Collected
from adx_lab.load.runner import LoadOrder, run_locust
from adx_lab.load.spec import LoadSpec
from adx_lab.progress import Progress
from adx_lab.records import Caveat, RunRecord, Target, new_run_id
from adx_lab.report.judgement import Judgement, figures_of
from adx_lab.report.pages import Report, make_report
from adx_lab.settings import CHECKOUT, Settings
from adx_lab.sql import load_queries
from adx_lab.stack.databases import without_password
from adx_lab.stack.lifecycle import read_state, running_stack
from adx_lab.stack.locks import hold
from adx_lab.store.folders import StoredRun, new_run_folder, open_run, write_plans, write_record, write_table
from adx_lab.store.rows import RunStore

CORE_QUERIES = CHECKOUT / "adx_lab" / "core" / "queries"
_LIBRARIES = ("asyncpg", "granian", "locust", "numpy", "pandas", "scipy", "valkey")


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What is to be loaded, and how."""

    scenario: str
    locustfile: Path
    kind: str = "load"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The target of a load and what is known around it.

    ``processes`` are the ids by role; ``sample_file`` tells the load whom to log in as. Both are empty for
    somebody else's service.
    """

    target: Target
    processes: Mapping[str, list[int]]
    sample_file: str | None


def find_scenario(settings: Settings, name: str, *, kind: str = "load") -> LoadRequest:
    """Return the load of a scenario by name.

    Raises
    ------
    UsageError
        There is no such locustfile.
    """
    folder = settings.home_dir / "locustfiles"
    known = sorted(file.stem for file in folder.glob("*.py"))
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UsageError(f"unknown scenario {name} in {folder}", mend=hint)
    return LoadRequest(name, folder / f"{name}.py", kind)


@asynccontextmanager
async def surroundings(
    settings: Settings, progress: Progress, *, fresh: bool = False
) -> AsyncIterator[Surroundings]:
    """Give the stack that is up, or one that is started for the block and stopped after it."""
    state = None if fresh else read_state(settings)
    if state is not None:
        progress.step(f"using the stack that is up at {state.base_url}")
        yield Surroundings(state.target(), state.processes, state.sample_file)
        return
    async with running_stack(settings, progress, fresh=fresh) as stack:
        state = stack.state()
        yield Surroundings(state.target(), state.processes, state.sample_file)
        progress.step("stopping the stack")


async def record_load(
    settings: Settings, around: Surroundings, request: LoadRequest, progress: Progress
) -> StoredRun:
    """Make one load run with all its captures, and store it."""
    run_id = new_run_id()
    started_at = datetime.now(UTC)
    with new_run_folder(settings.runs_dir, run_id) as run_dir:
        async with _maybe_connected(around.target.database_url) as connection:
            before: Statements = await read_statements(connection) if connection else {}
            described = await describe_database(connection) if connection else {}
            collected, seen = await _drive(
                settings, around, request, run_dir, progress, connection=connection
            )
            after: Statements = await read_statements(connection) if connection else {}
        plans = []
        if around.target.database_url:
            progress.step("capturing the plan of every named query")
            plans = await capture_plans(around.target.database_url, CORE_QUERIES)
        write_plans(run_dir, plans)
        write_table(run_dir, "resources", seen.resources)
        write_table(run_dir, "cache", seen.cache)
        write_table(run_dir, "database", statement_rows(before, after, load_queries(CORE_QUERIES)))
        write_record(
            run_dir,
            RunRecord(
                run_id=run_id,
                kind=request.kind,
                scenario=request.scenario,
                started_at=started_at.isoformat(timespec="seconds"),
                duration_s=collected.duration_s,
                seed=settings.load.seed,
                settings=_shown(settings),
                machine=describe_machine(),
                versions={name: version(name) for name in _LIBRARIES} | {"adx-lab": version("adx-lab")},
                git=_describe_git(settings.home_dir),
                target=_shown_target(around.target) | {"database": described},
                audit=_audit(collected, seen),
                caveats=(*collected.caveats, *seen.caveats(), *_caveats(around)),
            ),
        )
    return open_run(settings.runs_dir, run_id)


def judge(settings: Settings, run: StoredRun) -> Judgement:
    """Put a run before the budgets."""
    return Judgement(run, settings.home_dir / settings.data / "budgets.toml")


async def load(settings: Settings, request: LoadRequest, progress: Progress) -> Judgement:
    """Make, store and judge one load run."""
    async with surroundings(settings, progress) as around:
        run = await record_load(settings, around, request, progress)
    judgement = judge(settings, run)
    _keep_row(settings, judgement, status=None)
    return judgement


async def nightly(settings: Settings, progress: Progress) -> Report:
    """Do everything: stack, load, captures, analysis, notebook, report, verdict.

    Raises
    ------
    BusyError
        Another nightly runs in this checkout.
    """
    request = find_scenario(settings, "mixed", kind="nightly")
    with hold(settings.data_dir / "nightly.lock", what="a nightly of this checkout"):
        async with surroundings(settings, progress, fresh=read_state(settings) is None) as around:
            run = await record_load(settings, around, request, progress)
        return await report(settings, run, progress)


async def report(settings: Settings, run: StoredRun, progress: Progress) -> Report:
    """Judge a stored run, execute its notebooks and write its report."""
    judgement = judge(settings, run)
    made = await make_report(settings, judgement, progress)
    _keep_row(settings, judgement, status=made.verdict.status)
    return made


async def _drive(
    settings: Settings,
    around: Surroundings,
    request: LoadRequest,
    run_dir: Path,
    progress: Progress,
    *,
    connection: Any,
) -> tuple[Collected, Samples]:
    load = settings.load
    progress.step(
        f"load {request.scenario}: {load.rate_per_s:g} requests/s for {load.duration_s:g} s "
        f"after {load.warmup_s:g} s of warm-up"
    )
    raw_dir = run_dir / "raw"
    spec = LoadSpec(
        raw_dir=str(raw_dir),
        scenario=request.scenario,
        rate_per_s=load.rate_per_s,
        duration_s=load.duration_s,
        warmup_s=load.warmup_s,
        seed=load.seed,
        timeout_s=load.timeout_s,
        sample_file=around.sample_file,
    )
    order = LoadOrder(spec, request.locustfile, around.target.base_url, run_dir / "locust.log")
    roots = dict(around.processes)
    async with sampling(lambda: roots, around.target.metrics_url, connection) as seen:
        collected = await run_locust(
            order, run_dir, progress, on_start=lambda pid: roots.update(locust=[pid])
        )
    shutil.rmtree(raw_dir)
    return collected, seen.shifted(collected.began)


@asynccontextmanager
async def _maybe_connected(url: str | None) -> AsyncIterator[Any]:
    if url is None:
        yield None
        return
    async with connected(url) as connection:
        yield connection


def _audit(collected: Collected, seen: Samples) -> dict[str, Any]:
    facts = {name: value for name, value in asdict(collected).items() if name != "caveats"}
    facts["steal_share"] = seen.steal_share
    if seen.connections:
        facts["connections_max"] = max(count for _, count in seen.connections)
    return facts


def _caveats(around: Surroundings) -> tuple[Caveat, ...]:
    if around.target.database_url is None:
        return (Caveat("no_database", "no database URL was given: no plans, no statement statistics"),)
    return ()


def _shown(settings: Settings) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(settings)
    for section in ("database", "valkey", "store"):
        if shown[section]["url"]:
            shown[section]["url"] = without_password(shown[section]["url"])
    return shown


def _shown_target(target: Target) -> dict[str, Any]:
    return {
        name: without_password(value) if value and name.endswith("_url") else value
        for name, value in asdict(target).items()
    }


def _describe_git(folder: Path) -> dict[str, Any]:
    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=folder, check=False, capture_output=True, text=True)
        except FileNotFoundError:  # no git on this machine: the run is as good without
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    changed = ask("status", "--porcelain")
    return {
        "commit": ask("rev-parse", "HEAD"),
        "subject": ask("log", "-1", "--format=%s"),
        "changed_files": None if changed is None else len(changed.splitlines()),
    }


def _keep_row(settings: Settings, judgement: Judgement, *, status: str | None) -> None:
    store = RunStore(settings.store_url)
    try:
        store.save(judgement.record, status=status, figures=figures_of(judgement))
    finally:
        store.close()
