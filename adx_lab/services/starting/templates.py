"""The data that a service is measured on: prepared once, in a template that blocks clone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from adx_lab.progress import Progress
from adx_lab.records.documents import digest
from adx_lab.services.sources import digest_of
from adx_lab.services.starting.start import StartOrder, run_to_end
from adx_lab.stack.databases import Cluster, ensure_template, gather_statistics

_PREPARE_S = 1800.0


async def ensure_data_set(
    postgres: Cluster, order: StartOrder, progress: Progress, *, log: Path, keep: Collection[str] = ()
) -> str:
    """Return the name of the template that the service's ``prepare`` makes, making it where it is missing.

    Raises
    ------
    StackError, UsageError
        ``prepare`` failed; what it left is removed.
    """
    database = order.service.database

    async def fill(url: str) -> None:
        progress.step(f"preparing the data of {order.service.name}, once")
        await prepare(replace(order, database_url=url), log=log)
        if database.statistics:
            await gather_statistics(url)

    return await ensure_template(postgres, _digest(order), fill, keep=keep)


async def prepare(order: StartOrder, *, log: Path) -> None:
    """Fill the order's database as the project file says."""
    command = order.service.database.prepare
    if command:
        await run_to_end(order, "prepare", command, log=log, seconds=_PREPARE_S)


async def adapt(order: StartOrder, *, log: Path) -> None:
    """Let a variant's clone agree with its switches: one can be a part of the schema (an index)."""
    command = order.service.database.adapt
    if command and order.service.start.switches_off:
        await run_to_end(order, "adapt", command, log=log)


def _digest(order: StartOrder) -> str:
    # Whatever shapes the rows is in the name, so that a changed schema can't meet an old template.
    database, dataset = order.service.database, order.dataset
    places = order.service.start.identity or order.service.start.paths
    source = digest_of(order.source, places, database.files) if database.prepare else ""
    return digest([database.prepare, database.statistics, dataset.scale, dataset.seed, source])
