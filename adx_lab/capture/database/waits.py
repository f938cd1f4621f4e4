"""What the database's clients wait for under load, sampled."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from adx_lab.sql import load_queries

if TYPE_CHECKING:
    import asyncpg

_OWN = load_queries(Path(__file__).parent)

Waits = Counter[tuple[str, str]]
"""Samples by kind and event of wait: ``('IO', 'DataFileRead')``; ``('CPU', 'running')`` is none."""


async def read_waits(connection: asyncpg.Connection) -> Waits:
    """Return what the active clients wait for just now; it takes about 0.3 ms of the server's time."""
    rows = await connection.fetch(_OWN["waits.read"].sql)
    return Counter({(row["kind"], row["event"]): row["backends"] for row in rows})
