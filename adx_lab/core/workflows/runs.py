"""The durable workflows, step by step: each step's result is kept in the database before the next one begins.

A step may run twice (its process may be killed after the work and before the result is kept), so every step
here only reads, or writes what it may write again.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import msgspec
from dbos import DBOS, StepOptions

from adx_lab.core.cache import warming
from adx_lab.core.server.problems import Problem
from adx_lab.core.workflows import purging
from adx_lab.core.workflows.tallies import Tallies
from adx_lab.core.workflows.workflows import FILE_PROCESS, TENANT_REPORT, FileInput, ReportInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from adx_lab.core.service import Service

T = TypeVar("T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_ID = UUID(int=2**128 - 1)
_SLICE = 2_000
# Steps at once, of all runs: the worker gives way to requests, but the database that works for it can't.
_turns = asyncio.Semaphore(2)
_tallies = Tallies()
_here: dict[str, Service] = {}


class CancelledRunError(Exception):
    """The run was cancelled between two of its steps."""


def run_with(service: Service) -> None:
    """Name the service that the steps of this process use."""
    _here["service"] = service


@DBOS.workflow(name="run")
async def run_workflow(run_id: str) -> None:
    """Carry out a run that was asked for, and keep its result."""
    begun = await _step(_begin, run_id)
    if begun is None:
        return
    try:
        result = await _BODIES[begun["name"]](run_id, begun)
    except CancelledRunError:
        return
    except Exception as error:  # noqa: BLE001  # whatever went wrong belongs into the run, where its owner looks
        await _step(_end, run_id, "failed", {"error": str(error) or type(error).__name__})
        return
    await _step(_end, run_id, "done", result)


@DBOS.workflow(name="warm")
async def warm_workflow(scheduled_at: datetime, context: object) -> None:  # noqa: ARG001  # a schedule's signature
    """Warm the caches: hot users' permissions and roles, then active tenants' configuration."""
    users = await _step(_hot_users)
    for start in range(0, len(users), warming.USERS_A_STEP):
        await _step(_warm_users, users[start : start + warming.USERS_A_STEP])
    for tenant_id in await _step(_active_tenants):
        await _step(_warm_tenant, tenant_id)


@DBOS.workflow(name="purge")
async def purge_workflow(scheduled_at: datetime, context: object) -> None:  # noqa: ARG001  # a schedule's signature
    """Delete what is over, some at a time: sessions, runs, and the checkpoints of workflows."""
    for purge in (_purge_sessions, _purge_runs, _purge_history):
        while await _step(purge) == purging.ROWS_A_STEP:
            pass


async def _tenant_report(run_id: str, begun: dict[str, Any]) -> dict[str, Any]:
    given = msgspec.json.decode(begun["input"], type=ReportInput)
    tenant_id = begun["tenant_id"]
    report: dict[str, Any] = {}
    for number, count in enumerate((_count_users, _count_files, _count_events), start=1):
        since = (given.since or _EPOCH).isoformat()
        report.update(await _step_of(run_id, number, count, tenant_id, since))
        if given.pause_s:
            await DBOS.sleep_async(given.pause_s)
    return report


async def _process_file(run_id: str, begun: dict[str, Any]) -> dict[str, Any]:
    given = msgspec.json.decode(begun["input"], type=FileInput)
    return await _step_of(run_id, 1, _read_file, begun["tenant_id"], given.file_id)


_BODIES = {TENANT_REPORT: _tenant_report, FILE_PROCESS: _process_file}


async def _step(work: Callable[..., Coroutine[Any, Any, T]], *args: object) -> T:
    # The database may be away for a moment; a run need not fail for that.
    options = StepOptions(
        name=work.__name__.lstrip("_"),
        retries_allowed=True,
        interval_seconds=0.2,
        max_attempts=8,
        backoff_rate=2.0,
        should_retry=lambda error: not isinstance(error, LookupError | Problem),  # it would fail for ever
    )

    async def in_turn(*given: object) -> T:
        # A step that waits to be tried again takes no turn from the others.
        async with _turns:
            return await work(*given)

    return await DBOS.run_step_async(options, in_turn, *args)


async def _step_of(run_id: str, number: int, work: Callable[..., Coroutine[Any, Any, T]], *args: object) -> T:
    """Carry out a step that the run's owner can see; one checkpoint keeps its result and that it is done.

    Raises
    ------
    CancelledRunError
        The run was cancelled meanwhile.
    """

    async def noted() -> tuple[T, bool]:
        return await work(*args), await _progress(run_id, number)

    noted.__name__ = work.__name__
    result, going_on = await _step(noted)
    if not going_on:
        raise CancelledRunError
    return result


async def _begin(run_id: str) -> dict[str, Any] | None:
    rows = await _here["service"].db.fetch("workflows.begin", run_id, timing=None)
    return {key: str(value) for key, value in rows[0].items()} if rows else None


async def _progress(run_id: str, steps_done: int) -> bool:
    return bool(await _here["service"].db.value("workflows.progress", run_id, steps_done, timing=None))


async def _end(run_id: str, status: str, result: dict[str, Any]) -> None:
    text = msgspec.json.encode(result).decode()
    await _here["service"].db.fetch("workflows.end", run_id, status, text, timing=None)


async def _count_users(tenant_id: str, since: str) -> dict[str, Any]:  # noqa: ARG001  # all counts are called alike
    return {"users": await _here["service"].db.value("workflows.count_users", tenant_id, timing=None)}


async def _count_files(tenant_id: str, since: str) -> dict[str, Any]:  # noqa: ARG001
    files = file_bytes = 0
    async for rows in _slices("workflows.count_files", tenant_id, datetime.now(UTC), _LAST_ID):
        files += rows[0]["count"]
        file_bytes += rows[0]["bytes"]
    return {"files": files, "file_bytes": file_bytes}


async def _count_events(tenant_id: str, since: str) -> dict[str, Any]:
    tally = _tallies.begin(tenant_id, since)
    async for rows in _slices("workflows.count_events", tenant_id, tally.created_at, tally.last_id):
        counts = {row["kind"]: row["count"] for row in rows}
        tally = tally.plus(rows[0]["created_at"], rows[0]["id"], counts)
        _tallies.keep(tenant_id, since, tally)
    return {"events": dict(sorted(tally.counts.items()))}


async def _slices(query: str, tenant_id: str, created_at: datetime, last_id: Any) -> AsyncIterator[list[Any]]:
    """Read a tenant's rows slice by slice, each from where the one before ended: no query takes long."""
    count = _SLICE
    while count == _SLICE:
        rows = await _here["service"].db.fetch(query, tenant_id, created_at, last_id, _SLICE, timing=None)
        if not rows:
            return
        yield rows
        created_at, last_id = rows[0]["created_at"], rows[0]["id"]
        count = sum(row["count"] for row in rows)


async def _read_file(tenant_id: str, file_id: str) -> dict[str, Any]:
    service = _here["service"]
    rows = await service.db.fetch("files.locate", tenant_id, file_id, timing=None)
    if not rows:
        raise LookupError("the file was deleted")
    digest, lines, size = hashlib.sha256(), 0, 0
    async for chunk in service.files.chunks(rows[0]["blob"], 0, rows[0]["size"]):
        digest.update(chunk)
        lines += chunk.count(b"\n")
        size += len(chunk)
    return {"bytes": size, "lines": lines, "sha256": digest.hexdigest()}


async def _hot_users() -> list[tuple[str, str, list[str]]]:
    return await warming.hot_users(_here["service"])


async def _warm_users(users: list[tuple[str, str, list[str]]]) -> int:
    return await warming.warm_users(_here["service"], users)


async def _purge_sessions() -> int:
    return await purging.purge_sessions(_here["service"])


async def _purge_runs() -> int:
    return await purging.purge_runs(_here["service"])


async def _purge_history() -> int:
    return await purging.purge_history(_here["service"])


async def _active_tenants() -> list[str]:
    return await warming.active_tenants(_here["service"])


async def _warm_tenant(tenant_id: str) -> None:
    await warming.warm_tenant(_here["service"], tenant_id)
