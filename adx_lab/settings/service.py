"""What a project file says of a service: where it is, how it is started, what it is loaded with."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e12)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class StartSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a service is started, which makes its git refs and settings comparable.

    In ``command``, ``env`` and the other commands stand ``{port}``, ``{host}``, ``{database_url}``,
    ``{database}`` (the same without its scheme, for ``postgresql+asyncpg://{database}``), ``{valkey_url}``,
    ``{workers}``, ``{python}`` (the lab's own interpreter), ``{source}`` (the tree), ``{name}`` (tells
    variants apart), ``{folder}`` (for its files), ``{switches_off}``, ``{scale}`` and ``{seed}``.

    Attributes
    ----------
    source
        The git repository, seen from the project file; a run records its commit.
    paths
        What of it is exported; all of it where none are named.
    identity
        What of it decides how it behaves; `paths` where none are named.
    build
        Run once for each content of the lock files; what it makes is shared by trees that agree on them.
    compile
        Run once for each source tree.
    command
        Anything that runs in the foreground.
    ready
        The path that answers below 400 once it serves; where none is named any answer will do.
    ready_file
        Whether it also says so in the file ``{ready_file}``.
    env
        Its environment, besides ours.
    setting_env
        The variable of a setting, such as ``SHOP_{NAME}``; then ``.+pool.size=5`` is a variant.
    switches
        A command that prints what can be switched and set, as JSON: ``switches`` and ``settings`` by name.
    switches_off
        Those that are off, by their names and separated by commas.
    lowered
        Settings that go down with another one: ``{ "pool.min" = "pool.max" }``.
    beside
        Further processes of the service, by name.
    trace_env
        Variables that make it trace its cache; not for variants, since older ones may not know them.
    people
        A command that writes whom to log in as to ``{people_file}``, for scenarios of the lab.
    """

    source: str = "."
    paths: tuple[str, ...] = ()
    identity: tuple[str, ...] = ()
    build: str = ""
    compile: str = ""
    command: str = ""
    ready: str = ""
    ready_s: Positive = 60.0
    ready_file: bool = False
    env: dict[str, str] = {}
    setting_env: str = ""
    switches: str = ""
    switches_off: str = ""
    lowered: dict[str, str] = {}
    beside: dict[str, str] = {}
    trace_env: dict[str, str] = {}
    people: str = ""
    host: str = "127.0.0.1"
    port: Port = 0
    workers: Count = 1


class ServiceDatabaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The service's PostgreSQL: made here by ``prepare``, or attached by ``url``.

    Attributes
    ----------
    prepare
        Fills an empty database; made once a digest, and each block has a clone.
    files
        What of the source decides what ``prepare`` makes, as patterns; all of it where none are named.
    adapt
        Run on a variant's clone where a switch is off: a switch can be a part of the schema.
    url
        A database that is up; any ``+driver`` in its scheme is understood.
    statistics
        Whether the lab gathers the planner's statistics after ``prepare``.
    """

    prepare: str = ""
    files: tuple[str, ...] = ()
    adapt: str = ""
    url: str | None = None
    statistics: bool = True


class LoginSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Done by the lab for each variant before the load.

    Attributes
    ----------
    request
        Method and path.
    form, json
        What is sent, one of them; ``$NAME`` is taken from the environment.
    token
        Where the answer holds the token, with dots; without one the answer's cookies are kept.
    header
        How the token is sent.
    """

    request: str = ""
    form: dict[str, str] = {}
    json: dict[str, str] = {}
    token: str = ""
    header: str = "Authorization: Bearer {token}"


class ServiceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is measured.

    Attributes
    ----------
    url
        Where it is up already.
    processes
        Whose CPU and memory are its own: a command's words, a pid file, or a cgroup.
    timing
        How it tells where a request's time went.
    queries
        A folder of its source with named queries, as ``.sql`` files.
    metrics
        The path of its Prometheus page.
    otlp_port
        Of this machine, where a service that is up already sends its OpenTelemetry spans over HTTP, where
        ``timing`` is ``otel``; 0 finds a free one for a service that the lab starts.
    profile
        A command that prints folded stacks of process ``{pid}`` until it is interrupted, for a service in
        another language than Python: ``{rate}`` samples a second, for ``{seconds}``.
    """

    name: str = ""
    environment: str = "local"
    url: str | None = None
    verify_tls: bool = True
    ca: str | None = None
    processes: tuple[str, ...] = ()
    timing: Literal["server-timing", "otel", "none"] = "server-timing"
    queries: str = ""
    metrics: str = "/metrics"
    profile: str = ""
    otlp_port: Port = 0
    start: StartSettings = StartSettings()
    database: ServiceDatabaseSettings = ServiceDatabaseSettings()
    login: LoginSettings = LoginSettings()


class BaselineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a night is compared with: a git ref in a duet, or the last valid nights of the same key."""

    ref: str = ""
    nights: Count = 7


class BudgetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A limit: on an endpoint as Locust calls it, on a statement, or on any metric by its name."""

    name: str = ""
    endpoint: str = ""
    statement: str = ""
    p50_ms: Positive | None = None
    p95_ms: Positive | None = None
    p99_ms: Positive | None = None
    error_rate: NotNegative | None = None
    statements_per_request: NotNegative | None = None
    mean_ms: Positive | None = None
    metric: str = ""
    limit: float | None = None
    direction: Literal["below", "above"] = "below"
    unit: str = ""
    scenarios: tuple[str, ...] = ()
