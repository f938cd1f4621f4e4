"""Whether what a rule makes visible can be seen: a series at ``/metrics``, or a line in the service's log."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adx_lab.capture.service.metrics import read_metrics
from adx_lab.conduct.switches.client import Person
from adx_lab.conduct.switches.probes import Ground
from adx_lab.sql import load_queries
from adx_lab.stack.databases import connected

_QUERIES = load_queries(Path(__file__).parent)
_LOCKED_S = 0.06
_PATIENCE_S = 3.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that can be seen of the service from outside.

    Attributes
    ----------
    where
        ``series``: a name at ``/metrics``. ``log``: the message of a line in the log.
    name
        Which one.
    slow_query
        Whether a query has to be slow first.
    """

    where: Literal["series", "log"]
    name: str
    slow_query: bool = False

    def says(self) -> str:
        """Return in words what it is."""
        return f"series {self.name}" if self.where == "series" else f"log line {self.name!r}"


async def seen(signal: Signal, ground: Ground) -> bool:
    """Do what the signal tells of, and look for it as long as it may take."""
    person = await asyncio.to_thread(lambda: ground.whale)
    await asyncio.to_thread(person.must, "GET", "/files?page_size=5")
    if signal.slow_query:
        await _slow_query(ground, person)
    waited_s = 0.0
    while waited_s < _PATIENCE_S:
        if await asyncio.to_thread(_found, signal, ground):
            return True
        await asyncio.sleep(_LOOK_EVERY_S)
        waited_s += _LOOK_EVERY_S
    return False


async def _slow_query(ground: Ground, person: Person) -> None:
    async with connected(ground.database_url) as connection, connection.transaction():
        await connection.execute(_QUERIES["rule_probes.lock_files"].sql)
        asked = asyncio.create_task(asyncio.to_thread(person.must, "GET", "/files?page_size=5"))
        await asyncio.sleep(_LOCKED_S)
    await asked


def _found(signal: Signal, ground: Ground) -> bool:
    if signal.where == "series":
        page = read_metrics(f"{ground.url}/metrics")
        return any(sample.name.startswith(signal.name) for sample in page)
    lines = ground.core.child.log.read_text(encoding="utf-8", errors="replace").splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return any(entry.get("message") == signal.name for entry in entries)
