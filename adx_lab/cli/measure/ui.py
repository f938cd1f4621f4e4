"""``adx-lab ui``: Locust's web page with the lab's tab."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from adx_lab.cli.checks import check_positive, check_url
from adx_lab.cli.console import ConsoleProgress
from adx_lab.errors import UsageError
from adx_lab.settings import Settings, read_settings


def run(
    scenario: str = "mixed",
    /,
    *,
    port: int = 8089,
    rate: float | None = None,
    users: int | None = None,
    workers: int = 1,
    locustfile: Path | None = None,
    url: str | None = None,
    database: str | None = None,
) -> int:
    """Serve Locust's web page with the lab's tab, on this machine only; each test is stored as a run.

    Parameters
    ----------
    scenario
        A locustfile of ``locustfiles/``, by name.
    port
        Where the page is served.
    rate
        Requests a second, on average.
    users
        How many users the page proposes.
    workers
        Locust processes on this machine.
    locustfile
        Somebody else's locustfile, as it is.
    url
        Somebody else's service; nothing of the stack is started.
    database
        That service's PostgreSQL, for captures (or ADX_LAB_DATABASE_URL).
    """
    check_positive({"--rate": rate, "--users": users, "--workers": workers})
    check_url("--url", url)
    from adx_lab.conduct.run.request import find_scenario
    from adx_lab.load.starting.machines import Machines

    if not 0 < port < 65_536:
        raise UsageError(f"--port {port} is not a port", mend="give one from 1 to 65535")
    settings = read_settings(flags={"database.url": database})
    file = locustfile or find_scenario(settings, scenario).locustfile
    if not file.is_file():
        raise UsageError(f"there is no locustfile {file}", mend="correct the path")
    options = [
        *(("--rate", str(rate)) if rate else ()),
        *(("--users", str(users)) if users else ()),
        *Machines(workers).settled().words(),
    ]
    try:
        asyncio.run(_serve(settings, file.resolve(), url, port, options))
    except KeyboardInterrupt:
        sys.stderr.write("\nadx-lab: stopped\n")
    return 0


async def _serve(settings: Settings, file: Path, url: str | None, port: int, options: list[str]) -> None:
    from adx_lab.conduct.run.surroundings import surroundings
    from adx_lab.load.starting.headless import serve_page

    progress = ConsoleProgress()
    log = settings.data_dir / "logs" / "locust-ui.log"
    environ = {"ADX_LAB_HOME": settings.home}
    if settings.database.url:
        environ["ADX_LAB_DATABASE_URL"] = settings.database.url
    if url is not None:
        await serve_page(file, url, port, options, log=log, environ=environ, progress=progress)
        return
    async with surroundings(settings, progress) as around:
        base_url = around.target.base_url
        await serve_page(file, base_url, port, options, log=log, environ=environ, progress=progress)
