"""``adx-lab init``."""

from __future__ import annotations

import asyncio
from pathlib import Path

from adx_lab.cli.checks import check_database, check_url
from adx_lab.cli.console import ConsoleProgress, print_json
from adx_lab.errors import UsageError
from adx_lab.records.endpoint_names import scattered, without_values


def run(
    *,
    url: str | None = None,
    database: str | None = None,
    locustfile: str | None = None,
    command: str | None = None,
    prepare: str | None = None,
    ready: str | None = None,
    build: str | None = None,
    env: tuple[str, ...] = (),
    name: str | None = None,
    force: bool = False,
    json: bool = False,
) -> int:
    """Describe a service of your own: make adx-lab.toml in the folder where you stand.

    Parameters
    ----------
    url
        Where the service is up already.
    database
        Its PostgreSQL; a password in it stays out of the file.
    locustfile
        What it is loaded with; left out, one is made of the service's OpenAPI document.
    command
        How it is started instead, with {port} for its port.
    prepare
        What fills its empty database, which the lab then makes and clones.
    ready
        The path that answers below 400 once it serves.
    build
        What makes a commit's libraries, once for each lock file.
    env
        NAME=VALUE, a variable of its environment: DATABASE_URL=postgresql+asyncpg://{database}; several.
    name
        What it is called; the folder's name where left out.
    force
        Write over a file that is there.
    json
        Print what was made as one JSON document.
    """
    check_url("--url", url)
    check_database(database)
    if locustfile is not None and not Path(locustfile).is_file():
        raise UsageError(f"there is no locustfile {locustfile}", mend="correct the path")
    from adx_lab.conduct.describing import describe
    from adx_lab.services.project import Wish, branch_of, name_of

    wrong = next((pair for pair in env if "=" not in pair), None)
    if wrong is not None:
        raise UsageError(f"--env {wrong} sets nothing", mend="write NAME=VALUE")
    folder = Path.cwd()
    wish = Wish(
        name or name_of(folder),
        url and url.rstrip("/"),
        database,
        command,
        ready,
        build,
        prepare,
        locustfile,
        dict(pair.split("=", 1) for pair in env),
        branch_of(folder),
    )
    made = asyncio.run(describe(folder, wish, ConsoleProgress(), force=force))
    if json:
        print_json(made)
        return 0
    for file in made.written:
        print(f"wrote    {folder / file}")
    many = scattered(made.endpoints)
    for endpoint, asked in made.endpoints.items():
        if without_values(endpoint) not in many:
            print(f"found    {endpoint}  p50 {asked.p50_ms:.3g} ms, p95 {asked.p95_ms:.3g} ms")
    for joined, names in many.items():
        print(
            f'found    {joined}  by {names} names: give them one in the locustfile (name="/…") to budget them'
        )
    for route in made.not_asked:
        print(f"unasked  {route}: the locustfile asks nothing of it")
    for note in made.notes:
        print(f"note     {note}")
    print("next     adx-lab nightly")
    return 0
