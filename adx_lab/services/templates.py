"""The data set that a service is measured on: made once, in a template that blocks clone."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from adx_lab.progress import Progress
from adx_lab.services.core_server import CorePlan, run_core_command
from adx_lab.settings import DatasetSettings
from adx_lab.stack.databases import Cluster, ensure_template


async def ensure_data_set(
    postgres: Cluster,
    plan: CorePlan,
    dataset: DatasetSettings,
    progress: Progress,
    *,
    log: Path,
    keep: Collection[str] = (),
) -> str:
    """Return the name of the template with this data set, making it where it is missing."""

    async def fill(url: str) -> None:
        progress.step(f"making the {dataset.scale} data set (seed {dataset.seed}), once")
        await seed(replace(plan, database_url=url), dataset, log=log)

    return await ensure_template(postgres, _digest(plan.source, dataset), fill, keep=keep)


async def seed(plan: CorePlan, dataset: DatasetSettings, *, log: Path) -> None:
    """Fill the plan's database with the data set."""
    await run_core_command(
        plan, "seed", "--scale", dataset.scale, "--seed", str(dataset.seed), log=log, seconds=1800
    )


def _digest(source: Path, dataset: DatasetSettings) -> str:
    folder = source / "adx_lab" / "core"
    whole = hashlib.sha256(f"{dataset.scale} {dataset.seed}".encode())
    for file in sorted([*folder.glob("*.sql"), *folder.glob("dataset*.py"), *folder.glob("dataset/*.py")]):
        whole.update(file.read_bytes())
    return whole.hexdigest()[:12]
