from __future__ import annotations

import asyncpg

from adx_lab.services.servers import NamedCluster
from adx_lab.stack.databases import drop, hold_autovacuum


async def test_autovacuum_visits_no_table_of_a_clone_that_is_compared(postgres_url: str) -> None:
    cluster = NamedCluster(postgres_url)
    admin = await asyncpg.connect(postgres_url)
    await admin.execute('CREATE DATABASE "held"')
    await admin.close()
    try:
        connection = await asyncpg.connect(cluster.url("held"))
        await connection.execute('CREATE SCHEMA "Odd one"')
        await connection.execute('CREATE TABLE "Odd one"."a %s table" (id int)')
        await connection.execute('CREATE MATERIALIZED VIEW seen AS SELECT * FROM "Odd one"."a %s table"')
        await hold_autovacuum(cluster.url("held"))
        held = await connection.fetch(
            "SELECT relname, reloptions FROM pg_class WHERE reloptions::text LIKE '%autovacuum%'"
        )
        await connection.close()
    finally:
        await drop(cluster, "held")
    assert {row["relname"]: row["reloptions"] for row in held} == {
        "a %s table": ["autovacuum_enabled=off"],
        "seen": ["autovacuum_enabled=off"],
    }
