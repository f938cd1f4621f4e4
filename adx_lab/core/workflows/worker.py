"""The workflow worker: a process of its own that runs durable workflows on DBOS.

Each step is checkpointed in the database, so that a worker that is killed goes on, when it is started again,
with the step in which it was. Runs come from the table `workflow_runs` (see `workflows`): the dispatcher
hands them to DBOS under their own id, which it may do twice without harm.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from dbos import DBOS, DBOSConfig, ScheduleInput, SetWorkflowID

from adx_lab.core.database.database import QUERIES, UNAVAILABLE
from adx_lab.core.database.schema import check_schema, open_database, refuse_pooler
from adx_lab.core.errors import ConfigError, CoreError
from adx_lab.core.monitoring.logs import log
from adx_lab.core.server.processes import announce
from adx_lab.core.service import Service, build_service
from adx_lab.core.settings import PoolSettings, Settings
from adx_lab.core.workflows.runs import purge_workflow, run_with, run_workflow, warm_workflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import asyncpg

_SCHEDULED_QUEUE = "scheduled"
_NICENESS = 10  # nobody waits for a run, but somebody does for each request
_CONNECTIONS = PoolSettings(max=5, min=1)
_LOOK_EVERY_S = 1.0
_CRON_UNITS = (("*/{} * * * * *", 1, 60), ("0 */{} * * * *", 60, 60), ("0 0 */{} * * *", 3600, 24))
_LOCK = 0x_AD_C0_0E
_UNDER_WAY_MAX = 20  # of one tenant: the others' need not wait behind them
_CHANNEL = "adx_workflows"
_logger = logging.getLogger("adx_lab.core.workflows.worker")


def work(settings: Settings) -> None:
    """Run workflows until SIGTERM or SIGINT.

    Raises
    ------
    ConfigError
        Another worker runs under the same name.
    CoreError
        The database can't be reached.
    """
    _give_way()
    asyncio.run(_work(settings))


def _give_way() -> None:
    os.nice(_NICENESS)
    # Where Linux shares the processor out by sessions first (autogroup), a priority counts only within one's
    # own; the session has one too.
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # another system, or the kernel was built without it
            Path("/proc/self/autogroup").write_text(str(_NICENESS), encoding="ascii")


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Its cache in the process would only be asked for what it has just written.
    rules_off = ",".join(filter(None, (settings.rules_off, "cache.l1")))
    service = build_service(
        msgspec.structs.replace(settings, workers=1, pool=_CONNECTIONS, rules_off=rules_off)
    )
    await refuse_pooler(settings.database_url)
    listening = await _listen(settings)
    await check_schema(listening, QUERIES.values())
    await service.start()
    run_with(service)
    dispatcher: asyncio.Task[None] | None = None
    try:
        await _launch(settings)
        dispatcher = asyncio.create_task(_dispatch(service, settings, listening))
        announce(settings, {"pid": os.getpid()})
        await stop.wait()
    finally:
        if dispatcher is not None:
            dispatcher.cancel()
            with suppress(asyncio.CancelledError):
                await dispatcher
        # In a thread: it waits for the steps that are running, and they need this loop.
        await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=0)
        await service.close()


async def _launch(settings: Settings) -> None:
    polling_s = min(
        5.0, settings.warming.every_s / 2, settings.purge_every_s / 2
    )  # an idle worker should cost nothing
    DBOS(
        config=DBOSConfig(
            name="adx-core",
            system_database_url=settings.database_url,
            # By default a hash of the source: a new version would leave old runs alone.
            application_version="1",
            # By default the same for all: workers would take each other's runs.
            executor_id=settings.worker_name,
            sys_db_pool_size=5,
            max_executor_threads=8,
            log_level="WARNING",
            scheduler_polling_interval_sec=polling_s,
            # Nothing here sends events or messages; by default it looks a hundred times a second.
            notification_coalesce_sec=1.0,
            notification_listener_polling_interval_sec=5.0,
        )
    )
    dbos_logger = logging.getLogger("dbos")
    dbos_logger.handlers.clear()
    dbos_logger.propagate = True
    DBOS.launch()
    await DBOS.register_queue_async(_SCHEDULED_QUEUE, global_concurrency=1, polling_interval_sec=polling_s)
    schedules = [_schedule("purging", purge_workflow, settings.purge_every_s)]
    if settings.on("cache.warming"):
        await DBOS.start_workflow_async(
            warm_workflow, datetime.now(UTC), None
        )  # not only from the first turn on
        schedules.append(_schedule("warming", warm_workflow, settings.warming.every_s))
    else:
        await DBOS.delete_schedule_async("warming")
    await DBOS.apply_schedules_async(schedules)


def _schedule(name: str, workflow: Callable[..., Any], every_s: float) -> ScheduleInput:
    return ScheduleInput(
        schedule_name=name,
        workflow_fn=workflow,
        schedule=cron(every_s),
        context=None,
        queue_name=_SCHEDULED_QUEUE,
    )


def cron(every_s: float) -> str:
    """Return the cron expression of an interval, or of the next shorter one that divides its unit evenly.

    One that does not, such as every 59 minutes, would have a short pause at each turn of the unit.
    """
    for fields, unit_s, count in _CRON_UNITS:
        if every_s < unit_s * count:
            wanted = max(1, int(every_s // unit_s))
            return fields.format(max(number for number in range(1, wanted + 1) if count % number == 0))
    return "0 0 0 * * *"


async def _listen(settings: Settings) -> asyncpg.Connection:
    connection = await open_database(settings.database_url)
    name = f"{settings.key_prefix}{settings.worker_name}"
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1, hashtext($2))", _LOCK, name):
        await connection.close()
        raise ConfigError(f"a worker {settings.worker_name} is running; set ADX_CORE_WORKER_NAME")
    return connection


async def _dispatch(service: Service, settings: Settings, connection: asyncpg.Connection) -> None:
    """Hand over what was asked for, as soon as it was and after every interruption."""
    while True:
        try:
            async for _ in _wake_ups(connection):
                await _hand_over(service)
                await _take_over(connection, settings)
        except UNAVAILABLE as error:
            log(_logger, logging.WARNING, "the database went away", error=repr(error))
        await asyncio.sleep(_LOOK_EVERY_S / 2)
        with suppress(*UNAVAILABLE, CoreError):
            connection = await _listen(settings)


async def _wake_ups(connection: asyncpg.Connection) -> AsyncIterator[None]:
    woken = asyncio.Event()

    def wake(*_: Any) -> None:
        woken.set()

    await connection.add_listener(_CHANNEL, wake)
    connection.add_termination_listener(wake)
    while not connection.is_closed():
        yield
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_EVERY_S):
                await woken.wait()
        woken.clear()


async def _hand_over(service: Service) -> None:
    rows = await service.db.fetch("workflows.pending", _UNDER_WAY_MAX, timing=None)
    pending = [row["id"] for row in rows if row["status"] == "pending"]
    for run_id in pending:
        with SetWorkflowID(str(run_id)):
            await DBOS.start_workflow_async(run_workflow, str(run_id))
    if pending:
        await service.db.fetch("workflows.queued", pending, timing=None)
    for row in rows:
        if row["status"] == "cancelled":
            await DBOS.cancel_workflow_async(str(row["id"]))


async def _take_over(connection: asyncpg.Connection, settings: Settings) -> None:
    """Go on with the runs of workers that are gone: nobody holds their names any more."""
    running = await DBOS.list_workflows_async(
        status="PENDING", load_input=False, load_output=False, limit=1000
    )
    for name in {one.executor_id or "" for one in running} - {settings.worker_name, ""}:
        key = f"{settings.key_prefix}{name}"
        if await connection.fetchval("SELECT pg_try_advisory_lock($1, hashtext($2))", _LOCK, key):
            try:
                log(_logger, logging.WARNING, "taking over from a worker that is gone", worker=name)
                await asyncio.to_thread(DBOS._recover_pending_workflows, [name])  # noqa: SLF001  # no public way
            finally:
                await connection.fetchval("SELECT pg_advisory_unlock($1, hashtext($2))", _LOCK, key)
