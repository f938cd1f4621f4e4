"""``adx-lab ui``: Locust's web page with the lab's tab."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from adx_lab.cli.checks import check_database, check_positive, check_url
from adx_lab.cli.console import LOCUST_WORD, ConsoleProgress
from adx_lab.errors import UsageError
from adx_lab.settings import Settings, read_settings

if TYPE_CHECKING:
    from adx_lab.conduct.run.request import LoadRequest


def run(
    scenario: str | None = None,
    /,
    *,
    port: int = 8089,
    rate: float | None = None,
    users: int | None = None,
    spawn_rate: float | None = None,
    tags: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (),
    workers: int = 1,
    locustfile: Path | None = None,
    url: str | None = None,
    database: str | None = None,
    arguments: Annotated[tuple[str, ...], Parameter(name=LOCUST_WORD, show=False, negative=())] = (),
) -> int:
    """Serve Locust's web page with the lab's tab, on this machine only; each test is stored as a run.

    What stands behind ``--`` goes to Locust.

    Parameters
    ----------
    scenario
        A locustfile of ``locustfiles/``, by name; left out, the project file's own, or mixed.
    port
        Where the page is served.
    rate
        Requests a second, on average.
    users
        How many users the page proposes.
    spawn_rate
        How many of them it proposes to come each second.
    tags
        Which tasks of somebody else's locustfile are done.
    workers
        Locust processes on this machine.
    locustfile
        Somebody else's locustfile, as it is.
    url
        Somebody else's service; nothing of the stack is started.
    database
        That service's PostgreSQL, for captures (or ADX_LAB_DATABASE_URL).
    arguments
        Words for Locust, behind ``--``.
    """
    check_positive({"--rate": rate, "--users": users, "--spawn-rate": spawn_rate, "--workers": workers})
    check_url("--url", url)
    check_database(database)
    from adx_lab.conduct.run.request import load_request, locust_trust, locust_words
    from adx_lab.load.starting.machines import Machines

    if not 0 < port < 65_536:
        raise UsageError(f"--port {port} is not a port", mend="give one from 1 to 65535")
    flags = {"database.url": database, "load.tags": tags or None, "load.arguments": arguments or None}
    settings = read_settings(flags=flags)
    given = frozenset(name.removeprefix("load.") for name, value in flags.items() if value)
    if scenario is None and locustfile is None and settings.is_reference:
        scenario = "mixed"
    request = load_request(settings, scenario, locustfile, given=given, url=url)
    options = [
        *(("--rate", str(rate)) if rate else ()),
        *(("--users", str(users)) if users else ()),
        *(("--spawn-rate", str(spawn_rate)) if spawn_rate else ()),
        *Machines(workers).settled().words(),
        *locust_words(settings, request.locustfile),
    ]
    trust = locust_trust(settings.service)
    try:
        asyncio.run(_serve(settings, request, port, options, trust))
    except KeyboardInterrupt:
        sys.stderr.write("\nadx-lab: stopped\n")
    return 0


async def _serve(
    settings: Settings, request: LoadRequest, port: int, options: list[str], trust: dict[str, str | None]
) -> None:
    from adx_lab.conduct.run.surroundings import surroundings
    from adx_lab.load.starting.headless import serve_page

    progress = ConsoleProgress()
    log = settings.data_dir / "logs" / "locust-ui.log"
    environ = {"ADX_LAB_HOME": settings.home} | {name: value or "" for name, value in trust.items()}
    if settings.database.url:
        environ["ADX_LAB_DATABASE_URL"] = settings.database.url
    file = request.locustfile
    if request.url is not None:
        await serve_page(file, request.url, port, options, log=log, environ=environ, progress=progress)
        return
    async with surroundings(settings, progress) as around:
        base_url = around.target.base_url
        await serve_page(file, base_url, port, options, log=log, environ=environ, progress=progress)
