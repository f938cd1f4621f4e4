"""Plans of every node type, made on a real PostgreSQL.

``versions.json.xz`` holds what other versions than the stack's made of them. To make it anew, or to add a
version: ``python -m tests.analysis.plans.corpus URL...``, with servers on which a database may be created.
"""

from __future__ import annotations

import asyncio
import json
import lzma
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent
VERSIONS = FOLDER / "versions.json.xz"
# PostgreSQL's own defaults, so that the plans don't depend on how the stack is tuned.
_PLANNER = {
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "random_page_cost": "4",
    "effective_cache_size": "4GB",
    "work_mem": "4MB",
}
_PARALLEL = {
    "parallel_setup_cost": "0",
    "parallel_tuple_cost": "0",
    "min_parallel_table_scan_size": "0",
    "min_parallel_index_scan_size": "0",
    "max_parallel_workers_per_gather": "3",
}
_JIT = {"jit": "on", "jit_above_cost": "0", "jit_inline_above_cost": "0", "jit_optimize_above_cost": "0"}
# What it was called, or that it was not there, before a version.
_RENAMED = (16, "debug_parallel_query", "force_parallel_mode")
_NEW_SETTINGS = {"enable_memoize": 14}


@dataclass(frozen=True)
class Case:
    """One statement of the corpus, with what must be set and run before it."""

    name: str
    settings: dict[str, str]
    options: str
    before: tuple[str, ...]
    statement: str


def cases() -> Iterator[Case]:
    text = (FOLDER / "corpus_queries.sql").read_text(encoding="utf-8")
    for block in re.split(r"^-- name: ", text, flags=re.MULTILINE)[1:]:
        name, _, rest = block.partition("\n")
        settings = dict(re.findall(r"^-- set: (\w+)=(.+)$", rest, re.MULTILINE))
        if re.search("^-- parallel$", rest, re.MULTILINE):
            settings = _PARALLEL | settings
        elif "debug_parallel_query" not in settings:
            settings["max_parallel_workers_per_gather"] = "0"
        options = "".join(f", {option}" for option in re.findall(r"^-- option: (.+)$", rest, re.MULTILINE))
        sql = "\n".join(line for line in rest.splitlines() if not line.startswith("--"))
        *before, statement = [part.strip(" ;\n") for part in sql.split(";\n") if part.strip(" ;\n")]
        yield Case(name, settings, options, tuple(before), statement)


async def make_database(admin_url: str, name: str) -> str:
    """Make the corpus's database anew; return its URL."""
    admin = await asyncpg.connect(admin_url)
    await admin.execute(f"drop database if exists {name}")
    await admin.execute(f"create database {name}")
    await admin.close()
    url = admin_url.replace("/postgres?", f"/{name}?")
    connection = await asyncpg.connect(url)
    setup = (FOLDER / "corpus.sql").read_text(encoding="utf-8")
    await connection.execute(setup.replace("vacuum analyze;", ""))
    await connection.execute(
        "create extension file_fdw; create server corpus_files foreign data wrapper file_fdw; "
        "create foreign table corpus_file (line text) server corpus_files options (program 'seq 1000')"
    )
    await connection.execute("vacuum analyze")
    await connection.close()
    return url


async def explain_all(url: str, options: str, form: str = "json") -> dict[str, str]:
    """Explain every case with the options; what was written is rolled back."""
    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        return {case.name: await _explain(connection, case, options, form) for case in cases()}
    finally:
        await connection.close()


async def explain_version(admin_url: str) -> tuple[str, dict[str, Any]]:
    """Explain what this server's version can be asked: its number, and the plans with and without JIT."""
    url = await make_database(admin_url, "plans_corpus")
    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        version = connection.get_server_version()
        kinds: dict[str, dict[str, str]] = {"terse": {}}
        if await connection.fetchval("select pg_jit_available()"):
            kinds["jit"] = _JIT
        found: dict[str, Any] = {}
        for kind, settings in kinds.items():
            found[kind] = {}
            for case in cases():
                asked = replace(case, settings=_settings_of(version.major, case.settings) | settings)
                try:
                    plan = await _explain(connection, asked, "analyze, buffers")
                except (asyncpg.PostgresSyntaxError, asyncpg.InvalidParameterValueError) as error:
                    print(f"PostgreSQL {version.major} lacks {case.name}: {error}", file=sys.stderr)
                    continue
                found[kind][case.name] = json.loads(plan)[0]
        return f"{version.major}.{version.micro}", found
    finally:
        await connection.close()


def _settings_of(version: int, settings: dict[str, str]) -> dict[str, str]:
    since, new, old = _RENAMED
    known = {name: value for name, value in settings.items() if version >= _NEW_SETTINGS.get(name, 0)}
    return {old if name == new and version < since else name: value for name, value in known.items()}


def read_versions() -> dict[str, Any]:
    """Return the kept plans: by version, by kind (``terse``, ``jit``), by name."""
    found: dict[str, Any] = json.loads(lzma.decompress(VERSIONS.read_bytes()))
    return found


async def _keep_versions(admin_urls: list[str]) -> None:
    kept = read_versions() if VERSIONS.exists() else {}
    kept |= dict([await explain_version(url) for url in admin_urls])
    VERSIONS.write_bytes(lzma.compress(json.dumps(kept, separators=(",", ":")).encode(), preset=9))


async def _explain(connection: asyncpg.Connection, case: Case, options: str, form: str = "json") -> str:
    transaction = connection.transaction()
    await transaction.start()
    try:
        for name, value in (_PLANNER | case.settings).items():
            await connection.execute(f"set local {name} = '{value}'")
        for statement in case.before:
            await connection.execute(statement)
        extra = case.options if "analyze" in options else ""
        rows = await connection.fetch(f"explain ({options}{extra}, format {form}) {case.statement}")
        return "\n".join(str(row[0]) for row in rows)
    finally:
        await transaction.rollback()
        await connection.execute("deallocate all")


def as_log(plan: str, *, duration_ms: float = 12.345) -> str:
    """Write a plan as auto_explain does: a prefix, the duration, the object over many lines."""
    body = {"Query Text": "select 'x'", **json.loads(plan)[0]}
    body.pop("Execution Time", None)
    lines = json.dumps(body, indent=2).replace("\n", "\n\t")
    return f"2026-11-24 02:00:01.123 UTC [4711] LOG:  duration: {duration_ms:.3f} ms  plan:\n\t{lines}\n"


if __name__ == "__main__":
    asyncio.run(_keep_versions(sys.argv[1:]))
