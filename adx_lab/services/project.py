"""The project file: written for a newcomer, and looked at by the doctor."""

from __future__ import annotations

import http.client
import json
import math
import shlex
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

from adx_lab.errors import AdxLabError
from adx_lab.records.endpoint_names import scattered, without_values
from adx_lab.services.git import git
from adx_lab.services.starting.start import expanded, tls_context
from adx_lab.settings import ServiceSettings, Settings

DATA = ".adx-lab"
"""Where a described service's runs lie, seen from its project file."""

_DOCUMENTS = (
    "/openapi.json",
    "/api/openapi.json",
    "/swagger.json",
    "/v3/api-docs",
    "/swagger/v1/swagger.json",
)
_METHODS = ("get", "post", "put", "patch", "delete")
_ASK_S = 5.0
_FOR_A_P95, _FOR_A_P50 = 250, 30
"""Requests: with fewer a percentile's interval seldom keeps a limit of twice its value."""

_STATEMENT_MS = 10.0
"""What people promise of a query."""

_NO_DOCUMENT = (OSError, ValueError, KeyError, TypeError, AttributeError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Wish:
    """What ``adx-lab init`` was told of a service."""

    name: str
    url: str | None = None
    database: str | None = None
    """As it stands in the file: a URL without a password, or ``$NAME``."""

    command: str | None = None
    ready: str | None = None
    build: str | None = None
    prepare: str | None = None
    locustfile: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    branch: str | None = None
    """What a night is compared with, where the service can be started."""


def project_text(wish: Wish) -> str:
    """Return a project file for a service, without its budgets."""
    lines = [
        f"data = {_q(DATA)}  # runs, reports and logs; not for git",
        "",
        "[service]",
        f"name = {_q(wish.name)}",
    ]
    if wish.url and not wish.command:
        lines.append(f"url = {_q(wish.url)}")
    if wish.command:
        lines += ["", "[service.start]", 'source = "."', f"command = {_q(wish.command)}"]
        lines.append(
            f"ready = {_q(wish.ready)}"
            if wish.ready
            else '# ready = "/health"  # answers below 400 once it serves; without it any answer will do'
        )
        lines.append(
            f"build = {_q(wish.build)}  # once for each lock file"
            if wish.build
            else '# build = "uv sync --frozen"  # where a commit needs libraries of its own'
        )
        env = wish.env or ({"DATABASE_URL": "{database_url}"} if wish.prepare else {})
        if env:
            told = ", ".join(f"{_q(name)} = {_q(value)}" for name, value in env.items())
            lines.append(f"env = {{ {told} }}")
    if wish.prepare or wish.database:
        lines += ["", "[service.database]"]
        lines += [f"prepare = {_q(wish.prepare)}"] if wish.prepare else [f"url = {_q(str(wish.database))}"]
        if wish.prepare:
            lines.append(
                '# files = ["migrations/**/*"]  # what of the source decides what it makes; else all of it'
            )
    if wish.locustfile:
        lines += ["", "[load]", f"locustfile = {_q(wish.locustfile)}", "users = 4"]
    lines += ["", "[baseline]"]
    if wish.command and wish.branch:
        lines.append(f"ref = {_q(wish.branch)}  # a night plays a duet against it, both up at once")
    lines.append("nights = 7  # how many a night is compared with that can't start the service")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class FirstFigures:
    """What a short run measured of an endpoint; ``requests`` are those that a quick night will make."""

    p50_ms: float
    p95_ms: float
    requests: float

    @property
    def limit(self) -> str | None:
        """A budget with room for twice its time, of a percentile that so many requests can tell."""
        if self.requests >= _FOR_A_P95:
            return f"p95_ms = {_round_up(2 * self.p95_ms):g}"
        return f"p50_ms = {_round_up(2 * self.p50_ms):g}" if self.requests >= _FOR_A_P50 else None


def budgets_text(asked: Mapping[str, FirstFigures], *, statements: Collection[float] = ()) -> str:
    """Return budgets proposed from what a short run measured; ``statements`` are each one's mean ms."""
    lines = [
        "",
        "# Proposed from a short run, with room for twice its times: say what you promise instead.",
        "# A p95 needs some 250 requests of its endpoint in a night: more load.users, or a longer night.",
    ]
    many = scattered(asked)
    for endpoint, one in asked.items():
        if one.limit is not None and without_values(endpoint) not in many:
            lines += ["[[budget]]", f"endpoint = {_q(endpoint)}", one.limit]
    if statements:
        limit = max(_STATEMENT_MS, _round_up(2 * max(statements)))
        lines += ["[[budget]]", 'statement = "*"  # each by itself', f"mean_ms = {limit:g}"]
    lines += ["[[budget]]", 'endpoint = "*"', "error_rate = 0.01"]
    return "\n".join(lines) + "\n"


def grants_text(role: str = "adx_lab", database: str = "shop") -> str:
    """Return the script that makes a role which may look and change nothing."""
    return (
        f"-- A role for ADX Lab: it reads statistics and plans, and writes nothing. Run it as a superuser.\n"
        f"CREATE ROLE {role} LOGIN PASSWORD 'choose one';\n"
        f"GRANT CONNECT ON DATABASE {database} TO {role};\n"
        f"GRANT pg_read_all_stats TO {role};  -- the texts of other roles' statements\n"
        f"GRANT pg_read_all_data TO {role};  -- EXPLAIN needs what the statement needs; nothing is executed\n"
        "CREATE EXTENSION IF NOT EXISTS pg_stat_statements;  -- and shared_preload_libraries has it\n"
    )


def starter_locustfile(routes: Sequence[str]) -> str:
    """Return a plain Locust file that asks each route that needs nothing."""
    plain = [route.partition(" ")[2] for route in routes if route.startswith("GET ") and "{" not in route]
    tasks = [
        f"    @task\n    def ask_{number}(self):\n        self.client.get({path!r})\n"
        for number, path in enumerate(plain)
    ]
    head = (
        "from locust import FastHttpUser, between, task\n\n\n"
        "class Visitor(FastHttpUser):\n    wait_time = between(0.05, 0.15)\n"
    )
    return head + "".join(f"\n{task}" for task in tasks)


def routes_of(service: ServiceSettings, url: str) -> list[str]:
    """Return the routes that the service's OpenAPI document tells, as ``GET /orders/{id}``."""
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=tls_context(service, url)))
    for path in _DOCUMENTS:
        try:
            with opener.open(url + path, timeout=_ASK_S) as answer:
                told = json.load(answer)
            paths = told["paths"]
            return [
                f"{method.upper()} {path}"
                for path, of in paths.items()
                for method in _METHODS
                if method in of
            ]
        except _NO_DOCUMENT:
            continue  # not there: the next place
    return []


def faults_of(settings: Settings) -> Iterator[tuple[str, bool, str, str]]:
    """Yield what the doctor says of a project file: the check, whether it is well, found, the mend."""
    file = settings.project_file
    if file is None or settings.is_reference:
        yield "project file", True, "none: the reference core is measured", ""
        return
    yield "project file", True, f"{file} ({settings.service.name}, {settings.service.environment})", ""
    service = settings.service
    if not (service.url or service.start.command):
        yield "service", False, "neither url nor [service.start]", "say where it is, or how it is started"
    if service.start.command:
        yield from _start_faults(settings)
    if settings.load.locustfile:
        path = settings.project_dir / settings.load.locustfile
        yield "locustfile", path.exists(), str(path), "correct load.locustfile"
    else:
        yield "locustfile", False, "none is named", "set load.locustfile"
    values = [service.database.url or "", *service.login.form.values(), *service.login.json.values()]
    for value in (*values, *service.start.env.values()):
        try:
            expanded(value)
        except AdxLabError as error:
            yield "secrets", False, error.message, error.mend or ""


def _start_faults(settings: Settings) -> Iterator[tuple[str, bool, str, str]]:
    source, start = settings.source_dir, settings.service.start
    git = any((folder / ".git").exists() for folder in (source, *source.parents))
    yield "source", source.is_dir(), f"{source}{'' if git else ' (no git repository: no refs)'}", "correct it"
    try:
        first = shlex.split(start.command)[0]
    except ValueError as error:
        yield "command", False, f"{start.command}: {str(error).lower()}", "close what it quotes"
        return
    found = first.startswith("{") or start.build or shutil.which(first) or (source / first).exists()
    yield "command", bool(found), first, "install it, or give its whole path"


def _round_up(value: float) -> float:
    step = 10.0 ** math.floor(math.log10(max(value, 1.0)))
    return float(math.ceil(value / step) * step)


def _q(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def branch_of(folder: Path) -> str | None:
    """Return the branch that nights are compared with: the main one, or the one that is checked out."""
    known = (git(folder, "for-each-ref", "--format=%(refname:short)", "refs/heads") or "").split()
    out = git(folder, "rev-parse", "--abbrev-ref", "HEAD")
    return next((name for name in ("main", "master", "trunk", out) if name in known), None)


def name_of(folder: Path) -> str:
    """Return what a service is called whose folder this is."""
    return folder.resolve().name or "service"
