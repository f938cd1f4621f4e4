"""Describe a service for the first time: ask it what it can, propose budgets, write its project file."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from adx_lab.capture.database.statements import connected, read_statements
from adx_lab.conduct.run.recorded import judge, keep_row, record_load
from adx_lab.conduct.run.request import load_request
from adx_lab.conduct.run.surroundings import elsewhere, surroundings
from adx_lab.errors import AdxLabError, UsageError
from adx_lab.load.starting.reachable import check_reachable
from adx_lab.progress import Progress
from adx_lab.secrecy import remember_url, scrub, shown_url
from adx_lab.services.attached import postgres_url
from adx_lab.services.project import (
    DATA,
    FirstFigures,
    Wish,
    budgets_text,
    grants_text,
    project_text,
    routes_of,
    starter_locustfile,
)
from adx_lab.settings import FILE, ServiceSettings, read_settings

_SHORT_RUN = {"load.duration_s": 8.0, "load.warmup_s": 2.0}
_NIGHT_S = 40.0
"""Of load in a quick night."""

_URL_VARIABLE, _USUAL_DATABASE = "ADX_LAB_SERVICE_URL", "postgres"
GRANTS, STARTER = "adx-lab-grants.sql", "locustfile.py"


@dataclass(frozen=True, slots=True)
class Described:
    """What was written, and what a person should know."""

    file: Path
    written: tuple[str, ...]
    endpoints: dict[str, FirstFigures]
    not_asked: tuple[str, ...]
    notes: tuple[str, ...]


async def describe(folder: Path, wish: Wish, progress: Progress, *, force: bool = False) -> Described:
    """Write ``adx-lab.toml`` and what goes with it; what fails leaves no half of a file.

    Raises
    ------
    UsageError
        There is one already, or nobody said where the service is.
    StackError
        Nobody answers at its URL.
    """
    file = folder / FILE
    if file.exists() and not force:
        raise UsageError(f"{file} exists already", mend="edit it, or make it anew with --force")
    if not (wish.url or wish.command):
        raise UsageError("nobody says where the service is", mend="give --url, or --command to start it")
    before = file.read_bytes() if file.exists() else None
    try:
        return await _describe(folder, file, wish, progress)
    except BaseException:
        file.unlink(missing_ok=True)
        if before is not None:
            file.write_bytes(before)
        raise


async def _describe(folder: Path, file: Path, wish: Wish, progress: Progress) -> Described:
    written, notes, routes = [FILE], [], []
    _keep_out_of_git(folder / DATA)
    if wish.url and not wish.command:
        await asyncio.to_thread(check_reachable, wish.url)
        progress.step(f"asking {wish.url} for its routes")
        routes = await asyncio.to_thread(routes_of, ServiceSettings(), wish.url)
        if routes and wish.locustfile is None:
            wish = replace(wish, locustfile=STARTER)
            _write(folder / STARTER, starter_locustfile(routes))
            written.append(STARTER)
    wish, more = await _database(folder, wish)
    notes += more
    wish, more = _without_password(wish)
    notes += more
    if wish.database:
        written.append(GRANTS)
    _write(file, project_text(wish))
    endpoints: dict[str, FirstFigures] = {}
    if wish.locustfile:
        progress.step("a short run, to see which endpoints there are")
        endpoints, statements = await _short_run(folder, progress)
        with file.open("a", encoding="utf-8") as text:
            text.write(budgets_text(endpoints, statements=statements))
    else:
        notes.append("no locustfile: name one with --locustfile, or in the file as load.locustfile")
    return Described(file, tuple(written), endpoints, _not_asked(routes, endpoints), tuple(notes))


async def _database(folder: Path, wish: Wish) -> tuple[Wish, list[str]]:
    """Look whether the database can be read, and let no password into the file."""
    if not wish.database:
        return wish, []
    url, notes = wish.database, []
    remember_url(url)
    _write(folder / GRANTS, grants_text(database=_database_in(url)))
    try:
        async with connected(postgres_url(url)) as connection:
            await read_statements(connection)
    except AdxLabError as error:
        notes.append(
            f"the database at {shown_url(url)} can't be read yet: {scrub(error.message)}; see {GRANTS}"
        )
    if shown_url(url) != url:
        variable = "".join(c if c.isalnum() else "_" for c in wish.name).upper() + "_DATABASE_URL"
        os.environ.setdefault(variable, url)
        notes.append(f"the database's URL holds a password: export {variable}=… before the next verb")
        wish = replace(wish, database=f"${variable}")
    return wish, notes


def _without_password(wish: Wish) -> tuple[Wish, list[str]]:
    """Let no password or token of the service's URL into the file."""
    if not wish.url or shown_url(wish.url) == wish.url:
        return wish, []
    remember_url(wish.url)
    os.environ.setdefault(_URL_VARIABLE, wish.url)
    note = f"the service's URL holds a password: export {_URL_VARIABLE}=… before the next verb"
    return replace(wish, url=None), [note]


def _database_in(url: str) -> str:
    """Return the name of the database that a URL, or libpq's words, mean."""
    named = re.search(r"\bdbname\s*=\s*'?([^\s'&]+)", url)
    if named or "://" not in url:
        return named[1] if named else _USUAL_DATABASE
    try:
        return urlsplit(url).path.strip("/") or _USUAL_DATABASE
    except ValueError as error:
        raise UsageError(f"{shown_url(url)} is not a database URL: {error}") from error


async def _short_run(folder: Path, progress: Progress) -> tuple[dict[str, FirstFigures], list[float]]:
    """Return what it measured of each endpoint, and milliseconds a call of each statement."""
    settings = read_settings(flags={"home": str(folder), **_SHORT_RUN})
    request = load_request(settings, None, None, given=frozenset({"duration_s", "warmup_s"}))
    if request.url is not None:
        run = await record_load(settings, await elsewhere(settings, request), request, progress)
    else:
        async with surroundings(settings, progress) as around:
            run = await record_load(settings, around, request, progress)
    judged = judge(settings, run)
    keep_row(settings, judged, status=None)
    endpoints = {
        row.subject: FirstFigures(
            float(row.p50_ms.value or row.max_ms or 0),
            float(row.p95_ms.value or row.max_ms or 0),
            row.count * _NIGHT_S / _SHORT_RUN["load.duration_s"],
        )
        for row in judged.endpoints
        if row.count > row.errors
    }
    means = (one.value for name, one in judged.measured.items() if name.startswith("statement."))
    return endpoints, [ms for ms in means if ms is not None]


def _not_asked(routes: list[str], endpoints: Mapping[str, FirstFigures]) -> tuple[str, ...]:
    """Return the routes that no request of the short run can have been."""
    asked = {_shape(name) for name in endpoints}
    return tuple(route for route in routes if _shape(route) not in asked)


def _shape(endpoint: str) -> str:
    """Return an endpoint with its parameters alike, however they are written."""
    method, _, path = endpoint.partition(" ")
    parts = ["*" if part[:1] in {"{", "[", ":", "<"} else part for part in path.split("?")[0].split("/")]
    return f"{method} {'/'.join(parts)}"


def _keep_out_of_git(data: Path) -> None:
    """Let git see nothing of what is measured: else each run would change the tree that is measured."""
    data.mkdir(mode=0o700, exist_ok=True)
    _write(data / ".gitignore", "*\n")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
